"""A plan with omissions equals a plan after the same records or labels were deleted."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.edits import delete_label, delete_record
from collector.making import make_blob, make_image, make_snapshot
from collector.records import Records, digest_of
from collector.settable import SettableClock
from collector.test_paths import written
from collector.things import Things, thing
from collector.worlds import Record, worlds
from orlop import Database, LeaseResource
from orlop.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from orlop.gc import Node, Omission

if TYPE_CHECKING:
    from orlop.gc import Plan

GC = "containerd.io/gc."


def told(plan: Plan) -> list[tuple[Node, int, str]]:
    return [(one.node, one.bytes, one.reason) for one in plan.nodes]


@settings(max_examples=100, deadline=None)
@given(world=worlds, choices=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 9)), max_size=3))
def test_leaving_out_is_like_deleting(world: list[Record], choices: list[tuple[int, int]]) -> None:
    clock = SettableClock()
    omitted: list[Omission] = []
    for place, choice in choices if world else ():
        record = world[place % len(world)]
        edges = ["", *record.labels(clock.now())]
        omitted.append(Omission(Node(*record.thing), edges[choice % len(edges)]))
    whole = {one.node for one in omitted if not one.edge}
    with written(world, clock) as file:
        with Database.open_file(file, clock=clock) as database:
            expected_kept = database.gc.plan().kept
            plan = database.gc.plan(without=omitted)
        copy = file.with_name("copy.db")
        shutil.copy(file, copy)
        with Database.open_file(copy, clock=clock) as database:
            with database.update() as update:
                for node in whole:
                    delete_record(update.transaction, node)
                for node, label in dict.fromkeys(omitted):
                    if label and node not in whole:
                        delete_label(update.transaction, node, label)
            real = database.gc.plan()
    assert told(plan) == told(real)
    assert plan.kept == real.kept
    assert omitted or plan.kept == expected_kept


def test_a_field_is_left_out_like_a_label(bare: Database, clock: SettableClock) -> None:
    blob, child = Node("content", "ns", digest_of(1)), Node("snapshot", "ns", "native/child")
    with bare.update() as update:
        records = Records(update.transaction, clock.now())
        records.blob("ns", blob.key)
        records.snapshot("ns", "native", "base")
        records.snapshot("ns", "native", "child", "base")
        records.image("ns", "image", blob.key)
        records.container("ns", "c1", "native", "child")
        records.lease("ns", "lease", ("content", digest_of(2)), ("snapshots/native", "base"))
        records.blob("ns", digest_of(2))

    def removed(*omitted: Omission) -> list[str]:
        return [one.key for one in bare.gc.plan(without=omitted).nodes]

    lease = Node("lease", "ns", "lease")
    assert removed(Omission(Node("image", "ns", "image"), "target")) == [blob.key]
    assert removed(Omission(Node("container", "ns", "c1"), "snapshot")) == [child.key]
    assert removed(Omission(lease, "content")) == [digest_of(2)]
    assert removed(Omission(lease, "snapshots")) == []
    assert removed(Omission(lease, "snapshots"), Omission(child, "parent")) == ["native/base"]


def test_what_is_left_out_is_freed_too(database: Database) -> None:
    ns = database.namespace("default")
    layer = make_blob(ns, b"x" * 1000)
    manifest = make_blob(ns, b"y" * 200, {f"{GC}ref.content": layer})
    make_image(ns, "image", manifest)
    make_snapshot(ns, "base", labels={f"{GC}root": "x"})
    size = ns.snapshots("native").usage("base").size

    plan = database.gc.plan(without=[Node("image", "default", "image")])
    assert {one.key: one.bytes for one in plan.nodes} == {layer: 1000, manifest: 200}
    # The record of the blob is not in the plan any more; its data is.
    plan = database.gc.plan(without=[Node("content", "default", manifest)])
    assert [(one.type, one.key, one.bytes) for one in plan.nodes] == [
        ("content", layer, 1000),
        ("orphan", manifest, 200),
    ]
    plan = database.gc.plan(without=[Node("snapshot", "default", "native/base")])
    assert [(one.type, one.bytes) for one in plan.nodes] == [("orphan", size)]

    # Another namespace that names the blob keeps it.
    other = database.namespace("other")
    other.leases.create("lease")
    other.leases.add_resource("lease", LeaseResource(id=layer, type="content"))
    make_blob(other, b"x" * 1000)
    plan = database.gc.plan(without=[Node("image", "default", "image")])
    assert plan.freed_bytes == 200


def test_such_a_plan_cannot_be_applied(database: Database) -> None:
    ns = database.namespace("default")
    make_image(ns, "image", make_blob(ns, b"held"))
    plan = database.gc.plan(without=[Node("image", "default", "image")])
    with pytest.raises(FailedPreconditionError, match="without something that is there"):
        plan.apply()
    assert database.gc.plan().nodes == ()


def test_what_is_not_there_cannot_be_left_out(database: Database) -> None:
    ns = database.namespace("default")
    make_image(ns, "image", make_blob(ns, b"held"))
    image = Node("image", "default", "image")
    for missing in (
        Omission(Node("image", "other", "image")),
        Omission(Node("snapshot", "default", "native/none")),
        Omission(image, f"{GC}ref.content"),
        Omission(image, "parent"),
    ):
        with pytest.raises(NotFoundError):
            database.gc.plan(without=[missing])
    database.gc.register(Things([thing("used")]))
    with pytest.raises(InvalidArgumentError, match="left out"):
        database.gc.plan(without=[thing("used")])
    with pytest.raises(InvalidArgumentError, match="left out"):
        database.gc.plan(without=[Node("orphan", "", "x")])
