from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from whenever import TimeDelta

import orlop
from collect.making import (
    blobs_on_disk,
    bytes_on_disk,
    make_blob,
    make_snapshot,
    snapshots_on_disk,
)
from collect.records import Records, bucket_at, digest_of
from collect.things import Things, thing
from orlop import Container, Descriptor, Image, LeaseResource, ProtoAny, Runtime
from orlop.collect import Node, Step
from orlop.model.errors import FailedPreconditionError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from collect.settable import SettableClock
    from orlop import Database, Namespace

GC = "containerd.io/gc."


def image(namespace: Namespace, name: str, digest: str) -> None:
    target = Descriptor(media_type="irrelevant", digest=digest, size=1)
    namespace.images.create(Image(name=name, target=target))


def test_a_plan_touches_nothing(database: Database) -> None:
    ns = database.namespace("default")
    digest = make_blob(ns, b"garbage")
    make_snapshot(ns, "garbage")
    first, second = database.gc.plan(), database.gc.plan()
    assert first.nodes == second.nodes
    assert [one.node for one in first.nodes] == [
        Node("snapshot", "default", "native/garbage"),
        Node("content", "default", digest),
    ]
    assert ns.content.info(digest).size == 7
    assert len(blobs_on_disk(database)) == 1


def test_the_bytes_of_a_plan_are_what_the_disk_gives_back(database: Database) -> None:
    one, two = database.namespace("one"), database.namespace("two")
    make_blob(one, b"x" * 10_001)
    both = make_blob(one, b"y" * 20_003)
    make_blob(two, b"y" * 20_003)
    kept = make_blob(one, b"z" * 40_009)
    make_blob(two, b"z" * 40_009, {f"{GC}root": "x"})
    with one.lease(), one.content.writer("unfinished") as writer:
        writer.write(b"w" * 80_021)
    three = database.namespace("three")
    with three.lease(), three.content.writer("sharing", expected=kept):
        pass
    lost = database.content_backend.writer("nobody/1/knows")
    lost.write(b"v" * 160_001)
    lost.close()

    plan = database.gc.plan()
    by_key = {(item.namespace, item.key): item.bytes for item in plan.nodes}
    assert by_key.pop(("one", kept)) == 0
    assert by_key.pop(("three", "sharing")) == 0
    assert by_key.pop(("one", "unfinished")) == 80_021
    assert by_key.pop(("", "nobody/1/knows")) == 160_001
    # The same blob in two namespaces that both go is freed once.
    assert by_key.pop(("one", both)) + by_key.pop(("two", both)) == 20_003
    assert list(by_key.values()) == [10_001]

    before = bytes_on_disk(database)
    statistics = plan.apply()
    assert before - bytes_on_disk(database) == plan.freed_bytes == statistics.freed_bytes
    assert database.gc.plan().nodes == ()


def test_an_ingest_that_alone_keeps_a_blob_frees_it(
    database: Database, clock: SettableClock
) -> None:
    one, two = database.namespace("one"), database.namespace("two")
    digest = make_blob(one, b"1234567")
    two.content.writer("sharing", expected=digest).close()
    database.gc.run()
    assert set(blobs_on_disk(database)) == {digest}
    clock.advance(hours=25)
    plan = database.gc.plan()
    assert [(item.type, item.bytes) for item in plan.nodes] == [("ingest", 7)]
    assert plan.apply().freed_bytes == 7
    assert blobs_on_disk(database) == {}


def test_the_bytes_of_snapshots_are_what_the_backend_says(database: Database) -> None:
    ns = database.namespace("default")
    make_snapshot(ns, "base", files={"file": b"x" * 100_000})
    make_snapshot(ns, "child", "base")
    usage = {key: ns.snapshots("native").usage(key).size for key in ("base", "child")}
    plan = database.gc.plan()
    assert {item.key: item.bytes for item in plan.nodes} == {
        f"native/{key}": size for key, size in usage.items()
    }
    assert usage["base"] >= 100_000
    assert plan.apply().freed_bytes == plan.freed_bytes == sum(usage.values())


def test_a_snapshot_on_which_another_stands_in_the_backend_frees_nothing(
    database: Database,
) -> None:
    ns, other = database.namespace("default"), database.namespace("other")
    make_snapshot(ns, "base")
    # Another namespace has one that stands on it, under a name that leads there.
    make_snapshot(other, "held", labels={f"{GC}root": "x"})
    backend = database.snapshot_backends["native"]
    (mount,) = backend.prepare("other/9/on-top", "default/2/base")
    assert mount.source
    with database.update() as update:
        bucket = bucket_at(update.transaction, "other", "snapshots", "native", "held")
        bucket.put(b"name", b"other/9/on-top")
    plan = database.gc.plan()
    assert [(item.key, item.bytes) for item in plan.nodes if item.type == "snapshot"] == [
        ("native/base", 0)
    ]
    plan.apply()
    assert "default/2/base" in snapshots_on_disk(database)


def test_a_plan_for_another_time_only_answers(database: Database, clock: SettableClock) -> None:
    ns = database.namespace("default")
    ns.leases.create("timed", expires=timedelta(hours=1))
    with ns.using_lease("timed"):
        make_blob(ns, b"leased")
    assert database.gc.plan().nodes == ()
    plan = database.gc.plan(now=clock.now() + TimeDelta(hours=2))
    assert [item.type for item in plan.nodes] == ["lease", "content"]
    assert plan.freed_bytes == 6
    with pytest.raises(FailedPreconditionError, match="another time"):
        plan.apply()
    clock.advance(hours=2)
    assert database.gc.plan().apply().removed == {"lease": 1, "content": 1}


