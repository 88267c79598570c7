from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

import orlop
from collector.making import (
    blobs_on_disk,
    ingests_on_disk,
    make_blob,
    make_image,
    make_snapshot,
    snapshots_on_disk,
)
from collector.things import Things, thing
from orlop import Container, LeaseResource, ProtoAny, Runtime
from orlop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)

if TYPE_CHECKING:
    from collector.settable import SettableClock
    from orlop import Database, Namespace
    from orlop.events import Event
    from orlop.gc import Node

GC = "containerd.io/gc."


def container(namespace: Namespace, name: str, snapshot: str) -> None:
    namespace.containers.create(
        Container(
            id=name,
            runtime=Runtime(name="testruntime"),
            spec=ProtoAny(type_url="spec", value=b""),
            snapshotter="native",
            snapshot_key=snapshot,
        )
    )


def test_metadata_collector(database: Database) -> None:
    ns = database.namespace("test")
    blobs = [
        make_blob(ns, b"zero"),
        make_blob(ns, b"one"),
        make_blob(ns, b"two"),
        make_blob(ns, b"three", {f"{GC}root": "always"}),
    ]
    gone = {blobs[0], blobs[2]}
    make_image(ns, "image-1", blobs[1])
    for name, parent in (("1", ""), ("2", "1"), ("3", "2"), ("4", "3"), ("6", "1")):
        make_snapshot(ns, name, parent)
    ns.snapshots("native").prepare("5", "3")
    container(ns, "1", "4")

    # What a lease holds, flat and not.
    leased = make_blob(ns, b"leased")
    deep = make_blob(ns, b"seven", {f"{GC}ref.content.0": leased})
    ns.leases.create("lease-1")
    ns.leases.add_resource("lease-1", LeaseResource(id=deep, type="content"))
    behind = make_blob(ns, b"nine")
    flat = make_blob(ns, b"eight", {f"{GC}ref.content.0": behind})
    labelled = make_blob(ns, b"ten")
    make_snapshot(ns, "7", labels={f"{GC}ref.content.0": labelled})
    make_snapshot(ns, "8", "7")
    make_snapshot(ns, "9", "8")
    ns.leases.create("lease-2", labels={f"{GC}flat": "now"})
    ns.leases.add_resource("lease-2", LeaseResource(id=flat, type="content"))
    ns.leases.add_resource("lease-2", LeaseResource(id="9", type="snapshots/native"))
    gone |= {behind, labelled}

    # Other resources: by label, by lease, in use, and in a namespace that does not exist.
    eleven = make_blob(ns, b"eleven", {f"{GC}ref.test": "test1"})
    gone.add(make_blob(ns, b"twelve", {f"{GC}ref.test": "test2"}))
    ns.leases.create("lease-3")
    ns.leases.add_resource("lease-3", LeaseResource(id=eleven, type="content"))
    things = Things(
        [thing("test1", "random"), *(thing(f"test{number}", "test") for number in range(1, 5))],
        active=[thing("test4", "test")],
        leased={"lease-3": [thing("test3", "test")]},
    )
    database.gc.register(things)

    statistics = database.gc.run()

    assert things.every == [thing(name, "test") for name in ("test1", "test3", "test4")]
    assert statistics.removed == {"content": len(gone), "snapshot": 2, "thing": 2}
    assert {info.digest for info in ns.content.walk()} == {*blobs, leased, deep, flat, eleven} - (
        gone
    )
    assert {info.name for info in ns.snapshots("native").walk()} == set("1234789")
    assert [lease.id for lease in ns.leases.list()] == ["lease-1", "lease-2", "lease-3"]
    assert set(blobs_on_disk(database)) == {info.digest for info in ns.content.walk()}
    assert len(snapshots_on_disk(database)) == 7
    assert statistics.failures == {}
    assert statistics.pause_nanoseconds >= statistics.longest_pause_nanoseconds > 0
    assert statistics.mark_nanoseconds > 0
    assert statistics.sweep_nanoseconds > 0
    assert statistics.content_nanoseconds > 0
    assert set(statistics.snapshot_nanoseconds) == {"native", "overlayfs"}
    assert statistics.freed_bytes > 0


