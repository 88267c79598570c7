"""Snapshots over the real backends; the cases that upstream has too carry its names."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from orlop.records import LeaseResource, SnapshotInfo, SnapshotKind
from orlop.schema import snapshots as schema
from stores.chains import chain, record

if TYPE_CHECKING:
    from orlop import Database, Namespace
    from orlop.changes import Changes
    from orlop.events import Event
    from orlop.stores.snapshots import SnapshotStore
    from stores.moments import StandingClock

REF = "containerd.io/snapshot.ref"


@pytest.fixture(params=["native", "overlayfs"])
def store(ns: Namespace, request: pytest.FixtureRequest) -> SnapshotStore:
    return ns.snapshots(str(request.param))


def test_basic(store: SnapshotStore, clock: StandingClock) -> None:
    mounts = store.prepare("active", labels={"a": "b", "containerd.io/snapshot/x": "y"})
    assert mounts == store.mounts("active")
    assert store.stat("active") == SnapshotInfo(
        kind=SnapshotKind.ACTIVE,
        name="active",
        labels={"a": "b", "containerd.io/snapshot/x": "y"},
        created_at=clock.now(),
        updated_at=clock.now(),
    )
    assert record(store, "active").backend_name == "testing/1/active"
    assert store.backend is not None
    told = store.backend.stat("testing/1/active")
    assert told.labels == {"containerd.io/snapshot/x": "y"}, "the rest is not for the backend"

    later = clock.advance(seconds=1)
    store.commit("base", "active", {"c": "d"})
    assert store.stat("base") == SnapshotInfo(
        kind=SnapshotKind.COMMITTED,
        name="base",
        labels={"c": "d"},
        created_at=later,
        updated_at=later,
    )
    assert record(store, "base").backend_name == "testing/2/base"
    for call in (lambda: store.stat("active"), lambda: store.mounts("active")):
        with pytest.raises(NotFoundError):
            call()
    with pytest.raises(FailedPreconditionError):
        store.mounts("base")
    store.view("look", "base")
    assert (store.stat("look").kind, store.stat("look").parent) == (SnapshotKind.VIEW, "base")
    assert store.usage("look").size >= 0


def test_transitivity(store: SnapshotStore) -> None:
    chain(store, "one", "two", "three")

    assert [(one.name, one.parent) for one in store.walk()] == [
        ("one", ""),
        ("three", "two"),
        ("two", "one"),
    ]


def test_a_key_is_used_once(store: SnapshotStore) -> None:
    chain(store, "base")
    store.prepare("key", "base")

    for make in (store.prepare, store.view):
        for key in ("key", "base"):
            with pytest.raises(AlreadyExistsError):
                make(key, "base")
    store.remove("key")
    store.prepare("key", "base")


def test_update(store: SnapshotStore, clock: StandingClock) -> None:
    inherited = "containerd.io/snapshot/x"
    store.prepare("key", labels={"a": "1", inherited: "1"})
    created = store.stat("key")
    later = clock.advance(seconds=1)

    updated = store.update(
        dataclasses.replace(created, labels={"a": "2", inherited: "2"}), ("labels.a",)
    )
    assert updated == dataclasses.replace(
        created, labels={"a": "2", inherited: "1"}, updated_at=later
    )
    updated = store.update(dataclasses.replace(created, labels={inherited: "3"}))
    assert updated.labels == store.stat("key").labels == {inherited: "3"}
    for path in ("parent", "kind", "name"):
        with pytest.raises(InvalidArgumentError):
            store.update(created, (path,))
    with pytest.raises(NotFoundError):
        store.update(dataclasses.replace(created, name="unknown"))
    with pytest.raises(InvalidArgumentError):
        store.update(dataclasses.replace(created, name=""))


def test_remove(store: SnapshotStore, db: Database) -> None:
    chain(store, "one", "two")
    store.prepare("three", "two")
    told: list[Changes] = []
    db.follow(told.append)

    with pytest.raises(FailedPreconditionError, match='"two"'):
        store.remove("one")
    for key in ("three", "two", "one"):
        store.remove(key)
        with pytest.raises(NotFoundError):
            store.remove(key)
    assert [(one.deletions, one.snapshotters) for one in told] == [(1, {store.snapshotter})] * 3
    assert store.backend is not None
    assert len(list(store.backend.walk())) == 3, "the files go with the next collection"


def test_the_note_of_a_child_that_is_gone_holds_nothing(store: SnapshotStore) -> None:
    chain(store, "base")
    with store.scope.transactor.update() as update:
        bucket = schema.create(update.transaction, "testing", store.snapshotter)
        schema.add_child(bucket, "base", "swept")

    store.remove("base")


def test_a_parent_that_is_missing(store: SnapshotStore) -> None:
    chain(store, "base", "top")
    for make in (store.prepare, store.view):
        with pytest.raises(NotFoundError, match="unknown"):
            make("key", "unknown")
    with store.scope.transactor.update() as update:
        schema.delete(schema.create(update.transaction, "testing", store.snapshotter), "base")
    with pytest.raises(NotFoundError, match="base"):
        store.remove("top")


def test_child_links_follow_a_commit(store: SnapshotStore) -> None:
    chain(store, "base")
    store.prepare("active", "base")

    def children() -> list[str]:
        with store.scope.transactor.view() as transaction:
            return schema.children(schema.find(transaction, "testing", store.snapshotter), "base")

    assert children() == ["active"]
    store.commit("top", "active")
    assert children() == ["top"]
    store.remove("top")
    assert children() == []


def test_commit_refuses(store: SnapshotStore) -> None:
    with pytest.raises(NotFoundError, match="snapshotter"):
        store.commit("name", "key")
    chain(store, "base")
    with pytest.raises(NotFoundError, match="unknown"):
        store.commit("name", "unknown")
    store.view("look", "base")
    with pytest.raises(FailedPreconditionError):
        store.commit("name", "look")
    with pytest.raises(InvalidArgumentError):
        store.commit("", "look")
    store.prepare("active")
    with pytest.raises(AlreadyExistsError):
        store.commit("base", "active")
    assert {one.name for one in store.walk()} == {"active", "base", "look"}


def test_a_commit_that_the_backend_refuses_leaves_nothing(store: SnapshotStore) -> None:
    chain(store, "base")
    store.view("look", "base")

    with store.scope.transactor.update():
        with pytest.raises(FailedPreconditionError):
            store.commit("name", "look")
        assert [one.name for one in store.walk()] == ["base", "look"]
    assert [one.name for one in store.walk()] == ["base", "look"]


def test_rebase(ns: Namespace) -> None:
    store = ns.snapshots("overlayfs")
    chain(store, "base")
    store.prepare("active")

    with pytest.raises(NotFoundError):
        store.commit("top", "active", parent="unknown")
    store.commit("top", "active", parent="base")
    assert store.stat("top").parent == "base"
    with pytest.raises(FailedPreconditionError, match="top"):
        store.remove("base")
    store.prepare("child", "base")
    store.commit("stays", "child", parent="top")
    assert store.stat("stays").parent == "base", "only what stands on nothing is moved"


def test_leases(ns: Namespace, store: SnapshotStore) -> None:
    ns.leases.create("l")

    def held() -> list[str]:
        kinds = {one.type for one in ns.leases.resources("l")}
        assert kinds <= {f"snapshots/{store.snapshotter}"}
        return [one.id for one in ns.leases.resources("l")]

    with ns.using_lease("l"):
        store.prepare("active")
        assert held() == ["active"]
        store.commit("base", "active")
        assert held() == ["base"]
        store.view("look", "base")
        assert held() == ["base", "look"]
        store.remove("look")
        assert held() == ["base"]
    store.prepare("existing")
    store.prepare("other", labels={})
    with ns.using_lease("l"):
        with pytest.raises(AlreadyExistsError):
            store.prepare("existing")
        with pytest.raises(AlreadyExistsError):
            store.prepare("new", labels={REF: "other"})
        assert held() == ["base", "existing", "other"]
        ns.leases.delete_resource(
            "l", LeaseResource(id="base", type=f"snapshots/{store.snapshotter}")
        )
        with pytest.raises(AlreadyExistsError):
            store.commit("base", "existing")
        assert held() == ["base", "existing", "other"]
    assert store.stat("existing").kind is SnapshotKind.ACTIVE


def test_a_lease_that_does_not_exist(ns: Namespace, store: SnapshotStore) -> None:
    store.prepare("active")
    with ns.using_lease("gone"):
        for call in (
            lambda: store.prepare("key"),
            lambda: store.prepare("active"),
            lambda: store.commit("name", "active"),
        ):
            with pytest.raises(NotFoundError, match="lease"):
                call()
        store.remove("active")
    assert list(store.walk()) == []
    assert store.backend is not None
    assert [one.name for one in store.backend.walk()] == ["testing/1/active"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["kind==active"], ["active"]),
        (["kind==committed"], ["base", "top"]),
        (["kind==view"], ["look"]),
        (["name==base"], ["base"]),
        (["parent==base"], ["active", "look", "top"]),
        (["parent!=base"], ["base"]),
        (["labels.a"], ["active"]),
        (["kind==view", "labels.a==1"], ["active", "look"]),
        (["kind==committed,parent==base"], ["top"]),
        (["name,parent"], ["active", "base", "look", "top"]),
    ],
)
def test_walk(store: SnapshotStore, filters: list[str], expected: list[str]) -> None:
    chain(store, "base", "top")
    store.prepare("active", "base", {"a": "1"})
    store.view("look", "base")

    assert [one.name for one in store.walk(*filters)] == expected


def test_walk_goes_in_batches_and_lets_the_store_be_used(ns: Namespace) -> None:
    store = ns.snapshots("overlayfs")
    with ns.environment.transactions.update():
        for number in range(205):
            store.prepare(f"k{number:03}")

    seen = []
    for info in store.walk():
        assert store.stat(info.name) == info
        store.remove(info.name)
        seen.append(info.name)
    assert seen == [f"k{number:03}" for number in range(205)]
    with pytest.raises(InvalidArgumentError):
        store.walk("kind==")


def test_walk_passes_over_what_the_backend_does_not_have(store: SnapshotStore) -> None:
    store.prepare("one")
    store.prepare("two")
    assert store.backend is not None
    store.backend.remove("testing/1/one")

    assert [one.name for one in store.walk()] == ["two"]
    with pytest.raises(NotFoundError):
        store.stat("one")
    with pytest.raises(NotFoundError):
        store.commit("name", "one")


def test_namespaces_have_their_own_keys(db: Database) -> None:
    for name in ("one", "two"):
        chain(db.namespace(name).snapshots("native"), "base")

    assert sorted(one.name for one in db.snapshot_backends["native"].walk()) == [
        "one/2/base",
        "two/2/base",
    ]


@pytest.mark.parametrize("key", ["", "x" * 32_769])
def test_bad_keys(store: SnapshotStore, key: str) -> None:
    for make in (store.prepare, store.view):
        with pytest.raises(InvalidArgumentError):
            make(key)
    for labels in ({"": "v"}, {"k": "v" * 4096}):
        with pytest.raises(InvalidArgumentError):
            store.prepare("key", labels=labels)


def test_events(store: SnapshotStore, events: list[Event]) -> None:
    chain(store, "base")
    store.view("look", "base")
    store.remove("look")

    name = store.snapshotter
    assert [(one.topic, dict(one.fields)) for one in events] == [
        ("/snapshot/prepare", {"key": "base-active", "parent": "", "snapshotter": name}),
        ("/snapshot/commit", {"key": "base-active", "name": "base", "snapshotter": name}),
        ("/snapshot/remove", {"key": "look", "snapshotter": name}),
    ]


def test_a_snapshotter_that_is_not_ours_can_be_read(ns: Namespace) -> None:
    foreign = ns.snapshots("zfs")
    with ns.environment.transactions.update() as update:
        bucket = schema.create(update.transaction, "testing", "zfs")
        schema.write(bucket, schema.SnapshotRecord(key="k", backend_name="testing/1/k"))

    assert [(one.name, one.kind) for one in foreign.walk()] == [("k", SnapshotKind.UNKNOWN)]
    assert list(foreign.walk("kind==active")) == []
    with pytest.raises(FailedPreconditionError, match="zfs"):
        foreign.mounts("k")
    with pytest.raises(FailedPreconditionError, match="zfs"):
        foreign.prepare("new")
    foreign.remove("k")


def test_a_rollback_tells_of_what_it_left(ns: Namespace, db: Database) -> None:
    told: list[Changes] = []
    db.follow(told.append)

    with suppress(ZeroDivisionError), db.update():
        ns.snapshots("native").prepare("key")
        _ = 1 / 0

    assert [(one.committed, one.snapshotters) for one in told] == [(False, {"native"})]
    assert list(ns.snapshots("native").walk()) == []


def test_a_bare_file_knows_snapshots_without_kinds(ns: Namespace, db: Database) -> None:
    chain(ns.snapshots("native"), "base")
    db.close()

    with orlop.Database.open_file(db.path, read_only=True) as bare:
        assert bare.snapshot_backends == {}
        found = list(bare.namespace("testing").snapshots("native").walk())
    assert [(one.name, one.kind) for one in found] == [("base", SnapshotKind.UNKNOWN)]
