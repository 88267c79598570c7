"""The protocol of remote snapshots over several namespaces (upstream's TestSnapshotterWithRef).

The backend here makes a snapshot by itself when it is asked for a target that it can have, and
answers that it exists; it makes each only once per parent.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from orlop.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError
from orlop.records import SnapshotKind
from stores.chains import REF, record
from stores.consistency import check_records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orlop import Database, Mount
    from orlop.storage.contract import SnapshotBackend
    from orlop.stores.snapshots import SnapshotStore


class Registry:
    """A remote snapshotter that has the requested snapshot already."""

    def __init__(self, inner: SnapshotBackend) -> None:
        self._inner = inner
        self.known = {"image:layer"}

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def prepare(
        self, key: str, parent: str, labels: Mapping[str, str] | None = None
    ) -> tuple[Mount, ...]:
        target = (labels or {}).get(REF, "")
        if target not in self.known:
            return self._inner.prepare(key, parent, labels)
        there = any(
            one.parent == parent
            and one.labels.get(REF) == target
            and one.kind is SnapshotKind.COMMITTED
            for one in self._inner.walk()
        )
        if not there:
            self._inner.prepare(key, parent, labels)
            self._inner.commit(f"remote {key}", key, labels)
        raise AlreadyExistsError(f"snapshot {target}")


@pytest.fixture
def registry(db: Database) -> Registry:
    return Registry(db.snapshot_backends["native"])


def store(db: Database, registry: Registry, name: str) -> SnapshotStore:
    return dataclasses.replace(
        db.namespace(name).snapshots("native"),
        backend=registry,  # type: ignore[arg-type] # the rest is in __getattr__
    )


def leased(db: Database, name: str) -> list[str]:
    return [one.id for one in db.namespace(name).leases.resources("l")]


def test_several_namespaces_share_what_the_backend_has(db: Database, registry: Registry) -> None:
    names = ("one", "two", "three")
    for name in names:
        db.namespace(name).leases.create("l")
        with db.namespace(name).using_lease("l"), pytest.raises(AlreadyExistsError):
            store(db, registry, name).prepare("key", labels={REF: "image:layer", "by": name})
        assert leased(db, name) == ["image:layer"]
        with pytest.raises(NotFoundError):
            store(db, registry, name).stat("key")

    records = [record(store(db, registry, name), "image:layer") for name in names]
    assert len({one.backend_name for one in records}) == 1
    assert [one.labels["by"] for one in records] == list(names)
    assert [one.name for one in db.snapshot_backends["native"].walk()] == [records[0].backend_name]
    found = store(db, registry, "two").stat("image:layer")
    assert found.kind is SnapshotKind.COMMITTED

    # What one namespace lets go the others still have.
    db.namespace("one").leases.delete("l")
    store(db, registry, "one").remove("image:layer")
    db.gc.run()
    assert store(db, registry, "two").stat("image:layer").kind is SnapshotKind.COMMITTED
    for name in names[1:]:
        db.namespace(name).leases.delete("l")
    db.gc.run()
    assert list(db.snapshot_backends["native"].walk()) == []


def test_a_target_that_is_there_is_leased_again(db: Database, registry: Registry) -> None:
    snapshots = store(db, registry, "one")
    with pytest.raises(AlreadyExistsError):
        snapshots.prepare("key", labels={REF: "image:layer"})
    db.namespace("one").leases.create("l")

    with db.namespace("one").using_lease("l"), pytest.raises(AlreadyExistsError, match="target"):
        snapshots.prepare("another", labels={REF: "image:layer"})

    assert leased(db, "one") == ["image:layer"]


def test_another_parent_is_another_snapshot(db: Database, registry: Registry) -> None:
    first, second = store(db, registry, "one"), store(db, registry, "two")
    with pytest.raises(AlreadyExistsError):
        first.prepare("key", labels={REF: "image:layer"})
    second.prepare("base-active")
    second.commit("base", "base-active")

    with pytest.raises(AlreadyExistsError):
        second.prepare("key", "base", labels={REF: "image:layer"})

    assert record(first, "image:layer").parent == ""
    assert record(second, "image:layer").parent == "base"
    assert record(first, "image:layer").backend_name != record(second, "image:layer").backend_name
    check_records(db)


def test_a_target_on_a_parent_that_is_missing(db: Database, registry: Registry) -> None:
    with pytest.raises(NotFoundError, match="parent"):
        store(db, registry, "one").prepare("key", "gone", labels={REF: "image:layer"})
    assert list(db.snapshot_backends["native"].walk()) == []


def test_a_target_that_the_backend_cannot_have_is_prepared_and_committed(
    db: Database, registry: Registry
) -> None:
    for name in ("one", "two"):
        snapshots = store(db, registry, name)
        snapshots.prepare("key", labels={REF: "unknown"})
        snapshots.commit("unknown", "key", labels={REF: "unknown"})
        with pytest.raises(AlreadyExistsError, match="target"):
            snapshots.prepare("again", labels={REF: "unknown"})
    assert len(list(db.snapshot_backends["native"].walk())) == 2, "each has its own"


def test_a_parent_that_was_made_anew_meanwhile_does_not_match(
    db: Database, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = store(db, registry, "one")
    snapshots.prepare("base-active")
    snapshots.commit("base", "base-active")
    original = registry.prepare

    def meanwhile(
        key: str, parent: str, labels: Mapping[str, str] | None = None
    ) -> tuple[Mount, ...]:
        with monkeypatch.context() as context:
            context.setattr(registry, "prepare", original)
            snapshots.remove("base")
            snapshots.prepare("base-active")
            snapshots.commit("base", "base-active")
        return original(key, parent, labels)

    monkeypatch.setattr(registry, "prepare", meanwhile)
    with pytest.raises(InvalidArgumentError, match="mismatched parent"):
        snapshots.prepare("key", "base", labels={REF: "image:layer"})
    check_records(db)