def _use_with_image(ns: Namespace, digest: str) -> None:
    image(ns, "new", digest)


def _use_with_lease(ns: Namespace, digest: str) -> None:
    ns.leases.create("new")
    ns.leases.add_resource("new", LeaseResource(id=digest, type="content"))


def _make_anew(ns: Namespace, digest: str) -> None:
    ns.content.delete(digest)
    assert make_blob(ns, b"planned") == digest


@pytest.mark.parametrize(
    ("revive", "said"),
    [
        (_use_with_image, "is held now"),
        (_use_with_lease, "is held now"),
        (_make_anew, "was made anew"),
    ],
)
def test_what_has_come_alive_is_refused(
    database: Database,
    clock: SettableClock,
    revive: Callable[[Namespace, str], None],
    said: str,
) -> None:
    ns = database.namespace("default")
    digest = make_blob(ns, b"planned")
    other = make_blob(ns, b"other")
    plan = database.gc.plan()
    clock.advance(seconds=1)
    revive(ns, digest)
    with pytest.raises(FailedPreconditionError, match=said) as caught:
        plan.apply()
    assert digest in str(caught.value)
    assert set(blobs_on_disk(database)) == {digest, other}
    assert ns.content.info(other).size == 5


def test_an_orphan_that_has_a_name_by_now_is_refused(database: Database) -> None:
    ns = database.namespace("default")
    digest = make_blob(ns, b"orphan")
    ns.content.delete(digest)
    plan = database.gc.plan()
    assert [item.type for item in plan.nodes] == ["orphan"]
    assert make_blob(ns, b"orphan") == digest
    with pytest.raises(FailedPreconditionError, match="has a name now"):
        plan.apply()
    assert set(blobs_on_disk(database)) == {digest}


def test_only_what_is_planned_goes(database: Database) -> None:
    ns = database.namespace("default")
    planned = make_blob(ns, b"planned")
    gone = make_blob(ns, b"gone before")
    plan = database.gc.plan()
    later = make_blob(ns, b"later")
    make_snapshot(ns, "later")
    ns.content.delete(gone)
    statistics = plan.apply()
    assert statistics.removed == {"content": 1}
    assert set(blobs_on_disk(database)) == {later}
    assert planned != gone
    assert len(snapshots_on_disk(database)) == 1
    # The rest is for the next run, which still knows of it.
    statistics = database.gc.run()
    assert statistics.removed == {"content": 1, "snapshot": 1}
    assert (blobs_on_disk(database), snapshots_on_disk(database)) == ({}, set())


def test_a_plan_can_be_applied_once(database: Database) -> None:
    make_blob(database.namespace("default"), b"planned")
    plan = database.gc.plan()
    assert plan.apply().removed == {"content": 1}
    statistics = plan.apply()
    assert (statistics.removed, statistics.deleted) == ({}, 0)


def test_a_reader_may_plan_but_not_apply(database: Database) -> None:
    make_blob(database.namespace("default"), b"garbage")
    assert database.root is not None
    with orlop.open(database.root, read_only=True) as reading:
        plan = reading.gc.plan()
        assert plan.freed_bytes == 7
        with pytest.raises(FailedPreconditionError, match="reading"):
            plan.apply()


def test_a_bare_database_is_planned_without_bytes(bare: Database) -> None:
    with bare.update() as update:
        Records(update.transaction, bare.clock.now()).blob("ns", digest_of(1), size=1000)
    plan = bare.gc.plan()
    assert [(item.key, item.bytes) for item in plan.nodes] == [(digest_of(1), 0)]
    assert plan.apply().removed == {"content": 1}


def test_a_plan_says_which_backend_it_could_not_read(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_blob(database.namespace("default"), b"garbage")

    def fail() -> None:
        raise OSError("the disk is broken")

    monkeypatch.setattr(database.content_backend, "walk", fail)
    plan = database.gc.plan()
    assert plan.failures == {"content": "the disk is broken"}
    assert [(item.type, item.bytes) for item in plan.nodes] == [("content", 0)]


def test_other_resources_are_planned_and_left_alone(database: Database) -> None:
    things = Things([thing("used"), thing("idle")], active=[thing("used")])
    database.gc.register(things)
    database.namespaces.create("ns1")
    plan = database.gc.plan()
    assert [item.node for item in plan.nodes] == [thing("idle")]
    assert things.ended == ["cancel"]
    assert plan.apply().removed == {"thing": 1}
    assert things.every == [thing("used")]


def _tree(ns: Namespace) -> tuple[str, str]:
    """An image with a config whose label holds the top of two snapshots; a container on it."""
    make_snapshot(ns, "base")
    make_snapshot(ns, "top", "base")
    layer = make_blob(ns, b"layer")
    manifest = make_blob(
        ns, b"manifest", {f"{GC}ref.content.l.0": layer, f"{GC}ref.snapshot.native": "top"}
    )
    image(ns, "busybox", manifest)
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


def test_planning_inside_an_update_sees_it(database: Database) -> None:
    ns = database.namespace("default")
    digest = make_blob(ns, b"held", {f"{GC}root": "x"})
    with database.update():
        ns.content.update(orlop.ContentInfo(digest=digest, size=4))
        assert [item.key for item in database.gc.plan().nodes] == [digest]
