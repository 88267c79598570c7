"""Reads the records of a database by the layout of its keys, not through the collector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from campaigns.world.records import CONTENT, IMAGE, INGEST, LEASE, SNAPSHOT, Node, Seen
from orlop.errors import OrlopError
from orlop.schema import content, images, ingests, leases, namespaces, snapshots

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orlop import Database
    from orlop.kv import Transaction

GC: Final = "containerd.io/gc."
_TYPES: Final = {"content": CONTENT, "images": IMAGE, "ingests": INGEST, "snapshots": SNAPSHOT}


def see(database: Database) -> dict[Node, Seen]:
    """Return all records of one version of the database."""
    with database.view() as transaction:
        return {
            node: seen
            for name in namespaces.all_names(transaction)
            for node, seen in _of_namespace(database, transaction, name)
        }


def _of_namespace(
    database: Database, transaction: Transaction, name: str
) -> Iterator[tuple[Node, Seen]]:
    for image in images.read_all(images.find(transaction, name)):
        refs = {Node(name, CONTENT, image.target.digest), *label_refs(name, image.labels)}
        yield Node(name, IMAGE, image.name), Seen(frozenset(refs), is_root=True)
    blobs = content.find(transaction, name)
    for digest in content.all_names(blobs):
        labels = content.labels(blobs, digest)
        yield Node(name, CONTENT, digest), _labelled(name, labels)
    found = leases.find(transaction, name)
    for lease in leases.all_names(found):
        held = frozenset(
            Node(name, _TYPES[kind], f"{snapshotter[0]}/{one.id}" if snapshotter else one.id)
            for one in leases.resources(found, lease)
            for kind, *snapshotter in [one.type.split("/")]
        )
        yield Node(name, LEASE, lease), Seen(held, is_root=True)
    ingesting = ingests.find(transaction, name)
    for ref in ingests.all_names(ingesting):
        expected = ingests.expected(ingesting, ref)
        refs = {Node(name, CONTENT, expected)} if expected else set()
        yield Node(name, INGEST, ref), Seen(frozenset(refs), is_root=True)
    for snapshotter in snapshots.snapshotters(transaction, name):
        bucket = snapshots.find(transaction, name, snapshotter)
        for key in snapshots.all_names(bucket):
            seen = _labelled(name, snapshots.labels(bucket, key))
            parent = snapshots.parent(bucket, key)
            refs = {*seen.refs, *([Node(name, SNAPSHOT, f"{snapshotter}/{parent}")] * bool(parent))}
            directory = _directory(database, snapshotter, snapshots.backend_name(bucket, key))
            yield (
                Node(name, SNAPSHOT, f"{snapshotter}/{key}"),
                Seen(frozenset(refs), seen.is_root, bool(directory), directory),
            )


def _directory(database: Database, snapshotter: str, backend_name: str) -> str:
    backend = database.snapshot_backends[snapshotter]
    try:
        number: str = backend._metastore.read(  # type: ignore[attr-defined]
            lambda snapshots: snapshots.info(backend_name)
        )[0]
    except OrlopError:
        return ""
    return number


def _labelled(namespace: str, labels: Mapping[str, str]) -> Seen:
    is_root = any(label.startswith(f"{GC}root") for label in labels)
    return Seen(frozenset(label_refs(namespace, labels)), is_root)


def label_refs(namespace: str, labels: Mapping[str, str]) -> Iterator[Node]:
    """Iterate over the records that labels refer to."""
    for label, value in labels.items():
        kind = label.removeprefix(f"{GC}ref.")
        if kind == label:
            continue
        if kind.startswith("content"):
            yield Node(namespace, CONTENT, value)
        elif kind.startswith("snapshot."):
            snapshotter = kind.removeprefix("snapshot.").split("/")[0]
            yield Node(namespace, SNAPSHOT, f"{snapshotter}/{value}")
