"""No odd file, no lock of another process and no lack of memory or space blocks later work."""

from __future__ import annotations

import fcntl
import itertools
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

import orlop
from collector.making import blobs_on_disk, make_blob, make_image
from orlop.gc import cleanup
from orlop.gc.journal import REMOVED, Entry, Journal
from safety.roots import METADATA, NATIVE
from storage.mounting import small_disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.settable import SettableClock

PATIENCE_SECONDS = 30
ROOTED = {"containerd.io/gc.root": "x"}


def test_samples_that_are_read_half_way_keep_no_lock(tmp_path: Path) -> None:
    with orlop.open(tmp_path / "root", sync=False) as database:
        samples = database.gc.samples()
        next(samples)
        ended = threading.Event()

        def collect() -> None:
            database.gc.run()
            ended.set()

        threading.Thread(target=collect, daemon=True).start()
        assert ended.wait(PATIENCE_SECONDS)
        assert list(samples)


def test_a_journal_that_is_a_pipe_is_not_waited_for(tmp_path: Path, clock: SettableClock) -> None:
    path = tmp_path / "journal.jsonl"
    os.mkfifo(path)
    journal = Journal(path)
    entry = Entry(at=clock.now(), event=REMOVED, type="content", key="x" * 1000)

    journal.add([entry] * 200)

    assert journal.failures == 1
    assert list(journal.entries()) == []


def test_a_close_does_not_wait_for_the_lock_of_another_process(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with orlop.open(root, sync=False) as database:
        database.namespace("default").snapshots("native").prepare("one", "", ROOTED)
    with (root / NATIVE / "metadata.db").open("r+b") as file:
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"],
            stdin=subprocess.PIPE,
            pass_fds=[file.fileno()],
        )
        fcntl.flock(file, fcntl.LOCK_EX)  # of the description, which the child has, too
    try:
        database = orlop.open(root, sync=False)
        threading.Thread(target=_quietly, args=(database.gc.run,), daemon=True).start()
        closing = threading.Thread(target=database.close, daemon=True)
        closing.start()
        closing.join(PATIENCE_SECONDS)
        assert not closing.is_alive()
    finally:
        child.communicate()
    with orlop.open(root, sync=False, timeout=PATIENCE_SECONDS) as database:
        assert database.namespace("default").snapshots("native").stat("one").name == "one"


def _quietly(function: Callable[[], object]) -> None:
    try:
        function()
    except orlop.OrlopError:
        return  # the database was closed meanwhile


@pytest.mark.interpreted("patches a module that is compiled")
def test_lack_of_memory_in_the_last_steps_of_a_cleanup_blocks_no_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with orlop.open(tmp_path / "root", sync=False) as database:
        keep = make_blob(database.namespace("default"), b"keep", ROOTED)
        for number, place in enumerate(("_ended", "_clean", "_run")):
            make_blob(database.namespace("default"), b"garbage %d" % number)
            with monkeypatch.context() as patched:
                _let_memory_run_out(patched, place)
                database.gc.run()
            statistics = database.gc.run()
            assert not statistics.failures, place
            assert list(blobs_on_disk(database)) == [keep]


def _let_memory_run_out(patched: pytest.MonkeyPatch, place: str) -> None:
    def fail(*_: object) -> None:
        raise MemoryError(place)

    patched.setattr(threading, "excepthook", lambda _: None)
    patched.setattr(sys, "unraisablehook", lambda _: None)
    owner = cleanup.BackendCleaner if place == "_ended" else cleanup._Worker
    patched.setattr(owner, place, fail)


@pytest.mark.root
def test_a_release_frees_space_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        root = disk / "root"
        with orlop.open(root) as database:
            namespace = database.namespace("default")
            make_image(namespace, "keep", make_blob(namespace, b"keep"))
            large = [make_blob(namespace, os.urandom(2 << 20), ROOTED) for _ in range(2)]
        (root / METADATA / "orlop" / "period.json").unlink()
        with orlop.open(root) as database:
            database.gc.run()
            for digest in large:
                database.namespace("default").content.delete(digest)
            assert database.gc.run(confirmed=True).set_aside == 2
        _fill(disk / "filler")
        with orlop.open(root) as database:
            statistics = database.gc.run(release=True, confirmed=True)
            assert (statistics.deleted, statistics.failures) == (2, {})
            assert len(blobs_on_disk(database)) == 1
        assert os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize > 2 << 20


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            for _ in itertools.count():
                file.write(bytes(4096))
        except OSError:
            return
