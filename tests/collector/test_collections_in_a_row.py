"""The graph kept in memory between collections equals that of the database."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import worlds as naive
from collector.interleaving import interleaved, remove_record
from collector.records import Records, digest_of
from collector.settable import SettableClock
from collector.things import Things, thing
from collector.worlds import Record
from orlop import Database
from orlop.errors import FailedPreconditionError, InternalError
from orlop.gc import change_feed, edges
from orlop.gc import tracker as tracking
from orlop.gc.fast_load import load_beside_writers
from orlop.gc.node import Node
from orlop.gc.rules import RuleBook
from orlop.gc.scan import read_all
from orlop.gc.tracker import GraphTracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from collector.worlds import Thing
    from orlop.events import Event
    from orlop.gc.graph import Graph
    from orlop.transactions import Transactions

GC = "containerd.io/gc."
A, B, C = (digest_of(number) for number in range(3))


def stored(database: Database) -> set[Thing]:
    with database.view() as transaction:
        nodes = (facts.node for facts in read_all(transaction, RuleBook()))
        return {(node.type, node.namespace, node.key) for node in nodes}


def as_of_the_start(record: Record, hours: int) -> Record:
    """Return a record that was written some hours after the start, as if at the start."""
    expires = record.expires_in
    used = record.used_ago
    return replace(
        record,
        expires_in=None if expires is None else expires + hours,
        used_ago=None if used is None else used - hours,
    )


changes = st.lists(
    st.one_of(naive.records, naive.records.map(lambda record: record.thing)), max_size=5
)


@settings(max_examples=200, deadline=None)
@given(
    world=naive.worlds,
    steps=st.lists(st.tuples(changes, changes, st.sampled_from([0, 0, 1, 2])), max_size=5),
)
def test_every_collection_leaves_what_a_naive_reading_holds(
    world: list[Record], steps: list[tuple[list[Record | Thing], list[Record | Thing], int]]
) -> None:
    clock = SettableClock()
    known: dict[Thing, Record] = {}
    hours = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        Database.open_file(Path(folder, "meta.db"), clock=clock) as database,
    ):

        def change(some: list[Record | Thing]) -> None:
            with database.update() as update:
                for one in some:
                    place = one if isinstance(one, tuple) else one.thing
                    remove_record(update.transaction, *place)
                    known.pop(place, None)
                    if isinstance(one, Record):
                        one.write(Records(update.transaction, clock.now()))
                        known[place] = as_of_the_start(one, hours)

        def collect() -> None:
            removed = database.gc.run(verify=True).removed
            assert set(removed) <= naive.SWEPT
            present = stored(database)
            for place in [place for place in known if place not in present]:
                del known[place]

        change(list(world))
        collect()
        for before, meanwhile, later in steps:
            change(before)
            clock.advance(hours=later)
            hours += later
            with interleaved("marked", partial(change, meanwhile)):
                collect()
            # What was written meanwhile has one more collection to live.
            collect()
            expected = naive.survivors(list(known.values()), hours)
            assert {place for place in known if place[0] in naive.SWEPT} == expected


@pytest.fixture
def reads() -> Iterator[list[str]]:
    """Return a list that grows whenever all records are read."""
    found: list[str] = []

    def reading(
        graph: Graph, transactor: Transactions, book: RuleBook, yield_to_writers: Callable[[], None]
    ) -> None:
        found.append("all")
        load_beside_writers(graph, transactor, book, yield_to_writers)

    with mock.patch.object(tracking, "load_beside_writers", reading):
        yield found


def write_images(database: Database, count: int) -> None:
    with database.update() as update:
        records = Records(update.transaction, database.clock.now())
        for number in range(count):
            records.image("ns1", f"image-{number}", digest_of(number))
            records.blob("ns1", digest_of(number), {f"{GC}ref.content.0": digest_of(-1)})
        records.blob("ns1", digest_of(-1))


def remove_image(database: Database, number: int) -> None:
    with database.update() as update:
        remove_record(update.transaction, "image", "ns1", f"image-{number}")


def test_little_is_looked_at_after_a_little_change(bare: Database, reads: list[str]) -> None:
    write_images(bare, 500)
    assert bare.gc.run().removed == {}
    with (
        mock.patch.object(tracking, "_BUDGET_MIN", 50),
        mock.patch.object(tracking, "_BUDGET_SHARE", 1_000_000),
        mock.patch.object(GraphTracker, "_mark_all", side_effect=AssertionError),
    ):
        for number in (3, 7):
            remove_image(bare, number)
            assert bare.gc.run().removed == {"content": 1}
    assert reads == ["all"]


def test_a_circle_that_was_let_go_is_found(bare: Database, reads: list[str]) -> None:
    with bare.update() as update:
        records = Records(update.transaction, bare.clock.now())
        records.image("ns1", "image", A)
        for one, other in ((A, B), (B, C), (C, A)):
            records.blob("ns1", one, {f"{GC}ref.content.0": other})
    assert bare.gc.run().removed == {}
    with bare.update() as update:
        remove_record(update.transaction, "image", "ns1", "image")
    assert bare.gc.run().removed == {"content": 3}
    assert reads == ["all"]


def test_above_the_budget_everything_is_marked_anew(bare: Database, reads: list[str]) -> None:
    write_images(bare, 60)
    bare.gc.run()
    with bare.update() as update:
        for number in range(59):
            remove_record(update.transaction, "image", "ns1", f"image-{number}")
    with (
        mock.patch.object(tracking, "_BUDGET_MIN", 0),
        mock.patch.object(tracking, "_BUDGET_SHARE", 10),
    ):
        assert bare.gc.run(verify=True).removed == {"content": 59}
    assert reads == ["all"]


@pytest.mark.parametrize("reason", ["too much was touched", "too many names are gone"])
def test_a_graph_that_is_worn_out_is_read_again(
    bare: Database, reads: list[str], monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    write_images(bare, 10)
    bare.gc.run()
    if reason == "too much was touched":
        monkeypatch.setattr(change_feed, "TOUCHED_MAX", 3)
    else:
        monkeypatch.setattr(tracking, "_NAMES_MIN", -1_000)
    for number in range(5):
        remove_image(bare, number)
    assert bare.gc.run(verify=True).removed == {"content": 5}
    assert reads == ["all", "all"]


def test_a_collection_that_fails_leaves_no_graph(bare: Database, reads: list[str]) -> None:
    write_images(bare, 3)
    bare.gc.run()
    remove_image(bare, 0)
    with (
        mock.patch.object(GraphTracker, "follow_sweep", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        bare.gc.run()
    remove_image(bare, 1)
    assert bare.gc.run(verify=True).removed == {"content": 1}
    assert reads == ["all", "all"]


def test_other_resources_are_asked_each_time(bare: Database, reads: list[str]) -> None:
    write_images(bare, 3)
    bare.gc.run()
    things = Things([thing("one")], active=[thing("one")])
    bare.gc.register(things)
    for removed in ({}, {"thing": 1}):
        assert bare.gc.run().removed == removed
        things._active.clear()
    assert reads == ["all"] * 3


def test_a_graph_that_is_wrong_is_noticed(bare: Database) -> None:
    write_images(bare, 3)
    bare.gc.run()
    # Reported without saying what, as no update does it.
    with mock.patch.object(change_feed.Listener, "_add"):
        with bare.update() as update:
            Records(update.transaction, bare.clock.now()).image("ns1", "image-9", digest_of(1))
        remove_image(bare, 1)
    with pytest.raises(InternalError, match=r"not that of the database: .*image-9"):
        bare.gc.run(verify=True)
    assert bare.gc.run(verify=True).removed == {}


def test_a_subscriber_cannot_collect_within_a_collection(bare: Database) -> None:
    write_images(bare, 1)
    with bare.update() as update:
        records = Records(update.transaction, bare.clock.now())
        records.image("ns1", "old", digest_of(0), {f"{GC}expire": "2020-01-01T00:00:00Z"})
    refused: list[Event] = []

    def collect(event: Event) -> None:
        with pytest.raises(FailedPreconditionError):
            bare.gc.run()
        refused.append(event)

    bare.subscribe(collect)
    assert bare.gc.run().removed == {"image": 1}
    assert [event.topic for event in refused] == ["/images/delete"]
    assert Node("image", "ns1", "old") not in bare.gc.plan().marked.graph


@pytest.mark.interpreted("lowers a limit, which compiled code has built in")
def test_what_changes_leave_behind_is_dropped(
    bare: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edges, "WASTE_MIN", 10)
    write_images(bare, 5)
    for _ in range(10):
        bare.gc.run(verify=True)
        write_images(bare, 5)
    tracker = bare.gc._runner._tracker
    assert tracker is not None
    assert len(tracker.graph._edges._references) < 40
