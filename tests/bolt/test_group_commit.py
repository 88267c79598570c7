"""Group commit: acknowledged transactions are durable, and a group fails as a whole."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from bolt.model_bucket import contents
from bolt.simulated_disk import SimulatedDisk
from campaigns.grouping import flush, gather
from orlop.bolt import BoltEngine
from orlop.bolt.tools.check import check_disk
from orlop.kv import EnginePoisonedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class GatedDisk(SimulatedDisk):
    """A disk with syncs that wait for the test, and may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()
        self.fails = False

    def sync(self) -> None:
        self.waiting.set()
        assert self.gate.wait(20)
        if self.fails:
            raise OSError(5, "simulated failure of sync")
        super().sync()

    def hold(self) -> None:
        self.waiting.clear()
        self.gate.clear()

    def let_go(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.gate.set()


@pytest.fixture
def disk() -> GatedDisk:
    return GatedDisk()


@pytest.fixture
def engine(disk: GatedDisk) -> BoltEngine:
    engine = BoltEngine(disk)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"v1")
    return engine


class Writer(threading.Thread):
    """Puts one key in a transaction of its own, and keeps the result or error."""

    def __init__(self, engine: BoltEngine, key: bytes, value: bytes = b"value") -> None:
        super().__init__(daemon=True)
        self.engine, self.key, self.value = engine, key, value
        self.error: Exception | None = None
        self.number = 0
        self.start()

    def run(self) -> None:
        try:
            transaction = self.engine.begin(writable=True)
            with transaction:
                bucket = transaction.root.bucket(b"v1")
                assert bucket is not None
                bucket.put(self.key, self.value)
            self.number = transaction.id
        except Exception as error:  # noqa: BLE001 (looked at by the test)
            self.error = error


def in_memory(engine: BoltEngine, key: bytes) -> bool:
    """Whether a writer that begins now sees the key."""
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.bucket(b"v1")
        assert bucket is not None
        found = bucket.get(key) is not None
        # Not ended here: a rollback would wait for the flush that the test holds up.
        transaction.is_over = True
        holder = engine._turn.holder
        assert holder is not None
        engine._turn.release(holder)
    return found


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def gathered(engine: BoltEngine, count: int) -> Callable[[], bool]:
    def check() -> bool:
        group = engine._groups._last
        return group is not None and not group.is_closed and len(group.members) == count

    return check


def durable_keys(disk: SimulatedDisk) -> set[bytes]:
    survivor = BoltEngine(SimulatedDisk(disk.durable))
    with survivor.begin() as transaction:
        inside = contents(transaction.root)[b"v1"]
    assert isinstance(inside, dict)
    return set(inside)


def all_writers(engine: BoltEngine, disk: GatedDisk, count: int) -> tuple[Writer, list[Writer]]:
    """One writer with a blocked sync, and `count` writers based on it meanwhile."""
    disk.hold()
    first = Writer(engine, b"first")
    assert disk.waiting.wait(20)
    others = [Writer(engine, b"other-%d" % number) for number in range(count)]
    until(gathered(engine, count))
    return first, others


def joined(writers: Sequence[Writer]) -> None:
    for writer in writers:
        writer.join(20)
        assert not writer.is_alive()


def test_writers_that_wait_for_a_sync_become_one_version(
    disk: GatedDisk, engine: BoltEngine
) -> None:
    first, others = all_writers(engine, disk, 8)
    assert in_memory(engine, b"other-7")
    with engine.begin() as reader:
        assert contents(reader.root) == {b"v1": {}}, "a reader saw what is not durable"
    assert first.is_alive()
    assert all(other.is_alive() for other in others), "acknowledged before it was durable"

    syncs = disk.log.count("sync")
    disk.let_go()
    joined([first, *others])

    assert [writer.error for writer in (first, *others)] == [None] * 9
    assert {other.number for other in others} == {first.number + 1}
    # Two for the first, two for the group of eight, and one where the file grew.
    assert disk.log.count("sync") - syncs <= 5
    assert durable_keys(disk) == {b"first", *(b"other-%d" % number for number in range(8))}
    assert check_disk(SimulatedDisk(disk.durable)).faults == []


