"""Closing a database or killing its process at any moment leaves no doubt."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

import orlop
from safety.roots import add

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType
    from typing import Any

OVERLAY = "io.containerd.snapshotter.v1.overlayfs"
LONG = bool(os.environ.get("ORLOP_CAMPAIGN"))


def doubts(root: Path) -> str | None:
    with orlop.open(root, sync=False) as database:
        return database.gc.plan().doubt


def test_clean_closes(tmp_path: Path) -> None:
    for number in range(200 if LONG else 12):
        with orlop.open(tmp_path, sync=False) as database:
            add(database, str(number))
            assert database.gc.run().set_aside == 0
        assert doubts(tmp_path) is None


def work_for_ever(root: Path) -> None:
    while True:
        with orlop.open(root, sync=False) as database:
            for number in range(5):
                add(database, f"{time.time_ns()}-{number}")
            database.gc.run()


@pytest.mark.parametrize("seed", range(200 if LONG else 12))
def test_a_death_at_any_moment(tmp_path: Path, seed: int) -> None:
    chosen = random.Random(seed)
    for _ in range(3):
        child = os.fork()
        if child == 0:
            try:
                work_for_ever(tmp_path)
            finally:
                os._exit(1)
        time.sleep(chosen.uniform(0.005, 0.15))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        assert doubts(tmp_path) is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "broken")])
@pytest.mark.parametrize("is_before", [True, False])
def test_a_commit_that_is_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, *, is_before: bool
) -> None:
    """A commit that fails before or after any sync, perhaps partly written."""
    real = os.fdatasync
    with orlop.open(tmp_path) as database:
        add(database, "first")
    for number in range(100):
        calls = iter(range(number, -1, -1))

        def sync(descriptor: int, calls: Iterator[int] = calls) -> None:
            is_last = next(calls, None) == 0
            if is_last and is_before:
                raise error
            real(descriptor)
            if is_last:
                raise error

        monkeypatch.setattr(os, "fdatasync", sync)
        broken_off = contextlib.suppress(KeyboardInterrupt, OSError, orlop.OrlopError)
        with broken_off, orlop.open(tmp_path) as database:
            add(database, str(number))
        is_done = next(calls, None) is not None
        monkeypatch.setattr(os, "fdatasync", real)
        assert doubts(tmp_path) is None, number
        if is_done:
            return
    pytest.fail("it never went through")


@pytest.mark.parametrize("is_before", [True, False])
def test_an_interrupt_of_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_before: bool
) -> None:
    """What is noted of a database is interrupted around each write of a note."""
    real = os.pwrite
    with orlop.open(tmp_path, sync=False) as database:
        add(database, "first")
    for number in range(100):
        calls = iter(range(number, -1, -1))

        def write(descriptor: int, data: bytes, offset: int, calls: Iterator[int] = calls) -> int:
            is_last = next(calls, None) == 0
            if is_last and is_before:
                raise KeyboardInterrupt
            written = real(descriptor, data, offset)
            if is_last:
                raise KeyboardInterrupt
            return written

        monkeypatch.setattr(os, "pwrite", write)
        with contextlib.suppress(KeyboardInterrupt), orlop.open(tmp_path, sync=False) as database:
            with contextlib.suppress(KeyboardInterrupt, orlop.OrlopError):
                add(database, str(number))
            with contextlib.suppress(orlop.UnavailableError):  # the commit has failed
                assert "replaced" not in str(database.gc.run().failures)
        is_done = next(calls, None) is not None
        monkeypatch.setattr(os, "pwrite", real)
        assert doubts(tmp_path) is None, number
        if is_done:
            return
    pytest.fail("it never went through")


class Interrupt:
    """Raises a KeyboardInterrupt at a line of the modules that keep the records of a session."""

    def __init__(self, number: int) -> None:
        self._left = number
        self.is_raised = False

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if "/orlop/safety/" not in frame.f_code.co_filename:
            return None
        if event == "line" and not self.is_raised:
            self._left -= 1
            if self._left < 0:
                self.is_raised = True
                raise KeyboardInterrupt
        return self.trace


@pytest.mark.parametrize("is_moved_in", [False, True])
def test_an_interrupt_of_the_first_opening_of_a_snapshotter(
    tmp_path: Path, *, is_moved_in: bool
) -> None:
    """The handle opens its database again; only data that was moved there is doubtful then."""
    other = tmp_path / "other"
    with orlop.open(other, sync=False) as database:
        database.namespace("default").snapshots("overlayfs").prepare("precious", "")
    for number in range(0, 1000, 1 if LONG else 7):
        root = tmp_path / str(number)
        with orlop.open(root, sync=False) as database:
            add(database, "first")
            if is_moved_in:
                shutil.copytree(other / OVERLAY, root / OVERLAY, dirs_exist_ok=True)
            store = database.namespace("default").snapshots("overlayfs")
            interrupt = Interrupt(number)
            sys.settrace(interrupt.trace)
            with contextlib.suppress(KeyboardInterrupt, orlop.OrlopError):
                store.prepare("interrupted", "")
            sys.settrace(None)
            with contextlib.suppress(orlop.UnavailableError):  # the commit has failed
                store.prepare("later", "")
                statistics = database.gc.run(confirmed=True)
                assert bool(statistics.set_aside) == is_moved_in, number
        assert (doubts(root) is None) or is_moved_in, number
        assert (root / OVERLAY / "snapshots" / "1" / "fs").exists() or not is_moved_in, number
        if not interrupt.is_raised:
            return
    pytest.fail("it never went through")
