"""The batches of a sweep: which updates wait for them, and when events are emitted."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from collector.interleaving import interleaved, remove_record
from collector.records import Records, digest_of
from orlop.concurrency.shared_lock import SharedLock
from orlop.errors import UnavailableError
from orlop.gc import change_feed, sweep
from orlop.gc import run as running
from orlop.gc.change_feed import Listener
from orlop.gc.sweep import SweepBatches
from orlop.gc.tracker import GraphTracker
from orlop.schema import snapshots

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from orlop import Database
    from orlop.events import Event
    from orlop.gc.node import Node
    from orlop.gc.sweep import Sweep

GC = "containerd.io/gc."
SECONDS = 10


def write(database: Database, function: Callable[[Records], object]) -> None:
    with database.update() as update:
        function(Records(update.transaction, database.clock.now()))


def write_garbage(database: Database, count: int) -> None:
    """Write a chain of unreachable blobs: the first refers to the second, and so on."""

    def chain(records: Records) -> None:
        for number in range(count):
            records.blob("ns1", digest_of(number), {f"{GC}ref.content.0": digest_of(number + 1)})

    write(database, chain)


def version(database: Database) -> int:
    with database.view() as transaction:
        return transaction.id


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of records deleted in each batch."""
    found: list[int] = []
    remove = SweepBatches._remove

    def count(self: SweepBatches, remaining: deque[list[int]], sweep: Sweep) -> list[Node]:
        removed = remove(self, remaining, sweep)
        found.append(len(removed))
        return removed

    monkeypatch.setattr(SweepBatches, "_remove", count)
    return found


def test_where_nobody_waits_all_goes_in_one_turn(bare: Database, sizes: list[int]) -> None:
    write_garbage(bare, 100)
    with mock.patch.object(sweep, "_BATCH_NANOSECONDS", 0):
        assert bare.gc.run().removed == {"content": 100}
    assert sizes == [100]


def test_turns_without_writers_between_are_one_commit(bare: Database, sizes: list[int]) -> None:
    write_garbage(bare, 100)
    before = version(bare)
    with mock.patch.object(sweep, "_BATCH_RECORDS_MAX", 40):
        assert bare.gc.run().removed == {"content": 100}
    assert sizes == [40, 40, 20]
    assert version(bare) == before + 1


def test_not_too_much_waits_for_the_disk(bare: Database, sizes: list[int]) -> None:
    write_garbage(bare, 100)
    before = version(bare)
    with (
        mock.patch.object(sweep, "_BATCH_RECORDS_MAX", 16),
        mock.patch.object(sweep, "_UNDURABLE_RECORDS", 32),
    ):
        assert bare.gc.run().removed == {"content": 100}
    assert sizes == [16] * 6 + [4]
    assert version(bare) == before + 4


def test_a_turn_for_which_somebody_waits_ends(bare: Database, sizes: list[int]) -> None:
    write_garbage(bare, 100)
    with (
        mock.patch.object(sweep, "_BATCH_NANOSECONDS", 0),
        mock.patch.object(SharedLock, "is_wanted", new_callable=mock.PropertyMock) as wanted,
    ):
        wanted.side_effect = [False, True, True] + [False] * 100
        assert bare.gc.run().removed == {"content": 100}
    assert sizes == [16, 8, 76]


def test_who_waits_gets_a_turn_between_two_of_the_sweep(bare: Database) -> None:
    write_garbage(bare, 200)
    begun, committed = threading.Event(), threading.Event()
    left: list[int] = []

    def commit() -> None:
        assert begun.wait(SECONDS)
        with bare.update() as update:
            images = Records(update.transaction, bare.clock.now())
            images.image("ns1", "image", digest_of(199))
        committed.set()

    def remove(self: SweepBatches, remaining: deque[list[int]], sweep: Sweep) -> list[Node]:
        begun.set()
        while not bare.gate.is_wanted and not committed.is_set():
            pass
        left.append(len(remaining))
        return actual(self, remaining, sweep)

    actual = SweepBatches._remove
    thread = threading.Thread(target=commit)
    thread.start()
    with (
        mock.patch.object(sweep, "_BATCH_NANOSECONDS", 0),
        mock.patch.object(SweepBatches, "_remove", remove),
    ):
        statistics = bare.gc.run()
    thread.join(SECONDS)
    assert committed.is_set()
    # One piece went, then the image was made, which holds the last blob; then the rest went.
    assert left == [25, 24]
    assert statistics.removed == {"content": 199}


def test_events_are_told_when_updates_go_on(bare: Database) -> None:
    write(bare, lambda records: records.snapshot("ns1", "native", "garbage"))
    told: list[str] = []

    def subscriber(event: Event) -> None:
        other = threading.Thread(
            target=lambda: write(bare, lambda records: records.lease("ns1", "made meanwhile"))
        )
        other.start()
        other.join(SECONDS)
        assert not other.is_alive()
        told.append(event.topic)

    bare.subscribe(subscriber)
    assert bare.gc.run().removed == {"snapshot": 1}
    assert told == ["/snapshot/remove"]


