"""The turns of a sweep: who waits for them, and who is told of what when."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from collect.interleaving import interleaved, remove_record
from collect.records import Records, digest_of
from orlop.collect import reports
from orlop.collect import run as running
from orlop.collect.pursuit import Pursuit
from orlop.collect.reports import Listener
from orlop.model.errors import UnavailableError
from orlop.stores.locks import SharedLock

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop import Database
    from orlop.model.events import Event

GC = "containerd.io/gc."
SECONDS = 10


def write(database: Database, function: Callable[[Records], object]) -> None:
    with database.update() as update:
        function(Records(update.transaction, database.clock.now()))


def write_garbage(database: Database, count: int) -> None:
    """Write a chain of blobs that nothing holds: the first refers to the second, and so on."""

    def chain(records: Records) -> None:
        for number in range(count):
            records.blob("ns1", digest_of(number), {f"{GC}ref.content.0": digest_of(number + 1)})

    write(database, chain)


def version(database: Database) -> int:
    with database.view() as transaction:
        return transaction.id


def test_where_nobody_waits_all_goes_in_one_commit(bare: Database) -> None:
    write_garbage(bare, 100)
    before = version(bare)
    with mock.patch.object(running, "_TURN_NANOSECONDS", 0):
        statistics = bare.gc.run()
    assert statistics.removed == {"content": 100}
    assert version(bare) == before + 1


def test_much_goes_in_several_commits(bare: Database) -> None:
    write_garbage(bare, 100)
    before = version(bare)
    with mock.patch.object(running, "_TURN_RECORDS", 40):
        assert bare.gc.run().removed == {"content": 100}
    assert version(bare) == before + 3


def test_a_turn_for_which_somebody_waits_ends(bare: Database) -> None:
    write_garbage(bare, 100)
    before = version(bare)
    with (
        mock.patch.object(running, "_TURN_NANOSECONDS", 0),
        mock.patch.object(SharedLock, "is_wanted", new_callable=mock.PropertyMock) as wanted,
    ):
        wanted.side_effect = [False, True, True] + [False] * 100
        assert bare.gc.run().removed == {"content": 100}
    assert version(bare) == before + 3


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

    def remove(self: running._Run, remaining: object, sweep: object) -> object:
        begun.set()
        while not bare.gate.is_wanted and not committed.is_set():
            pass
        left.append(len(remaining))  # type: ignore[arg-type]
        return actual(self, remaining, sweep)  # type: ignore[arg-type]

    actual = running._Run._remove
    thread = threading.Thread(target=commit)
    thread.start()
    with (
        mock.patch.object(running, "_TURN_NANOSECONDS", 0),
        mock.patch.object(running._Run, "_remove", remove),
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


def test_what_a_subscriber_writes_counts(bare: Database) -> None:
    def garbage(records: Records) -> None:
        records.snapshot("ns1", "native", "garbage", labels={f"{GC}ref.content.0": digest_of(1)})
        records.blob("ns1", digest_of(1), {f"{GC}ref.content.0": digest_of(2)})
        records.blob("ns1", digest_of(2))

    write(bare, garbage)
    end = bare.subscribe(
        lambda _: write(bare, lambda records: records.image("ns1", "image", digest_of(1)))
    )
    with interleaved("between", lambda: None):
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
    monkeypatch.setattr(reports, "TOUCHED_MAX", 3)

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


def test_a_listener_is_deaf_to_one_thread_for_a_while() -> None:
    listener = Listener()
    with listener.deaf():
        listener.note({(b"own",)})
        other = threading.Thread(target=listener.note, args=({(b"other",)},))
        other.start()
        other.join(SECONDS)
    listener.note({(b"later",)})
    assert listener.take() == {(b"other",), (b"later",)}


def test_a_sweep_is_not_read_again(bare: Database) -> None:
    write_garbage(bare, 20)
    with mock.patch.object(Pursuit, "_read_again", autospec=True) as read_again:
        read_again.return_value = {}
        assert bare.gc.run().removed == {"content": 20}
    assert all(not call.args[1] for call in read_again.call_args_list)