def test_a_blob_that_is_being_written_stays(database: Database, clock: SettableClock) -> None:
    ns = database.namespace("default")
    with ns.content.writer("upload") as writer:
        writer.write(b"half of ")
        statistics = database.gc.run()
        assert statistics.removed == {}
        assert statistics.deleted == 0
        writer.write(b"it")
        writer.commit(labels={f"{GC}root": "x"})
    assert database.gc.run().removed == {}
    assert len(blobs_on_disk(database)) == 1

    # After a day without a lease an ingest is given up.
    ns.content.writer("given-up").close()
    clock.advance(hours=24)
    assert database.gc.run().removed == {}
    clock.advance(seconds=1)
    statistics = database.gc.run()
    assert statistics.removed == {"ingest": 1}
    assert statistics.deleted == 1
    assert ingests_on_disk(database) == set()


def test_an_ingest_opened_again_keeps_its_data(database: Database, clock: SettableClock) -> None:
    ns = database.namespace("default")
    with ns.content.writer("upload") as writer:
        writer.write(b"first")
    clock.advance(hours=25)
    with ns.content.writer("upload", resume=True) as writer:  # the expiry is moved on
        assert writer.status().offset == 5
    assert database.gc.run().removed == {}
    assert ns.content.status("upload").offset == 5


def test_a_lease_holds_and_ends(database: Database, clock: SettableClock) -> None:
    ns = database.namespace("default")
    with ns.lease(expires=timedelta(hours=1)):
        make_blob(ns, b"leased")
        make_snapshot(ns, "leased")
        assert database.gc.run().removed == {}
    statistics = database.gc.run()
    assert statistics.removed == {"content": 1, "snapshot": 1}
    assert blobs_on_disk(database) == {}
    assert snapshots_on_disk(database) == set()

    ns.leases.create("timed", expires=timedelta(hours=1))
    with ns.using_lease("timed"):
        make_blob(ns, b"leased again")
        ns.content.writer("leased").close()
    clock.advance(hours=1)
    assert database.gc.run().removed == {}, "it holds up to and including its last moment"
    clock.advance(seconds=1)
    reasons = {one.type: one.reason for one in database.gc.plan().nodes}
    assert reasons["content"] == 'lease "timed", which held it, expired at 2026-11-24T23:00:00Z'
    assert database.gc.run().removed == {"lease": 1, "ingest": 1, "content": 1}
    assert (blobs_on_disk(database), ingests_on_disk(database)) == ({}, set())


def test_a_snapshot_with_a_child_stays_while_the_child_does(database: Database) -> None:
    ns = database.namespace("default")
    store = ns.snapshots("native")
    make_snapshot(ns, "base")
    make_snapshot(ns, "middle", "base")
    store.prepare("top", "middle", labels={f"{GC}root": "x"})
    assert database.gc.run().removed == {}
    assert len(snapshots_on_disk(database)) == 3
    store.remove("top")
    assert database.gc.run().removed == {"snapshot": 2}
    assert snapshots_on_disk(database) == set()
    assert database.root is not None
    folder = database.root / "io.containerd.snapshotter.v1.native" / "snapshots"
    assert list(folder.iterdir()) == []


def test_a_parent_that_stays_can_be_removed_later(database: Database) -> None:
    ns = database.namespace("default")
    store = ns.snapshots("native")
    make_snapshot(ns, "base", labels={f"{GC}root": "x"})
    make_snapshot(ns, "child", "base")
    database.gc.run()
    assert [info.name for info in store.walk()] == ["base"]
    store.remove("base")


def test_a_blob_of_two_namespaces_goes_with_its_last_name(database: Database) -> None:
    one, two = database.namespace("one"), database.namespace("two")
    digest = make_blob(one, b"the same")
    assert make_blob(two, b"the same", {f"{GC}root": "x"}) == digest
    assert database.gc.plan().freed_bytes == 0
    statistics = database.gc.run()
    assert statistics.removed == {"content": 1}
    assert (statistics.deleted, statistics.freed_bytes) == (0, 0)
    with two.content.open(digest) as blob:
        assert blob.read() == b"the same"
    two.content.delete(digest)
    statistics = database.gc.run()
    assert (statistics.removed, statistics.deleted, statistics.freed_bytes) == ({}, 1, 8)
    assert blobs_on_disk(database) == {}


