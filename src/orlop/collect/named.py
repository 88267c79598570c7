"""What the metadata names in the backends: all else there is garbage.

Source: containerd, core/metadata/content.go and snapshot.go (garbageCollect).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.collect.node import CONTENT, INGEST, SNAPSHOT, Node, snapshot_node, split_snapshot
from orlop.schema import content, ingests, namespaces, snapshots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.kv import Transaction

BLOB: Final = "blob"
UNFINISHED: Final = "ingest"
FILES: Final = "snapshot"


class Datum(NamedTuple):
    """A piece of data in a backend.

    Attributes:
        kind: a blob, an unfinished one, or the files of a snapshot.
        name: how the backend calls it.
        snapshotter: whose backend it is, for a snapshot; else empty.
    """

    kind: str
    name: str
    snapshotter: str = ""

    @property
    def key(self) -> str:
        """What it is called in a plan."""
        return f"{self.snapshotter}/{self.name}" if self.snapshotter else self.name


def read_named(transaction: Transaction) -> set[Datum]:
    """Return the data that the metadata of all namespaces names."""
    return {
        datum
        for namespace in namespaces.all_names(transaction)
        for node in _nodes(transaction, namespace)
        for datum in data_of(transaction, node)
    }


def data_of(transaction: Transaction, node: Node) -> Iterator[Datum]:
    """Iterate over the data that one record names."""
    if node.type == CONTENT:
        yield Datum(BLOB, node.key)
    elif node.type == INGEST:
        bucket = ingests.find(transaction, node.namespace)
        yield Datum(UNFINISHED, ingests.backend_ref(bucket, node.namespace, node.key))
        expected = ingests.expected(bucket, node.key)
        if expected:
            yield Datum(BLOB, expected)
    elif node.type == SNAPSHOT:
        snapshotter, key = split_snapshot(node.key)
        bucket = snapshots.find(transaction, node.namespace, snapshotter)
        yield Datum(FILES, snapshots.backend_name(bucket, key), snapshotter)


def _nodes(transaction: Transaction, namespace: str) -> Iterator[Node]:
    for digest in content.all_names(content.find(transaction, namespace)):
        yield Node(CONTENT, namespace, digest)
    for ref in ingests.all_names(ingests.find(transaction, namespace)):
        yield Node(INGEST, namespace, ref)
    for snapshotter in snapshots.snapshotters(transaction, namespace):
        if "/" in snapshotter:
            continue  # none of our backends, and its keys make no nodes
        for key in snapshots.all_names(snapshots.find(transaction, namespace, snapshotter)):
            yield snapshot_node(namespace, snapshotter, key)
