from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from whenever import TimeDelta

import orlop
from collector.making import (
    blobs_on_disk,
    bytes_on_disk,
    make_blob,
    make_image,
    make_snapshot,
    snapshots_on_disk,
)
from collector.records import Records, bucket_at, digest_of
from collector.things import Things, thing
from orlop import LeaseResource
from orlop.errors import FailedPreconditionError
from orlop.gc import Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.settable import SettableClock
    from orlop import Database, Namespace

GC = "containerd.io/gc."


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
    noted = {
        ref: database.content_backend.ingest_size(ref) - size
        for ref, size in (("one/1/unfinished", 80_021), ("nobody/1/knows", 160_001))
    }

    plan = database.gc.plan()
    by_key = {(item.namespace, item.key): item.bytes for item in plan.nodes}
    assert by_key.pop(("one", kept)) == 0
    assert by_key.pop(("three", "sharing")) == 0
    assert by_key.pop(("one", "unfinished")) == 80_021 + noted["one/1/unfinished"]
    assert by_key.pop(("", "nobody/1/knows")) == 160_001 + noted["nobody/1/knows"]
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
    make_image(ns, "new", digest)


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


def test_planning_inside_an_update_sees_it(database: Database) -> None:
    ns = database.namespace("default")
    digest = make_blob(ns, b"held", {f"{GC}root": "x"})
    with database.update():
        ns.content.update(orlop.ContentInfo(digest=digest, size=4))
        assert [item.key for item in database.gc.plan().nodes] == [digest]
