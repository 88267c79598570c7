"""Without the real parts tests are skipped with a reason, or fail where that is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from architecture.house import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

REAL = "tests/real/test_containerd_alone.py::test_the_daemon_collects"


def run_without_parts(nowhere: Path, required: str) -> subprocess.CompletedProcess[str]:
    """Run a test of a real containerd where no program at all is found on PATH."""
    environment = os.environ | {"PATH": str(nowhere), "ORLOP_REQUIRE_REAL_PARTS": required}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={nowhere}", REAL],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_missing_is_skipped_and_the_reason_names_the_package(tmp_path: Path) -> None:
    done = run_without_parts(tmp_path / "nowhere", "0")

    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout
    assert "containerd" in done.stdout
    assert "apt-get install busybox-static containerd runc skopeo umoci" in done.stdout


def test_where_all_parts_are_required_the_skip_is_a_failure(tmp_path: Path) -> None:
    done = run_without_parts(tmp_path / "nowhere", "1")

    assert done.returncode == 1, done.stdout
    assert "forbids this skip: Skipped: needs busybox" in done.stdout
