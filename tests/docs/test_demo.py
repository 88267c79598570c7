"""The demo runs to its end, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo.py"


def test_the_demo_goes_all_the_way_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", DEMO],
        env={"TMPDIR": str(tmp_path), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "--content--> content" in done.stdout
    assert "4 would be removed" in done.stdout
    assert done.stdout.splitlines()[-1] == "files in the content store and below the snapshots: 0"
    assert list(tmp_path.iterdir()) == []
