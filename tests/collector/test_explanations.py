from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collector.making import make_blob, make_image, make_snapshot
from collector.records import Records, digest_of
from orlop import Container, LeaseResource, ProtoAny, Runtime
from orlop.errors import NotFoundError
from orlop.gc import Node, Step

if TYPE_CHECKING:
    from collector.settable import SettableClock
    from orlop import Database, Namespace

GC = "containerd.io/gc."


def _tree(ns: Namespace) -> tuple[str, str]:
    """An image; a label of its config keeps the upper of two snapshots; a container on it."""
    make_snapshot(ns, "base")
    make_snapshot(ns, "top", "base")
    layer = make_blob(ns, b"layer")
    manifest = make_blob(
        ns, b"manifest", {f"{GC}ref.content.l.0": layer, f"{GC}ref.snapshot.native": "top"}
    )
    make_image(ns, "busybox", manifest)
    ns.snapshots("native").prepare("work", "top")
    ns.containers.create(
        Container(
            id="c1",
            runtime=Runtime(name="runc"),
            spec=ProtoAny(type_url="spec", value=b""),
            snapshotter="native",
            snapshot_key="work",
        )
    )
    return manifest, layer


def test_it_is_told_who_holds_what(database: Database) -> None:
    ns = database.namespace("default")
    manifest, layer = _tree(ns)
    ns.leases.create("l1")
    ns.leases.add_resource("l1", LeaseResource(id=layer, type="content"))

    assert database.gc.held_by(Node("content", "default", layer)) == (
        (
            Step(Node("lease", "default", "l1"), "lease"),
            Step(Node("content", "default", layer), "content"),
        ),
        (
            Step(Node("image", "default", "busybox"), "image"),
            Step(Node("content", "default", manifest), "target"),
            Step(Node("content", "default", layer), f"{GC}ref.content.l.0"),
        ),
    )
    base = Node("snapshot", "default", "native/base")
    plan = database.gc.plan()
    assert [[step.node.key for step in path] for path in plan.held_by(base)] == [
        ["busybox", manifest, "native/top", "native/base"],
        ["c1", "native/work", "native/top", "native/base"],
    ]
    assert plan.explain(base) == (
        'snapshot "native/base" in namespace "default" is held:\n'
        f"  image busybox (an image that has not expired) --target--> content {manifest} "
        f"--{GC}ref.snapshot.native--> snapshot native/top --parent--> snapshot native/base\n"
        "  container c1 (a container) --snapshot--> snapshot native/work "
        "--parent--> snapshot native/top --parent--> snapshot native/base"
    )
    assert database.gc.explain(base) == plan.explain(base)
    (path,) = database.gc.held_by(Node("container", "default", "c1"))
    assert path == (Step(Node("container", "default", "c1"), "container"),)


def test_it_is_told_what_is_only_held_flat(database: Database) -> None:
    ns = database.namespace("default")
    layer = make_blob(ns, b"layer")
    manifest = make_blob(ns, b"manifest", {f"{GC}ref.content": layer})
    ns.leases.create("l1", labels={f"{GC}flat": "x"})
    ns.leases.add_resource("l1", LeaseResource(id=manifest, type="content"))
    plan = database.gc.plan()
    assert "content " + manifest + " (flat)" in plan.explain(Node("content", "default", manifest))
    (removal,) = plan.nodes
    assert plan.explain(removal) == (
        f'content {layer} in namespace "default" is removed: '
        f"content {manifest} refers to it, but is itself held flat"
    )


def test_what_is_not_there_is_not_explained(database: Database) -> None:
    unknown = Node("content", "default", digest_of(1))
    with pytest.raises(NotFoundError):
        database.gc.plan().explain(unknown)
    with pytest.raises(NotFoundError):
        database.gc.explain(unknown)
    # What is held and does not exist is explained all the same: it may come.
    ns = database.namespace("default")
    ns.leases.create("l1")
    ns.leases.add_resource("l1", LeaseResource(id=digest_of(1), type="content"))
    assert "lease l1" in database.gc.explain(unknown)


def test_garbage_is_explained_without_a_plan(database: Database) -> None:
    digest = make_blob(database.namespace("default"), b"garbage")
    node = Node("content", "default", digest)
    assert database.gc.held_by(node) == ()
    assert database.gc.explain(node) == f"nothing holds {node}: nothing refers to it"


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({}, "nothing refers to it"),
        ({f"{GC}bref.image": "gone"}, "nothing holds what it is bound to: image gone"),
    ],
)
def test_reasons_of_blobs(bare: Database, labels: dict[str, str], reason: str) -> None:
    with bare.update() as update:
        Records(update.transaction, bare.clock.now()).blob("ns", digest_of(1), labels)
    (removal,) = bare.gc.plan().nodes
    assert removal.reason == reason


def test_reasons_of_records_that_others_speak_of(bare: Database, clock: SettableClock) -> None:
    used = f"{GC}cond.value-usedat"
    with bare.update() as update:
        records = Records(update.transaction, clock.now())
        records.blob("ns", digest_of(1), {f"{GC}ref.content": digest_of(2)})
        records.blob("ns", digest_of(2), {f"{GC}ref.content": digest_of(1)})
        records.blob("ns", digest_of(3), {f"{GC}ref.content": digest_of(3)})
        records.image("ns", "old", digest_of(9), {f"{GC}expire": "2020-01-01T00:00:00Z"})
        records.image("ns", "new", digest_of(9), {f"{GC}cond.snapshot.native": "usedat<1h|s"})
        records.snapshot("ns", "native", "s", labels={used: "2020-01-01T00:00:00Z"})
        records.ingest("ns", "unleased")
    assert {item.key: item.reason for item in bare.gc.plan().nodes} == {
        digest_of(1): f"only what goes too refers to it: content {digest_of(2)}",
        digest_of(2): f"only what goes too refers to it: content {digest_of(1)}",
        digest_of(3): "nothing refers to it",
        "old": "it expired at 2020-01-01T00:00:00Z, and nothing refers to it",
        "native/s": (
            "the condition under which image new refers to it does not hold "
            f"({GC}cond.snapshot.native)"
        ),
        "unleased": "it has no expiry of its own, and no lease holds it",
    }
