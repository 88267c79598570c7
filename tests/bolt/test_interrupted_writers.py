"""Writers that fail before anything is written, and those that wait for the lock meanwhile."""

from __future__ import annotations

import pytest

from bolt.model_bucket import contents
from bolt.simulated_disk import SimulatedDisk
from kv.bolt_stores import FaultyDisk
from orlop.bolt import BoltEngine
from orlop.bolt.dirty import DirtyNodes
from orlop.bolt.group_commit import Groups
from orlop.bolt.initialization import empty_database
from orlop.bolt.node import EMPTY_SIZE, BucketState, Leaf
from orlop.bolt.pager import Pager
from orlop.bolt.spill import Spill
from orlop.bolt.tools.check import check_disk
from orlop.concurrency.ownership import Mutex
from orlop.kv import CorruptError, EnginePoisonedError
from orlop.testing.engine.threads import Worker

PAGE_SIZE = 1024


def test_a_read_error_before_anything_is_written_only_rolls_back() -> None:
    disk = SimulatedDisk(empty_database(PAGE_SIZE))
    engine = BoltEngine(disk)
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket(b"v1")
        for number in range(60):
            bucket.create_bucket(b"bucket-%02d" % number).put(b"key", b"x" * 90)
        before = contents(transaction.root)

    transaction = engine.begin(writable=True)
    outer = transaction.root.bucket(b"v1")
    assert outer is not None
    inner = outer.bucket(b"bucket-30")
    assert inner is not None
    inner.put(b"key", b"changed")
    # The bucket around it has to take over the change, and has forgotten its pages.
    engine._pager.young.clear()
    engine._pager._old.clear()
    disk.log.clear()
    disk.fail_at = disk.calls + 1
    with pytest.raises(OSError, match="simulated failure of read"):
        transaction.commit()
    disk.fail_at = None

    assert disk.log == ["read"]
    with engine.begin(writable=True, timeout=0) as later:
        assert contents(later.root) == before
        later.root.create_bucket(b"v2")
    with engine.begin() as reader:
        assert contents(reader.root) == {**before, b"v2": {}}
    assert check_disk(disk).faults == []


def test_a_writer_that_waits_while_the_engine_fails_is_told() -> None:
    disk = FaultyDisk(empty_database(PAGE_SIZE))
    engine = BoltEngine(disk)
    disk.is_held.clear()
    disk.gate.clear()
    first = Worker(lambda: commit_one(engine))
    assert disk.is_held.wait(20)
    second = engine.begin(writable=True, timeout=20)
    # It waits for the turn of the second, which has built on what is about to fail.
    third = Worker(lambda: commit_one(engine))
    assert not third.has_ended(0.1)
    disk.fails = True
    disk.gate.set()
    with pytest.raises(EnginePoisonedError):
        first.result()
    with pytest.raises(EnginePoisonedError):
        second.rollback()
    with pytest.raises(EnginePoisonedError, match="simulated failure of sync"):
        third.result()
    engine.close()


def commit_one(engine: BoltEngine) -> None:
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket_if_absent(b"v1").next_sequence()


class InterruptedLock:
    """A lock that raises an interrupt instead of waiting, as by ctrl-C."""

    def __enter__(self) -> None:
        raise KeyboardInterrupt

    def __exit__(self, *_: object) -> None:
        """Never entered, never left."""


def test_an_interrupt_after_a_failure_does_not_hide_its_reason() -> None:
    def flush(_state: BucketState, _dirty: list[DirtyNodes]) -> int:
        raise OSError(5, "no more disk")

    state = BucketState(3, 0, PAGE_SIZE)
    groups = Groups(state, flush)
    dirty = DirtyNodes(Pager(SimulatedDisk(empty_database(PAGE_SIZE)), PAGE_SIZE))
    group = groups.add(dirty, state)
    with pytest.raises(EnginePoisonedError, match="no more disk"):
        groups.wait(group)
    groups._flushing = InterruptedLock()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        groups.wait(group)
    with pytest.raises(EnginePoisonedError, match="no more disk"):
        groups.require_sound()


def test_an_interrupt_while_waiting_for_a_flush_poisons() -> None:
    disk = SimulatedDisk(empty_database(PAGE_SIZE))
    engine = BoltEngine(disk)
    engine._groups._flushing = InterruptedLock()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        commit_one(engine)
    engine._groups._flushing = Mutex()
    with pytest.raises(EnginePoisonedError, match="KeyboardInterrupt"):
        engine.begin()
    engine.close()


def test_a_node_that_has_miscounted_is_not_written() -> None:
    # Its page would overlap the next one.
    node = Leaf([b"key"], [b"value"], [0], EMPTY_SIZE + 16)
    with pytest.raises(CorruptError, match="takes 40 bytes but counted 32"):
        Spill(PAGE_SIZE, lambda _: [2]).tree(node)
