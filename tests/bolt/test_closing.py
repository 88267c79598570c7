"""Closing beside threads that still read, write or wait: nothing is lost, mixed up or hung."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from bolt.model_bucket import contents
from bolt.simulated_disk import SimulatedDisk
from kv.bolt_stores import FaultyDisk
from orlop.bolt import BoltEngine, FileDisk, open_engine
from orlop.bolt.holders import WriterTicket
from orlop.bolt.initialization import empty_database
from orlop.kv import EngineClosedError, EnginePoisonedError
from orlop.testing.engine.threads import Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop.bolt.group_commit import Group

PATIENCE = 20
GRACE = 0.1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "meta.db"
    engine = open_engine(path)
    assert isinstance(engine, BoltEngine)
    commit(engine, b"v1")
    engine.close()
    return path


def commit(engine: BoltEngine, name: bytes) -> None:
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket(name)
        for number in range(100):
            bucket.put(b"key-%02d" % number, b"x" * 200)


class HeldRead:
    """Blocks a read system call in the middle, while the test checks the state."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_under_way = threading.Event()
        self.may_end = threading.Event()
        real = os.pread

        def pread(descriptor: int, length: int, offset: int) -> bytes:
            self.is_under_way.set()
            assert self.may_end.wait(PATIENCE)
            return real(descriptor, length, offset)

        monkeypatch.setattr(os, "pread", pread)


def test_a_descriptor_is_closed_when_no_read_is_under_way(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = path.read_bytes()
    disk = FileDisk.for_reading(path)
    held = HeldRead(monkeypatch)
    read: list[bytes] = []
    reader = Worker(lambda: read.append(disk.read(0, len(expected))))
    assert held.is_under_way.wait(PATIENCE)
    closers = [Worker(disk.close) for _ in range(2)]
    assert not any(closer.has_ended(GRACE) for closer in closers)
    # Who comes now is refused: the number may be another file's any moment.
    for use in (
        disk.size,
        disk.sync,
        lambda: disk.read(0, 1),
        lambda: disk.grow(1),
        lambda: disk.write(0, [b"x"]),
    ):
        with pytest.raises(EngineClosedError, match=r"meta\.db is closed"):
            use()
    held.may_end.set()
    for worker in (reader, *closers):
        worker.result()
    assert read == [expected]


@pytest.mark.parametrize("read_only", [False, True])
def test_a_reader_in_another_thread_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, read_only: bool
) -> None:
    engine = open_engine(path, read_only=read_only)
    reader = engine.begin()
    held = HeldRead(monkeypatch)

    def read() -> None:
        with pytest.raises(EngineClosedError):
            contents(reader.root)

    worker = Worker(read)
    assert held.is_under_way.wait(PATIENCE)
    closer = Worker(engine.close)
    assert not closer.has_ended(GRACE)
    held.may_end.set()
    closer.result()
    worker.result()


def test_what_was_read_of_a_file_that_others_write_counts_only_if_it_is_asked_before(
    path: Path,
) -> None:
    engine = open_engine(path, read_only=True)
    transaction = engine.begin()
    assert set(contents(transaction.root)) == {b"v1"}
    writer = open_engine(path)
    assert isinstance(writer, BoltEngine)
    commit(writer, b"v2")
    writer.close()
    engine.close()
    with pytest.raises(EngineClosedError, match="does not count"):
        transaction.rollback()
    transaction.rollback()


def test_a_version_of_a_writing_handle_counts_whatever_becomes_of_the_handle(path: Path) -> None:
    engine = open_engine(path)
    with engine.begin() as transaction:
        assert set(contents(transaction.root)) == {b"v1"}
        engine.close()


@pytest.mark.interpreted("replaces a method, which compiled code calls past its name")
def test_what_is_committed_while_the_engine_closes_is_durable() -> None:
    disk = SimulatedDisk()
    engine = BoltEngine(disk)
    is_added, may_wait = threading.Event(), threading.Event()
    wait, closer = engine._groups.wait, threading.get_ident()

    def hesitate(group: Group) -> None:
        """The writer has handed its turn on and comes late to the flush."""
        if threading.get_ident() != closer:
            is_added.set()
            assert may_wait.wait(PATIENCE)
        wait(group)

    engine._groups.wait = hesitate  # type: ignore[method-assign]
    writer = Worker(lambda: commit(engine, b"v1"))
    assert is_added.wait(PATIENCE)
    engine.close()
    may_wait.set()
    writer.result()
    assert disk.log[-1] == "close"
    with BoltEngine(SimulatedDisk(disk.durable)).begin() as reader:
        assert set(contents(reader.root)) == {b"v1"}


def broken() -> None:
    raise OSError(5, "no more disk")


def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("sync", [broken, interrupted])
def test_a_flush_that_fails_at_the_end_does_not_keep_the_file_open(
    sync: Callable[[], None],
) -> None:
    disk = SimulatedDisk()
    engine = BoltEngine(disk)
    writer = engine.begin(writable=True)
    writer.root.create_bucket(b"v1")
    state = writer.root.settle()
    assert state is not None
    # As a writer of another thread that has added its changes and waits for the flush.
    group = engine._groups.add(writer.dirty, state)
    writer.rollback()
    disk.sync = sync  # type: ignore[method-assign]
    with suppress(KeyboardInterrupt):
        engine.close()
    assert disk.log[-1] == "close"
    with pytest.raises(EnginePoisonedError):
        engine._groups.wait(group)


def test_a_writer_of_the_closing_thread_that_saw_a_failure_does_not_keep_the_file_open() -> None:
    disk = FaultyDisk(empty_database())
    engine = BoltEngine(disk)
    disk.is_held.clear()
    disk.gate.clear()
    first = Worker(lambda: commit(engine, b"v1"))
    assert disk.is_held.wait(PATIENCE)
    second = engine.begin(writable=True)
    assert second.root.bucket(b"v1") is not None
    disk.fails = True
    disk.gate.set()
    engine.close()
    assert disk.log[-1] == "close"
    with pytest.raises(EnginePoisonedError):
        first.result()


def test_a_writer_that_waits_for_its_turn_is_told(path: Path) -> None:
    engine = open_engine(path)
    opened = engine.begin(writable=True)
    waiting = Worker(lambda: engine.begin(writable=True))
    assert not waiting.has_ended(GRACE)
    opened.root.create_bucket(b"v2")
    engine.close()
    with pytest.raises(EngineClosedError):
        waiting.result()


def test_a_forked_process_closes_without_the_threads_of_its_parent(path: Path) -> None:
    disk = FileDisk.for_reading(path)
    # As if a thread were reading: it does not exist in the child, and never ends there.
    disk._use.users.append(0)
    child = os.fork()
    if not child:
        disk.close()
        os._exit(0)
    deadline = time.monotonic() + PATIENCE
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the child waits for a thread that it does not have")
        time.sleep(0.01)
    disk._use.users.clear()
    assert disk.size(), "the parent's file stays open"
    disk.close()


def test_the_handle_of_another_process_only_closes(path: Path) -> None:
    engine = open_engine(path)
    assert isinstance(engine, BoltEngine)
    # As in a forked child, where the parent's writer never ends.
    engine._home.number = 0
    ticket = WriterTicket()
    engine._turn.acquire(ticket, None)
    with pytest.raises(EngineClosedError, match="opened by process 0, of which"):
        engine.begin()
    engine.close()
    open_engine(path, timeout=0).close()