def test_events_are_told_when_all_is_durable(bare: Database) -> None:
    def garbage(records: Records) -> None:
        for key in ("one", "two"):
            records.snapshot("ns1", "native", key)

    write(bare, garbage)
    before = version(bare)
    told: list[tuple[str, int]] = []
    committed: list[bool] = []
    bare.subscribe(lambda event: told.append((event.topic, version(bare))))
    bare.follow(lambda changes: committed.append(changes.committed))
    with (
        mock.patch.object(sweep, "_BATCH_RECORDS_MAX", 1),
        mock.patch.object(running, "BATCH_RECORDS", 1),
    ):
        assert bare.gc.run().removed == {"snapshot": 2}
    assert told == [("/snapshot/remove", before + 1)] * 2
    assert committed == [True], "a sweep counts as one update, however many turns it takes"


def test_what_went_before_a_failure_is_told_of(bare: Database) -> None:
    def garbage(records: Records) -> None:
        for number in range(20):
            records.snapshot("ns1", "native", f"{number}")

    write(bare, garbage)
    told: list[Event] = []
    bare.subscribe(told.append)
    remove = SweepBatches._remove
    calls = iter([remove])

    def fail(self: SweepBatches, remaining: deque[list[int]], sweep: Sweep) -> list[Node]:
        for call in calls:
            return call(self, remaining, sweep)
        remove(self, remaining, sweep)
        raise KeyboardInterrupt

    with (
        mock.patch.object(sweep, "_BATCH_RECORDS_MAX", 8),
        mock.patch.object(SweepBatches, "_remove", fail),
        pytest.raises(KeyboardInterrupt),
    ):
        bare.gc.run()
    assert len(told) == 8
    assert bare.gc.run(verify=True).removed == {"snapshot": 12}
    assert len(told) == 20


def test_what_a_subscriber_writes_counts(bare: Database) -> None:
    def garbage(records: Records) -> None:
        records.snapshot("ns1", "native", "garbage", labels={f"{GC}ref.content.0": digest_of(1)})
        records.blob("ns1", digest_of(1), {f"{GC}ref.content.0": digest_of(2)})
        records.blob("ns1", digest_of(2))

    write(bare, garbage)
    end = bare.subscribe(
        lambda _: write(bare, lambda records: records.image("ns1", "image", digest_of(1)))
    )
    with mock.patch.object(sweep, "_UNDURABLE_RECORDS", 1), interleaved("between", lambda: None):
        assert bare.gc.run().removed == {"snapshot": 1}
    end()
    assert bare.gc.run(verify=True).removed == {}


def test_what_others_removed_meanwhile_is_not_counted(bare: Database) -> None:
    write_garbage(bare, 2)

    def remove() -> None:
        write(bare, lambda one: remove_record(one.transaction, "content", "ns1", digest_of(0)))

    with interleaved("marked", remove):
        assert bare.gc.run().removed == {"content": 1}
    assert bare.gc.run(verify=True).removed == {}


def test_a_collection_that_cannot_follow_removes_nothing_more(
    bare: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_garbage(bare, 2)
    monkeypatch.setattr(change_feed, "TOUCHED_MAX", 3)

    def many() -> None:
        for number in range(5):
            name = f"image-{number}"
            write(bare, partial(Records.image, namespace="ns1", name=name, digest=digest_of(0)))

    with (
        interleaved("marked", many),
        pytest.raises(UnavailableError, match="it cannot follow: run it again"),
    ):
        bare.gc.run()
    assert bare.gc.run().removed == {}


def test_what_is_not_durably_gone_is_not_read_as_if_it_were_there(bare: Database) -> None:
    write_garbage(bare, 3)
    waiting = iter([False, True])

    def make_a_snapshotter() -> None:
        # As the store does for a new snapshot, without waiting; all of the namespace is read then.
        if next(waiting, False):
            with bare.namespaces.transactor.update(later=True) as update:
                snapshots.create(update.transaction, "ns1", "native")

    with interleaved("between", make_a_snapshotter):
        statistics = bare.gc.run()
    # What is read again counts as touched, and stays until the next collection.
    assert statistics.removed == {"content": 1}
    assert statistics.kept == 2
    assert bare.gc.run(verify=True).removed == {"content": 2}


def test_a_listener_is_deaf_to_one_thread_for_a_while(bare: Database) -> None:
    listener = Listener(bare.engine)
    with listener.deaf():
        listener.note(1, {(b"own",)})
        other = threading.Thread(target=listener.note, args=(2, {(b"other",)}))
        other.start()
        other.join(SECONDS)
    listener.note(3, {(b"later",)})
    assert listener.take() == {(b"other",), (b"later",)}


def test_a_sweep_is_not_read_again(bare: Database) -> None:
    write_garbage(bare, 20)
    with mock.patch.object(GraphTracker, "_read_again", autospec=True) as read_again:
        read_again.return_value = {}
        assert bare.gc.run().removed == {"content": 20}
    assert all(not call.args[1] for call in read_again.call_args_list)
