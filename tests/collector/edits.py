"""Edits of single records as they are stored: an edge is taken out, or a record.

They go to the buckets themselves, past the stores and past all that the collector is made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.records import bucket_at
from orlop.schema import fields, names

if TYPE_CHECKING:
    from orlop.gc import HoldingPath, Node
    from orlop.kv import Bucket, Transaction

PLACES = {
    "content": ("content", "blob"),
    "image": ("images",),
    "container": ("containers",),
    "lease": ("leases",),
    "sandbox": ("sandboxes",),
    "ingest": ("content", "ingests"),
}
EXPIRED = "2001-01-01T00:00:00Z"


def record_at(transaction: Transaction, node: Node) -> Bucket:
    """Return the bucket of a node's record."""
    folder, key = _place(transaction, node)
    found = folder.bucket(key)
    assert found is not None, node
    return found


def delete_record(transaction: Transaction, node: Node) -> None:
    folder, key = _place(transaction, node)
    folder.delete_bucket(key)


def delete_label(transaction: Transaction, node: Node, label: str) -> None:
    labels = record_at(transaction, node).bucket(b"labels")
    assert labels is not None, (node, label)
    key = names.to_bytes(label)
    assert labels.get(key) is not None, (node, label)
    labels.delete(key)


def delete_last_edge(transaction: Transaction, path: HoldingPath) -> None:
    """Delete the label or field behind the last step of a path."""
    node, edge = path[-1].node.whole, path[-1].edge
    if len(path) == 1:
        _delete_root(transaction, node, edge)
        return
    source = path[-2].node.whole
    if edge.startswith("containerd.io/gc.bref."):
        delete_label(transaction, node, edge)
    elif edge.startswith("containerd.io/"):
        delete_label(transaction, source, edge)
    elif source.type == "lease":
        entries = record_at(transaction, source).bucket(names.to_bytes(edge))
        assert entries is not None
        key = node.key
        if node.type == "snapshot":
            snapshotter, _, key = node.key.partition("/")
            entries = entries.bucket(names.to_bytes(snapshotter))
            assert entries is not None
        entries.delete(names.to_bytes(key))
    else:
        _delete_field(record_at(transaction, source), edge)


def last_edges(paths: tuple[HoldingPath, ...]) -> dict[tuple[object, str], HoldingPath]:
    """Return one path for each last edge."""
    found: dict[tuple[object, str], HoldingPath] = {}
    for path in paths:
        source = path[-2].node.whole if len(path) > 1 else None
        found.setdefault((source, path[-1].edge), path)
    return found


def _delete_root(transaction: Transaction, node: Node, edge: str) -> None:
    if edge.startswith("containerd.io/"):
        delete_label(transaction, node, edge)
    elif node.type == "ingest":
        record_at(transaction, node).delete(b"expireat")
    elif node.type in {"image", "lease"}:
        record = record_at(transaction, node)
        labels = fields.read_map(record, b"labels")
        fields.write_map(record, b"labels", {**labels, "containerd.io/gc.expire": EXPIRED})
    else:
        delete_record(transaction, node)


def _delete_field(record: Bucket, field: str) -> None:
    if field == "target":
        record.delete_bucket(b"target")
    elif field == "snapshot":
        record.put(b"snapshotter", b"")
        record.put(b"snapshotKey", b"")
    else:
        assert record.get(names.to_bytes(field)) is not None, field
        record.delete(names.to_bytes(field))


def _place(transaction: Transaction, node: Node) -> tuple[Bucket, bytes]:
    if node.type == "snapshot":
        snapshotter, _, key = node.key.partition("/")
        folder = bucket_at(transaction, node.namespace, "snapshots", snapshotter)
        return folder, names.to_bytes(key)
    return bucket_at(transaction, node.namespace, *PLACES[node.type]), names.to_bytes(node.key)
