"""The tests pass wherever they are started: by nohup, cron, or a build system."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from architecture.house import REPOSITORY

SENSITIVE = (
    "tests/cli/test_cli_errors.py::test_an_interrupt_ends_quietly",
    "tests/stores/test_many_at_once.py::test_an_interrupt_inside_an_update_rolls_it_back",
    "tests/cli/test_cli_signals.py::test_a_process_that_imports[1-SIGHUP]",
    "tests/stores/test_opening.py::test_what_exists_keeps_its_mode",
    "tests/storage/test_local_content.py::test_a_blob_is_read_only_and_nothing_else_is_left",
)
"""Tests that failed when SIGINT or SIGHUP was ignored, or under a strict umask."""


@pytest.mark.parametrize("umask", [0o000, 0o027, 0o077], ids=oct)
def test_in_the_background(umask: int) -> None:
    """SIGINT and SIGHUP ignored, no terminal, no input, no HOME, the C locale."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH")}

    def leave_the_terminal() -> None:
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.umask(umask)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *SENSITIVE],
        cwd=REPOSITORY,
        env={**kept, "LANG": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=leave_the_terminal,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert f"{len(SENSITIVE)} passed" in done.stdout