def test_a_shared_ingest_keeps_the_blob_it_stands_for(database: Database) -> None:
    one, two = database.namespace("one"), database.namespace("two")
    digest = make_blob(one, b"shared")
    with two.content.writer("shared", expected=digest) as writer:
        assert writer.status().offset == 6
        assert database.gc.run().removed == {"content": 1}
        assert set(blobs_on_disk(database)) == {digest}
        writer.commit(labels={f"{GC}root": "x"})
    assert database.gc.run().removed == {}
    with two.content.open(digest) as blob:
        assert blob.read() == b"shared"


def test_what_a_killed_process_left_of_its_ingests_goes(database: Database) -> None:
    assert database.root is not None
    content = database.root / "io.containerd.content.v1.content"
    for name in (".new-0123", ".rm-4567"):
        (content / name).mkdir()
        (content / name / "data").write_bytes(b"half")

    database.gc.run()

    assert [path.name for path in content.iterdir() if path.name.startswith(".")] == [".orlop"]


def test_an_expired_image_goes_unless_a_lease_holds_it(
    database: Database, clock: SettableClock
) -> None:
    ns = database.namespace("default")
    digest = make_blob(ns, b"target")
    ns.leases.create("holder")
    make_image(ns, "expiring", digest, **{f"{GC}expire": "2026-11-24T22:30:00Z"})
    ns.leases.add_resource("holder", LeaseResource(id="expiring", type="images"))
    clock.advance(hours=1)
    assert database.gc.run().removed == {}
    ns.leases.delete("holder")
    events: list[Event] = []
    database.subscribe(events.append)
    assert database.gc.run().removed == {"image": 1, "content": 1}
    assert [(event.topic, event.namespace, dict(event.fields)) for event in events] == [
        ("/images/delete", "default", {"name": "expiring"})
    ]


def test_what_is_removed_is_told(database: Database) -> None:
    ns = database.namespace("default")
    make_snapshot(ns, "garbage")
    events: list[Event] = []
    database.subscribe(events.append)
    database.gc.run()
    assert [(event.topic, event.namespace, dict(event.fields)) for event in events] == [
        ("/snapshot/remove", "default", {"key": "garbage", "snapshotter": "native"})
    ]


def test_a_collection_is_refused_where_it_cannot_be(database: Database) -> None:
    with database.update(), pytest.raises(FailedPreconditionError, match="lock between updates"):
        database.gc.run()
    assert database.root is not None
    with (
        orlop.open(database.root, read_only=True) as reading,
        pytest.raises(FailedPreconditionError, match="reading"),
    ):
        reading.gc.run()


def test_an_open_view_is_not_taken_for_the_present(database: Database) -> None:
    ns = database.namespace("default")
    with database.view():
        thread = threading.Thread(target=make_blob, args=(ns, b"new", {f"{GC}root": "x"}))
        thread.start()
        thread.join()
        assert database.gc.run().deleted == 0
    assert len(blobs_on_disk(database)) == 1


def test_resources_are_registered_once_and_under_their_own_type(database: Database) -> None:
    things = Things([])
    database.gc.register(things)
    with pytest.raises(AlreadyExistsError):
        database.gc.register(things)
    things.type = "content"
    with pytest.raises(InvalidArgumentError):
        database.gc.register(things)


class _Unwilling(Things):
    def begin(self) -> Things:
        raise NotFoundError("the stream server")


def test_nothing_is_removed_where_a_resource_cannot_begin(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    things = _Unwilling([thing("x")])
    database.gc.register(things)
    make_blob(database.namespace("default"), b"x", {f"{GC}ref.test": "x"})
    statistics = database.gc.run()
    assert statistics.removed == {}
    assert "the stream server" in statistics.failures["thing"]
    assert things.every == [thing("x")]
    assert "cannot take part" in caplog.text


class _Failing(Things):
    def remove(self, node: Node) -> None:
        raise OSError(f"{node} cannot be removed")


def test_resources_that_cannot_be_removed_stay_and_are_cancelled(database: Database) -> None:
    ns = database.namespace("default")
    digest = make_blob(ns, b"garbage")
    things = _Failing([thing("x")])
    database.gc.register(things)
    statistics = database.gc.run()
    assert "cannot be removed" in statistics.failures["thing"]
    assert statistics.removed == {"content": 1}
    assert things.every == [thing("x")]
    assert things.ended == ["cancel", "cancel"]  # the second run removes nothing of them
    assert digest not in blobs_on_disk(database)
