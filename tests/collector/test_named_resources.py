"""References of plug-in resources count for every reachable node, listed or not."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import worlds as naive
from collector.interleaving import interleaved
from collector.making import make_blob
from collector.records import Records, digest_of
from collector.settable import SettableClock
from collector.things import Things, thing
from orlop import Database, LeaseResource
from orlop.gc.node import Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop import Namespace

GC = "containerd.io/gc."


def blob(digest: str) -> Node:
    return Node("content", "ns1", digest)


def _by_label(ns: Namespace, _: Things) -> None:
    make_blob(ns, b"holder", {f"{GC}root": "x", f"{GC}ref.test": "unlisted"})


def _by_back_reference(ns: Namespace, things: Things) -> None:
    digest = make_blob(ns, b"holder", {f"{GC}root": "x"})
    things._back.append((blob(digest), thing("unlisted")))


def _by_lease(ns: Namespace, things: Things) -> None:
    ns.leases.create("lease")
    things._leased["lease"] = [thing("unlisted")]


def _by_use(_: Namespace, things: Things) -> None:
    things._active.append(thing("unlisted"))


def _by_another_of_its_kind(_: Namespace, things: Things) -> None:
    things._active.append(thing("first"))
    things._forward[thing("first")] = [thing("second")]
    things._forward[thing("second")] = [thing("unlisted")]


@pytest.mark.parametrize(
    "name_it",
    [_by_label, _by_back_reference, _by_lease, _by_use, _by_another_of_its_kind],
)
def test_what_a_reached_resource_refers_to_stays(
    database: Database, name_it: Callable[[Namespace, Things], None]
) -> None:
    ns = database.namespace("ns1")
    kept = make_blob(ns, b"kept")
    make_blob(ns, b"garbage")
    things = Things([], forward={thing("unlisted"): [blob(kept)]})
    name_it(ns, things)
    database.gc.register(things)

    plan = database.gc.plan()
    assert [one.type for one in plan.nodes] == ["content"]
    (path,) = database.gc.held_by(blob(kept))
    assert path[-2].node == thing("unlisted")
    assert database.gc.run().removed == {"content": 1}
    with ns.content.open(kept) as reader:
        assert reader.read() == b"kept"


def test_what_another_kind_of_resource_names_is_asked(database: Database) -> None:
    ns = database.namespace("ns1")
    kept = make_blob(ns, b"kept")
    things = Things([], forward={thing("unlisted"): [blob(kept)]})
    other = Things(
        [],
        active=[Node("another", "ns1", "x")],
        forward={Node("another", "ns1", "x"): [thing("unlisted")]},
    )
    other.type = "another"
    database.gc.register(things)
    database.gc.register(other)
    assert database.gc.plan().nodes == ()
    assert database.gc.run().removed == {}


@pytest.mark.parametrize("kind", ["leased", "back"])
def test_a_record_that_a_resource_holds_keeps_what_it_refers_to(
    database: Database, kind: str
) -> None:
    ns = database.namespace("ns1")
    below = make_blob(ns, b"below")
    held = make_blob(ns, b"held", {f"{GC}ref.content.0": below})
    ns.leases.create("lease")
    things = Things([thing("used")], active=[thing("used")])
    if kind == "leased":
        things._leased["lease"] = [blob(held)]
    else:
        things._back.append((thing("used"), blob(held)))
    database.gc.register(things)
    assert database.gc.plan().nodes == ()
    assert database.gc.held_by(blob(below))
    assert database.gc.run().removed == {}


def test_a_record_that_a_resource_holds_flat_keeps_nothing_else(database: Database) -> None:
    ns = database.namespace("ns1")
    below = make_blob(ns, b"below")
    held = make_blob(ns, b"held", {f"{GC}ref.content.0": below})
    ns.leases.create("lease")
    database.gc.register(Things([], leased={"lease": [blob(held).flat]}))
    assert [one.node for one in database.gc.plan().nodes] == [blob(below)]
    assert database.gc.run().removed == {"content": 1}
    assert [info.digest for info in ns.content.walk()] == [held]


def test_what_is_named_before_updates_wait_is_asked(bare: Database) -> None:
    """By a label, by a lease and in a namespace that were not there when the run began."""

    def write(write: Callable[[Records], object]) -> None:
        with bare.update() as update:
            write(Records(update.transaction, bare.clock.now()))

    kept = [digest_of(number) for number in range(3)]
    for digest in kept:
        write(lambda records, digest=digest: records.blob("ns1", digest))  # type: ignore[misc]
    write(lambda records: records.blob("ns1", digest_of(3)))
    things = Things(
        [],
        active=[thing("new", "ns2")],
        leased={"late": [thing("leased")]},
        forward={
            thing("labelled"): [blob(kept[0])],
            thing("leased"): [blob(kept[1])],
            thing("new", "ns2"): [blob(kept[2])],
        },
    )
    bare.gc.register(things)

    def others() -> None:
        write(lambda records: records.image("ns1", "i", "", {f"{GC}ref.test": "labelled"}))
        write(lambda records: records.lease("ns1", "late"))
        write(lambda records: records.image("ns2", "i", ""))

    with interleaved("marked", others):
        assert bare.gc.run().removed == {"content": 1}


def test_expired_leases_hold_nothing_for_resources(
    database: Database, clock: SettableClock
) -> None:
    ns = database.namespace("ns1")
    kept = make_blob(ns, b"kept")
    ns.leases.create("lease", expires=timedelta(hours=1))
    ns.leases.add_resource("lease", LeaseResource(id=kept, type="content"))
    database.gc.register(Things([], leased={"lease": [blob(kept)]}))
    assert database.gc.run().removed == {}
    clock.advance(hours=2)
    assert database.gc.run().removed == {"content": 1, "lease": 1}


resource_names = st.sampled_from(
    [Node("thing", ns, key) for ns in naive.NAMESPACES for key in "abc"]
)
record_names = st.builds(
    lambda kind, ns, key: Node(kind, ns, f"native/{key}" if kind == "snapshot" else key),
    st.sampled_from(["content", "snapshot", "image", "ingest", "lease", "container"]),
    naive.namespaces,
    naive.keys,
)
any_names = st.one_of(resource_names, record_names)
holders = st.one_of(resource_names, record_names)
any_things = st.builds(
    lambda every, active, leased, back, forward: Things(
        every, active=active, leased=leased, back=back, forward=forward
    ),
    st.lists(resource_names, unique=True, max_size=3),
    st.lists(resource_names, max_size=2),
    st.dictionaries(naive.keys, st.lists(any_names, max_size=2), max_size=2),
    st.lists(st.tuples(holders, any_names), max_size=3),
    st.dictionaries(resource_names, st.lists(any_names, min_size=1, max_size=2), min_size=3),
)
labelled = st.lists(
    st.builds(
        naive.Reference,
        st.just("ref"),
        st.just("test"),
        st.just(""),
        naive.keys,
        st.sampled_from(["", ".0"]),
    ),
    max_size=1,
)


def survivors(world: list[naive.Record], things: Things) -> set[naive.Thing]:
    """Return the reachable things by a naive fixpoint over records and resources."""
    whole: set[naive.Thing] = set()
    flat: set[naive.Thing] = set()
    size = -1
    while size != len(whole) + len(flat):
        size = len(whole) + len(flat)
        for record in world:
            naive._go_round(record, world, 0, whole, flat)
            if record.thing in whole:
                whole.update(
                    ("thing", record.namespace, one.key)
                    for one in record.references
                    if one.target == "test"
                )
            expired = record.expires_in is not None and record.expires_in < 0
            if record.type == "lease" and not expired and record.thing in whole:
                whole.update(node[:3] for node in things.leased(record.namespace, record.key))
        for namespace in {record.namespace for record in world}:
            whole.update(node[:3] for node in things.active(namespace))
            for parent, child in things.back_references(namespace):
                if parent[:3] in whole:
                    whole.add(child[:3])
        for node, targets in things._forward.items():
            if node[:3] in whole:
                whole.update(target[:3] for target in targets)
    present = {one.thing for one in world if one.type in naive.SWEPT}
    return (present | {node[:3] for node in things.every}) & (whole | flat)


@settings(max_examples=250, deadline=None)
@given(world=naive.worlds, things=any_things, labels=st.lists(labelled, max_size=25))
def test_what_a_naive_reading_holds_stays(
    world: list[naive.Record], things: Things, labels: list[list[naive.Reference]]
) -> None:
    for record, added in zip(world, labels, strict=False):
        if record.type not in {"lease", "ingest"}:
            record.references = [*record.references, *added]
    with (
        tempfile.TemporaryDirectory() as folder,
        Database.open_file(Path(folder, "meta.db"), clock=SettableClock()) as database,
    ):
        naive.write_world(database, world, database.clock.now())
        database.gc.register(things)
        expected = survivors(world, things)
        present = {one.thing for one in world if one.type in naive.SWEPT}
        present |= {node[:3] for node in things.every}
        planned = {one.node[:3] for one in database.gc.plan().nodes}
        assert planned == present - expected
        database.gc.run()
        left = {node[:3] for node in database.gc.mark().graph.swept()}
        assert left == expected
        assert {node[:3] for node in things.every} == {one for one in expected if one[0] == "thing"}
