"""Writes during a collection: reachable records are kept, unreachable ones deleted."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from whenever import TimeDelta

from collector import worlds as naive
from collector.interleaving import interleaved, remove_record
from collector.records import Records, digest_of
from collector.settable import START, SettableClock
from collector.things import Things, thing
from orlop import Database
from orlop.gc.rules import RuleBook
from orlop.gc.scan import read_all
from orlop.gc.sweep import SweepBatches
from orlop.schema.codec.timestamps import format_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.worlds import Record, Thing

GC = "containerd.io/gc."
A, B = digest_of(1), digest_of(2)
PAST, SOON = (format_rfc3339(START + TimeDelta(hours=sign)) for sign in (-1, 1))


def stored(database: Database) -> set[Thing]:
    with database.view() as transaction:
        nodes = (facts.node for facts in read_all(transaction, RuleBook()))
        return {(node.type, node.namespace, node.key) for node in nodes}


def writing(database: Database, write: Callable[[Records], object]) -> None:
    with database.update() as update:
        write(Records(update.transaction, database.clock.now()))


@dataclass(frozen=True)
class Case:
    """Records before a collection, records written during it, and those that must stay.

    A record that is kept only because it was touched is deleted if that was before the mark.
    """

    before: Callable[[Records], object]
    meanwhile: Callable[[Records], object]
    stays: set[Thing]
    is_held: bool = True


def each(*writes: Callable[[Records], object]) -> Callable[[Records], object]:
    def write(records: Records) -> None:
        for one in writes:
            one(records)

    return write


def remove(kind: str, key: str) -> Callable[[Records], object]:
    return lambda records: remove_record(records.transaction, kind, "ns1", key)


def _chain(records: Records) -> None:
    records.blob("ns1", A, {f"{GC}ref.content.0": B})
    records.blob("ns1", B)


def _flat_chain(records: Records) -> None:
    _chain(records)
    records.lease("ns1", "flat", ("content", A), labels={f"{GC}flat": "x"})


def _layers(records: Records) -> None:
    records.snapshot("ns1", "native", "base")
    records.snapshot("ns1", "native", "top", "base", {f"{GC}ref.content.0": A})
    records.blob("ns1", A)


def _made_again(records: Records) -> None:
    remove_record(records.transaction, "content", "ns1", A)
    records.blob("ns1", A, {f"{GC}ref.content.0": B})


def _condition(records: Records) -> None:
    records.image("ns1", "image", A, {f"{GC}cond.snapshot.native": "usedat<72h|base"})
    records.snapshot("ns1", "native", "base")


def _used(records: Records) -> None:
    remove_record(records.transaction, "snapshot", "ns1", "native/base")
    records.snapshot("ns1", "native", "base", labels={f"{GC}cond.value-usedat": PAST})


def _expired_image(records: Records) -> None:
    records.image("ns1", "image", A, {f"{GC}expire": PAST})
    _chain(records)


BLOBS: set[Thing] = {("content", "ns1", A), ("content", "ns1", B)}
CASES = {
    "a chain gets an image": Case(_chain, lambda records: records.image("ns1", "image", A), BLOBS),
    "held flat, then whole": Case(
        _flat_chain, lambda records: records.image("ns1", "image", A), BLOBS
    ),
    "a lease loses its flatness": Case(
        _flat_chain, lambda records: records.lease("ns1", "flat", labels={}), BLOBS
    ),
    "a lease gets a resource": Case(
        each(_chain, lambda records: records.lease("ns1", "lease")),
        lambda records: records.lease("ns1", "lease", ("content", A)),
        BLOBS,
    ),
    "a back reference to a parent that was marked": Case(
        each(_chain, lambda records: records.image("ns1", "image", digest_of(9))),
        lambda records: records.blob(
            "ns1", A, {f"{GC}bref.image": "image", f"{GC}ref.content.0": B}
        ),
        BLOBS,
    ),
    "the value of a condition": Case(
        each(_condition, _chain),
        _used,
        {*BLOBS, ("snapshot", "ns1", "native/base")},
    ),
    "a leased digest is committed": Case(
        lambda records: (records.blob("ns1", B), records.lease("ns1", "lease", ("content", A))),
        lambda records: records.blob("ns1", A, {f"{GC}ref.content.0": B}),
        BLOBS,
    ),
    "a key is deleted and made again": Case(_chain, _made_again, BLOBS, is_held=False),
    "an expired lease is renewed": Case(
        each(
            _chain,
            lambda records: records.lease(
                "ns1", "lease", ("content", A), labels={f"{GC}expire": PAST}
            ),
        ),
        lambda records: records.lease("ns1", "lease", labels={f"{GC}expire": SOON}),
        {*BLOBS, ("lease", "ns1", "lease")},
    ),
    "an expired image is renewed": Case(
        _expired_image,
        each(
            remove("image", "image"),
            lambda records: records.image("ns1", "image", A, {f"{GC}expire": SOON}),
        ),
        {*BLOBS, ("image", "ns1", "image")},
    ),
    "a container on layers": Case(
        _layers,
        lambda records: records.container("ns1", "container", "native", "top"),
        {("snapshot", "ns1", "native/base"), ("snapshot", "ns1", "native/top")}
        | {("content", "ns1", A)},
    ),
    "a sandbox refers to a chain": Case(
        _chain,
        lambda records: records.sandbox("ns1", "sandbox", {f"{GC}ref.content.0": A}),
        BLOBS,
    ),
    "an ingest shares a blob": Case(
        _chain,
        lambda records: records.ingest(
            "ns1", "ingest", expected=A, expires=START + TimeDelta(hours=1)
        ),
        BLOBS,
    ),
    "a namespace is made": Case(
        _chain,
        lambda records: (
            records.blob("ns2", A),
            records.snapshot("ns2", "overlayfs", "base"),
            records.image("ns1", "image", A),
        ),
        {*BLOBS, ("content", "ns2", A), ("snapshot", "ns2", "overlayfs/base")},
        is_held=False,
    ),
}


@pytest.mark.parametrize("moment", ["read", "marked", "between"])
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_what_is_written_meanwhile_counts(bare: Database, case: Case, moment: str) -> None:
    writing(bare, case.before)
    writing(bare, lambda records: records.blob("ns1", digest_of(7)))  # so that there is a sweep
    calls = iter([case.meanwhile])

    def once() -> None:
        for write in calls:
            writing(bare, write)

    with interleaved(moment, once):
        bare.gc.run()

    if case.is_held or moment != "read":
        assert case.stays <= stored(bare)
    assert ("content", "ns1", digest_of(7)) not in stored(bare)


def test_a_cycle_that_loses_its_root_goes_with_the_next(bare: Database) -> None:
    def cycle(records: Records) -> None:
        records.image("ns1", "image", A)
        records.blob("ns1", A, {f"{GC}ref.content.0": B})
        records.blob("ns1", B, {f"{GC}ref.content.0": A})

    writing(bare, cycle)

    def lose() -> None:
        writing(bare, remove("image", "image"))

    with interleaved("marked", lose):
        assert bare.gc.run().removed == {}
    assert bare.gc.run().removed == {"content": 2}


def test_what_was_made_again_and_is_not_held_goes_with_the_next(bare: Database) -> None:
    writing(bare, _chain)
    with interleaved("marked", lambda: writing(bare, _made_again)):
        assert bare.gc.run().removed == {}
    assert bare.gc.run().removed == {"content": 2}


def test_all_goes_in_one_piece_where_other_resources_take_part(
    bare: Database,
) -> None:
    writing(bare, lambda records: records.blob("ns1", A, {f"{GC}ref.test": "one"}))
    writing(bare, lambda records: records.blob("ns1", B))
    things = Things([thing("one"), thing("two")])
    bare.gc.register(things)
    seen: list[tuple[list[str], list[str]]] = []

    run = SweepBatches.run_with_sessions

    def look_and_run(self: SweepBatches, *arguments: Any) -> None:
        seen.append((sorted(node.key for node in things.every), list(things.ended)))
        run(self, *arguments)

    with mock.patch.object(SweepBatches, "run_with_sessions", look_and_run):
        assert bare.gc.run().removed == {"content": 2, "thing": 2}

    assert seen == [(["one", "two"], [])]


mutations = st.lists(
    st.one_of(naive.records, naive.records.map(lambda record: record.thing)), max_size=6
)


class World:
    """A database, and its contents as plain data."""

    def __init__(self, database: Database, world: list[Record]) -> None:
        self.database = database
        self.records = {record.thing: record for record in world}
        writing(database, each(*(record.write for record in world)))

    def change(self, changes: list[Record | Thing]) -> None:
        with self.database.update() as update:
            records = Records(update.transaction, self.database.clock.now())
            for change in changes:
                place = change if isinstance(change, tuple) else change.thing
                remove_record(update.transaction, *place)
                self.records.pop(place, None)
                if not isinstance(change, tuple):
                    change.write(records)
                    self.records[place] = change
        self.take_over_removals()

    def take_over_removals(self) -> None:
        present = stored(self.database)
        self.records = {place: one for place, one in self.records.items() if place in present}

    def held(self) -> set[Thing]:
        return naive.survivors(list(self.records.values()))


@settings(max_examples=150, deadline=None)
@given(world=naive.worlds, at_read=mutations, at_mark=mutations, between=st.lists(mutations))
def test_nothing_reachable_goes_and_nothing_else_stays(
    world: list[Record],
    at_read: list[Record | Thing],
    at_mark: list[Record | Thing],
    between: list[list[Record | Thing]],
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Database.open_file(Path(folder, "meta.db"), clock=SettableClock()) as database,
    ):
        known = World(database, world)
        waiting = iter(between)
        held: set[Thing] = known.held()

        def change(changes: list[Record | Thing]) -> None:
            nonlocal held
            assert held <= stored(database), "what was held after the last change is there"
            known.change(changes)
            held = known.held()

        with (
            interleaved("read", lambda: change(at_read)),
            interleaved("marked", lambda: change(at_mark)),
            interleaved("between", lambda: change(next(waiting, []))),
        ):
            database.gc.run()
        assert held <= stored(database)

        database.gc.run()
        known.take_over_removals()
        swept = {place for place in known.records if place[0] in naive.SWEPT}
        assert swept == known.held()
        assert database.gc.run().removed == {}


@settings(max_examples=100, deadline=None)
@given(world=naive.worlds)
def test_garbage_is_complete_between_two_pieces(world: list[Record]) -> None:
    """A writer that makes a record reachable again finds all its references."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Database.open_file(Path(folder, "meta.db"), clock=SettableClock()) as database,
    ):
        known = World(database, world)
        all_records = dict(known.records)

        def look() -> None:
            present = stored(database)
            for place in present:
                record = all_records[place]
                targets = {
                    one.thing(record.namespace) for one in record.references if one.kind == "ref"
                }
                targets.update(naive._fields(record))
                targets.update(
                    (naive._LEASED[kind], record.namespace, f"{sn}/{key}" if sn else key)
                    for kind, sn, key in record.leased
                )
                assert targets & all_records.keys() <= present

        with interleaved("between", look):
            database.gc.run()
