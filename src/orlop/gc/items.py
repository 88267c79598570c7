"""Backend items that records name; every other item in a backend is garbage.

Source: containerd, core/metadata/content.go and snapshot.go (garbageCollect).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.gc.node import CONTENT, INGEST, ORPHAN, SNAPSHOT, Node, split_snapshot
from orlop.schema import content, ingests, namespaces, snapshots
from orlop.storage.contract import INGEST_KIND, ingest_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orlop.kv import Bucket, ReadableBucket, Transaction

BLOB_ITEM: Final = "blob"
INGEST_ITEM: Final = INGEST_KIND
SNAPSHOT_ITEM: Final = "snapshot"
LEFTOVER_ITEM: Final = "directory"


class BackendItem(NamedTuple):
    """An item of data in a backend.

    Attributes:
        kind: a blob, an unfinished one, a snapshot, or a directory that its backend has no name
            for: that of a snapshot that is not in the database of the snapshotter, or of an
            ingest whose reference cannot be read.
        name: how the backend calls it.
        snapshotter: whose backend it is, for a snapshot; else empty.
    """

    kind: str
    name: str
    snapshotter: str = ""

    @property
    def type(self) -> str:
        """The type of the records that name such data."""
        types = {BLOB_ITEM: CONTENT, INGEST_ITEM: INGEST, SNAPSHOT_ITEM: SNAPSHOT}
        return types.get(self.kind, ORPHAN)

    @property
    def key(self) -> str:
        """The key of the item in a plan."""
        if self.kind == LEFTOVER_ITEM:
            folder = f"{self.snapshotter}/snapshots" if self.snapshotter else "ingest"
            return f"{folder}/{self.name}"
        return f"{self.snapshotter}/{self.name}" if self.snapshotter else self.name


def suspect_of(item: BackendItem) -> tuple[str, str]:
    """Return the entry of an item in the list of suspects of its backend."""
    return item.kind, item.name


def read_named(transaction: Transaction) -> set[BackendItem]:
    """Return the data that the metadata of all namespaces names."""
    named = read_named_in_content(transaction)
    for namespace in namespaces.all_names(transaction):
        for snapshotter in snapshots.snapshotters(transaction, namespace):
            if "/" not in snapshotter:  # else none of our backends, and its keys make no nodes
                named.update(_snapshots(transaction, namespace, snapshotter))
    return named


def read_named_in_content(transaction: Transaction) -> set[BackendItem]:
    """Return the blobs and ingests that the metadata of all namespaces names."""
    return {
        item
        for namespace in namespaces.all_names(transaction)
        for item in _content(transaction, namespace)
    }


def read_named_snapshots(transaction: Transaction, snapshotter: str) -> set[BackendItem]:
    """Return the snapshots of a snapshotter that the metadata of all namespaces names."""
    return {
        item
        for namespace in namespaces.all_names(transaction)
        for item in _snapshots(transaction, namespace, snapshotter)
    }


def still_named(transaction: Transaction, data: Iterable[BackendItem]) -> set[BackendItem]:
    """Return which of some data the metadata names, without reading all of it.

    Data that is named in another way than by its own record (a snapshot that was adopted from
    its backend) is not found so: claims tell of that.
    """
    names = list(namespaces.all_names(transaction))
    by_ingests = {
        item
        for name in names
        for ref in ingests.all_names(ingests.find(transaction, name))
        for item in of_ingest(ingests.find(transaction, name), Node(INGEST, name, ref))
    }
    blobs = [content.find(transaction, name) for name in names]
    return {
        item
        for item in data
        if item in by_ingests
        or (
            any(content.exists(bucket, item.name) for bucket in blobs)
            if item.kind == BLOB_ITEM
            else item.kind == SNAPSHOT_ITEM
            and snapshots.names_itself(transaction, item.snapshotter, item.name)
        )
    }


def of_blob(_bucket: Bucket | None, node: Node) -> Iterator[BackendItem]:
    """Iterate over the items of a blob's record: its data."""
    yield BackendItem(BLOB_ITEM, node.key)


def of_ingest(bucket: Bucket | None, node: Node) -> Iterator[BackendItem]:
    """Iterate over the items of an ingest's record: its data, and a blob that it shares."""
    backend_ref = ingests.backend_ref(bucket, node.namespace, node.key)
    yield BackendItem(INGEST_ITEM, backend_ref)
    # What the backend lists if the reference in the directory is damaged.
    yield BackendItem(LEFTOVER_ITEM, ingest_directory(backend_ref))
    expected = ingests.expected(bucket, node.key)
    if expected:
        yield BackendItem(BLOB_ITEM, expected)


def of_snapshot(bucket: ReadableBucket | None, node: Node) -> Iterator[BackendItem]:
    """Iterate over the items of a snapshot's record: its data."""
    snapshotter, key = split_snapshot(node.key)
    yield BackendItem(SNAPSHOT_ITEM, snapshots.backend_name(bucket, key), snapshotter)


def _content(transaction: Transaction, namespace: str) -> Iterator[BackendItem]:
    for digest in content.all_names(content.find(transaction, namespace)):
        yield BackendItem(BLOB_ITEM, digest)
    bucket = ingests.find(transaction, namespace)
    for ref in ingests.all_names(bucket):
        yield from of_ingest(bucket, Node(INGEST, namespace, ref))


def _snapshots(transaction: Transaction, namespace: str, snapshotter: str) -> Iterator[BackendItem]:
    for name in snapshots.backend_names(snapshots.find(transaction, namespace, snapshotter)):
        yield BackendItem(SNAPSHOT_ITEM, name, snapshotter)
