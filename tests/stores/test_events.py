"""Events of all stores: each mutation that has one, its fields, their order, their moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orlop import Container, Descriptor, Image, ProtoAny, Runtime, Sandbox
from orlop.errors import UnavailableError
from orlop.records import LeaseResource
from stores.blobs import digest_of, put

if TYPE_CHECKING:
    from orlop import Database, Namespace
    from orlop.changes import Changes
    from orlop.events import Event
    from stores.moments import StandingClock

DIGEST = digest_of(b"data")
TARGET = Descriptor(media_type="m", digest=DIGEST, size=4)

EVENTS = [
    ("/content/create", {"digest": DIGEST, "size": 4, "media_type": ""}),
    ("/images/create", {"name": "i", "labels": {"a": "b"}}),
    ("/images/update", {"name": "i", "labels": {"a": "c"}}),
    ("/snapshot/prepare", {"key": "k", "parent": "", "snapshotter": "native"}),
    ("/snapshot/commit", {"key": "k", "name": "n", "snapshotter": "native"}),
    ("/snapshot/prepare", {"key": "k", "parent": "n", "snapshotter": "native"}),
    ("/snapshot/remove", {"key": "k", "snapshotter": "native"}),
    ("/snapshot/remove", {"key": "v", "snapshotter": "native"}),
    ("/images/delete", {"name": "i"}),
    ("/content/delete", {"digest": DIGEST}),
]
"""What `everything` has told; a view tells nothing, nor do namespaces, leases, containers."""


def everything(ns: Namespace) -> None:
    put(ns, b"data")
    ns.content.update(ns.content.info(DIGEST))
    ns.images.create(Image(name="i", target=TARGET, labels={"a": "b"}))
    ns.images.update(Image(name="i", target=TARGET, labels={"a": "c"}))
    snapshots = ns.snapshots("native")
    snapshots.prepare("k")
    snapshots.commit("n", "k")
    snapshots.update(snapshots.stat("n"))
    snapshots.prepare("k", "n")
    snapshots.view("v", "n")
    snapshots.remove("k")
    snapshots.remove("v")
    ns.images.delete("i")
    ns.content.delete(DIGEST)
    with ns.content.writer("aborted"):
        pass
    ns.content.abort("aborted")
    ns.containers.create(
        Container(id="c", runtime=Runtime(name="r"), spec=ProtoAny(type_url="t", value=b""))
    )
    ns.containers.delete("c")
    ns.sandboxes.create(Sandbox(id="s", runtime=Runtime(name="r")))
    ns.sandboxes.delete("s")
    ns.leases.create("l")
    ns.leases.add_resource("l", LeaseResource(id="i", type="images"))
    ns.leases.delete_resource("l", LeaseResource(id="i", type="images"))
    ns.leases.delete("l")
    ns.environment.namespaces.set_label(ns.name, "a", "b")


def test_each_mutation_is_told_after_its_own_commit(
    ns: Namespace, events: list[Event], clock: StandingClock
) -> None:
    everything(ns)
    assert [(one.topic, dict(one.fields)) for one in events] == EVENTS
    assert {(one.namespace, one.timestamp) for one in events} == {("testing", clock.now())}


def test_all_of_an_update_is_told_in_order_once_it_is_durable(
    db: Database, ns: Namespace, events: list[Event]
) -> None:
    durable: list[list[str]] = []
    db.subscribe(lambda _: durable.append([one.name for one in ns.snapshots("native").walk()]))
    with db.update():
        everything(ns)
        assert events == []
    assert [(one.topic, dict(one.fields)) for one in events] == EVENTS
    assert durable == [["n"]] * len(EVENTS)


def test_deletions_are_counted_as_containerd_counts_them(db: Database, ns: Namespace) -> None:
    """Only those of images, blobs, snapshots, containers, leases and their resources."""
    told: list[Changes] = []
    db.follow(told.append)
    with db.update():
        everything(ns)
    assert [one.deletions for one in told] == [7]
    assert told[0].content
    assert told[0].snapshotters >= {"native"}


def test_a_mutation_stays_though_it_could_not_be_told(db: Database, ns: Namespace) -> None:
    def refuse(_: Event) -> None:
        raise UnavailableError("nobody listens")

    end = db.subscribe(refuse)
    with pytest.raises(UnavailableError, match="nobody listens"):
        ns.images.create(Image(name="i", target=TARGET))
    with pytest.raises(UnavailableError, match="nobody listens"):
        ns.snapshots("native").prepare("k")
    ns.leases.create("of which nothing is told")
    end()

    assert [one.name for one in ns.images.list()] == ["i"]
    assert [one.name for one in ns.snapshots("native").walk()] == ["k"]
    ns.images.delete("i")
