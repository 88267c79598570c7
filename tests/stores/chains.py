"""Snapshots for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.schema import snapshots as schema

if TYPE_CHECKING:
    from orlop.schema.snapshots import SnapshotRecord
    from orlop.stores.snapshots import SnapshotStore

REF = "containerd.io/snapshot.ref"


def record(store: SnapshotStore, key: str) -> SnapshotRecord:
    with store.scope.transactor.view() as transaction:
        found = schema.read(schema.find(transaction, store.scope.namespace, store.snapshotter), key)
    assert found is not None
    return found


def chain(store: SnapshotStore, *names: str) -> None:
    parent = ""
    for name in names:
        store.prepare(f"{name}-active", parent)
        store.commit(name, f"{name}-active")
        parent = name
