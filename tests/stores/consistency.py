"""Whether metadata and backends say the same, and the metadata agrees with itself."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

from orlop.errors import NotFoundError
from orlop.schema import ingests, snapshots

if TYPE_CHECKING:
    from orlop import Database, Namespace


def check_records(db: Database) -> None:
    """Check that no record contradicts another, regardless of the backends."""
    with db.view() as transaction:
        backend_names: Counter[str] = Counter()
        for namespace in db.namespaces.list():
            for snapshotter in snapshots.snapshotters(transaction, namespace):
                bucket = snapshots.find(transaction, namespace, snapshotter)
                parents = {
                    key: snapshots.parent(bucket, key) for key in snapshots.all_names(bucket)
                }
                for key, parent in parents.items():
                    assert not parent or parent in parents, f"{key} stands on nothing"
                    children = [one for one, below in parents.items() if below == key]
                    assert snapshots.children(bucket, key) == sorted(children)
                backend_names.update(
                    f"{snapshotter} {snapshots.backend_name(bucket, key)}" for key in parents
                )
    assert all(count == 1 for count in backend_names.values()), "two keys for one snapshot"


def check_data(db: Database, *, lost: frozenset[str] = frozenset()) -> None:
    """Check that all that is named is there and whole.

    Args:
        db: the database.
        lost: keys of snapshots and references of ingests whose data may be missing.
    """
    for namespace in db.namespaces.list():
        ns = db.namespace(namespace)
        for info in ns.content.walk():
            with ns.content.open(info.digest) as blob:
                data = blob.read()
            assert f"sha256:{hashlib.sha256(data).hexdigest()}" == info.digest
            assert len(data) == info.size
        for name in db.snapshot_backends:
            for key in _keys(ns, name):
                try:
                    ns.snapshots(name).stat(key)
                except NotFoundError:
                    assert key in lost, f"the snapshot {key} is lost"
        for ref, expected in _ingests(ns).items():
            try:
                if not expected:
                    ns.content.status(ref)
            except NotFoundError:
                assert ref in lost, f"the ingest {ref} is lost"


def check_nothing_unnamed(db: Database) -> None:
    """Check that the backends contain no unnamed data."""
    blobs: set[str] = set()
    refs: set[str] = set()
    for name in db.namespaces.list():
        ns = db.namespace(name)
        blobs.update(info.digest for info in ns.content.walk())
        blobs.update(expected for expected in _ingests(ns).values() if expected)
        refs.update(_backend_refs(ns))
    assert {info.digest for info in db.content_backend.walk()} - blobs == set()
    assert {status.ref for status in db.content_backend.statuses()} - refs == set()
    for snapshotter, backend in db.snapshot_backends.items():
        with db.view() as transaction:
            named = {
                snapshots.backend_name(bucket, key)
                for name in db.namespaces.list()
                for bucket in [snapshots.find(transaction, name, snapshotter)]
                for key in snapshots.all_names(bucket)
            }
        assert {info.name for info in backend.walk()} <= named


def _keys(ns: Namespace, snapshotter: str) -> list[str]:
    with ns.environment.transactions.view() as transaction:
        return list(snapshots.all_names(snapshots.find(transaction, ns.name, snapshotter)))


def _ingests(ns: Namespace) -> dict[str, str]:
    """Return the expected digest of each ingest that shares a blob, else an empty text."""
    with ns.environment.transactions.view() as transaction:
        bucket = ingests.find(transaction, ns.name)
        return {ref: ingests.expected(bucket, ref) for ref in ingests.all_names(bucket)}


def _backend_refs(ns: Namespace) -> set[str]:
    with ns.environment.transactions.view() as transaction:
        bucket = ingests.find(transaction, ns.name)
        found = (ingests.read(bucket, ref) for ref in ingests.all_names(bucket))
        return {ingest.backend_ref for ingest in found if ingest is not None}