def test_a_failed_flush_fails_all_that_was_built_on_it(disk: GatedDisk, engine: BoltEngine) -> None:
    first, others = all_writers(engine, disk, 3)
    opened = engine.begin(writable=True)
    disk.let_go(fails=True)
    joined([first, *others])
    for writer in (first, *others):
        assert isinstance(writer.error, EnginePoisonedError)
    bucket = opened.root.bucket(b"v1")
    assert bucket is not None
    bucket.put(b"late", b"value")
    with pytest.raises(EnginePoisonedError):
        opened.commit()
    with pytest.raises(EnginePoisonedError):
        engine.begin()
    with pytest.raises(EnginePoisonedError):
        engine.begin(writable=True)
    disk.fails = False
    assert durable_keys(disk) == set()
    engine.close()


def test_who_comes_late_to_a_durable_group_is_told_so_after_a_later_failure(
    disk: GatedDisk, engine: BoltEngine
) -> None:
    first, others = all_writers(engine, disk, 2)
    disk.let_go()
    joined([first, *others])
    group = engine._groups._last
    assert group is not None
    assert group.members == [], "what it replaced is kept in memory"
    disk.let_go(fails=True)
    last = Writer(engine, b"last")
    joined([last])
    assert isinstance(last.error, EnginePoisonedError)
    engine._groups.wait(group)
    assert group.number == others[0].number


@pytest.mark.parametrize("fails", [False, True])
def test_a_rollback_after_a_look_at_what_is_not_durable_waits_for_it(
    disk: GatedDisk, engine: BoltEngine, *, fails: bool
) -> None:
    disk.hold()
    first = Writer(engine, b"first")
    assert disk.waiting.wait(20)
    outcome: list[str] = []

    def look() -> None:
        transaction = engine.begin(writable=True)
        bucket = transaction.root.bucket(b"v1")
        assert bucket is not None
        assert bucket.get(b"first") is not None
        try:
            transaction.rollback()
        except EnginePoisonedError:
            outcome.append("failed")
        else:
            outcome.append("exists")

    looker = threading.Thread(target=look, daemon=True)
    looker.start()
    looker.join(0.2)
    assert looker.is_alive(), "answered before what it saw was durable"
    disk.let_go(fails=fails)
    looker.join(20)
    first.join(20)
    assert outcome == ["failed" if fails else "exists"]


def test_a_rollback_that_saw_only_durable_state_waits_for_nobody(
    disk: GatedDisk, engine: BoltEngine
) -> None:
    transaction = engine.begin(writable=True)
    disk.hold()
    transaction.rollback()
    disk.let_go()


def test_pages_that_a_group_replaces_twice_are_freed_once(
    disk: GatedDisk, engine: BoltEngine
) -> None:
    for round_number in range(10):
        disk.hold()
        first = Writer(engine, b"big", b"x" * 9000)
        assert disk.waiting.wait(20)
        others = []
        for number in range(4):
            others.append(Writer(engine, b"big", bytes([number]) * (3000 * number + round_number)))
            until(gathered(engine, number + 1))
        disk.let_go()
        joined([first, *others])
        assert check_disk(SimulatedDisk(disk.durable)).faults == []
    # With a freelist in the file, the check also finds pages that are neither used nor free.
    kept = BoltEngine(SimulatedDisk(disk.durable), freelist_sync=True)
    with kept.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"v2")
    assert isinstance(kept._disk, SimulatedDisk)
    assert check_disk(SimulatedDisk(kept._disk.durable)).faults == []


def test_with_a_freelist_in_the_file_groups_lose_no_page() -> None:
    disk = GatedDisk()
    engine = BoltEngine(disk, freelist_sync=True)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"v1")
    for _ in range(5):
        first, others = all_writers(engine, disk, 6)
        disk.let_go()
        joined([first, *others])
        assert check_disk(SimulatedDisk(disk.durable)).faults == []


def test_what_is_replaced_before_it_has_a_page_is_freed_when_it_has_one() -> None:
    disk = SimulatedDisk()
    engine = BoltEngine(disk, freelist_sync=True)
    first = engine.begin(writable=True)
    first.root.create_bucket(b"v1").put(b"key", b"x" * 9000)
    group = gather(engine, first)
    second = engine.begin(writable=True)
    bucket = second.root.bucket(b"v1")
    assert bucket is not None
    bucket.put(b"key", b"y" * 9000)
    flush(engine, group)
    flush(engine, gather(engine, second))
    assert check_disk(SimulatedDisk(disk.durable)).faults == []


def test_a_transaction_copies_a_node_once() -> None:
    engine = BoltEngine(SimulatedDisk())
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket(b"v1")
        bucket.put(b"key-0", b"value")
        node = bucket.root
        for number in range(9):
            bucket.put(b"key-%d" % number, b"value")
        assert bucket.root is node


def test_an_interrupt_during_a_flush_poisons(disk: GatedDisk, engine: BoltEngine) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    transaction = engine.begin(writable=True)
    transaction.root.create_bucket(b"v2")
    disk.sync = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        transaction.commit()
    with pytest.raises(EnginePoisonedError, match="KeyboardInterrupt"):
        engine.begin()


def test_closing_waits_for_a_flush(disk: GatedDisk, engine: BoltEngine) -> None:
    disk.hold()
    first = Writer(engine, b"first")
    assert disk.waiting.wait(20)
    closer = threading.Thread(target=engine.close, daemon=True)
    closer.start()
    closer.join(0.1)
    assert closer.is_alive()
    assert "close" not in disk.log
    disk.let_go()
    closer.join(20)
    first.join(20)
    assert first.error is None
    assert disk.log[-1] == "close"


def test_what_is_left_to_the_next_commit_is_durable_with_it(
    engine: BoltEngine, disk: GatedDisk
) -> None:
    for key, value in ((b"first", b"1"), (b"second", b"2")):
        transaction = engine.begin(writable=True)
        bucket = transaction.root.bucket(b"v1")
        assert bucket is not None
        bucket.put(key, value)
        before = disk.durable
        transaction.commit_with_next()
        assert disk.durable == before, "nobody waits for the disk"
    assert durable_keys(disk) == set()

    with engine.begin(writable=True) as rolled_back:
        rolled_back.rollback()
    assert durable_keys(disk) == {b"first", b"second"}, "who saw it answers when it is durable"
    version = engine.begin()
    assert version.id == rolled_back.id, "all of them are one version"
    version.rollback()


def test_who_builds_on_what_could_not_be_made_durable_is_told(
    engine: BoltEngine, disk: GatedDisk
) -> None:
    transaction = engine.begin(writable=True)
    transaction.root.create_bucket(b"left")
    transaction.commit_with_next()
    disk.fails = True
    with pytest.raises(EnginePoisonedError), engine.begin(writable=True) as later:
        later.root.create_bucket(b"later")
    with pytest.raises(EnginePoisonedError):
        engine.begin(writable=True)


def test_nobody_stands_in_line_behind_a_flush_after_their_own(
    engine: BoltEngine, disk: GatedDisk
) -> None:
    transaction = engine.begin(writable=True)
    transaction.root.create_bucket(b"early")
    group = gather(engine, transaction)
    version = flush(engine, group)
    disk.hold()
    later = Writer(engine, b"later")
    assert disk.waiting.wait(20)

    # Another one of the group comes late to wait for it: it is durable already.
    late = threading.Thread(target=engine._groups.wait, args=(group,), daemon=True)
    late.start()
    late.join(20)
    assert not late.is_alive()
    assert later.is_alive()
    disk.let_go()
    joined([later])
    assert later.number == version + 1
