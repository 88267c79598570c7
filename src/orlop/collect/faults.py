"""Records whose data is missing from its backend, or damaged as far as one look tells.

Of a blob the size of its file is looked at, of a snapshot its directory. Metadata and backends
are not one version together: what looks faulty is looked at again, and so is its record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orlop.collect.node import CONTENT, SNAPSHOT, Node, snapshot_node, split_snapshot
from orlop.model import digest as digests
from orlop.model.errors import OrlopError
from orlop.schema import content, namespaces, snapshots
from orlop.stores.blob_faults import blob_fault
from orlop.stores.lost_data import snapshot_fault

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from orlop.kv import Transaction
    from orlop.model.backends import ContentBackend, SnapshotBackend
    from orlop.stores.scope import Transactor


@dataclass(frozen=True, slots=True)
class _Recorded:
    """What a record says of its data.

    Attributes:
        size: of a blob, in bytes.
        backend_name: how its backend calls a snapshot.
    """

    size: int = 0
    backend_name: str = ""


def find_faults(
    transactor: Transactor,
    content_backend: ContentBackend | None,
    snapshotters: Mapping[str, SnapshotBackend],
    nodes: Collection[Node] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> dict[Node, str]:
    """Return what is wrong with the data of records, in their order; what is whole is left out.

    Args:
        transactor: where the metadata is read.
        content_backend: what keeps blobs; `None` for a bare database: of them nothing is known.
        snapshotters: what keeps snapshots, by name; of those of others nothing is known.
        nodes: the records; `None`: all blobs and snapshots. One that is gone has no fault.
        sizes: of the files of all blobs in bytes, by their digests, where they were listed.

    Raises:
        UnavailableError: the file changes all the time.
        DataLossError: the database is damaged.
    """

    def read(transaction: Transaction) -> dict[Node, _Recorded]:
        wanted = _all_nodes(transaction) if nodes is None else nodes
        found = ((node, _recorded(transaction, node)) for node in wanted)
        return {node: record for node, record in found if record is not None}

    def fault(node: Node, record: _Recorded) -> str:
        try:
            if node.type == CONTENT:
                if content_backend is None:
                    return ""
                return blob_fault(content_backend, node.key, record.size)
            backend = snapshotters.get(split_snapshot(node.key)[0])
            return "" if backend is None else snapshot_fault(backend, record.backend_name)
        except (OrlopError, OSError):
            return ""  # the backend cannot be read, which a plan says by itself

    recorded = transactor.read(read)
    suspects = {
        node: record
        for node, record in recorded.items()
        if not _is_listed(node, record, sizes) and fault(node, record)
    }
    if not suspects:
        return {}
    still = transactor.read(
        lambda transaction: {node: _recorded(transaction, node) for node in suspects}
    )
    again = ((node, fault(node, record)) for node, record in suspects.items())
    return {node: found for node, found in again if found and still[node] == suspects[node]}


def _all_nodes(transaction: Transaction) -> Iterator[Node]:
    for name in namespaces.all_names(transaction):
        for digest in content.all_names(content.find(transaction, name)):
            if digests.is_valid(digest):
                yield Node(CONTENT, name, digest)
        for snapshotter in snapshots.snapshotters(transaction, name):
            if "/" not in snapshotter:  # else none of our backends, and its keys make no nodes
                for key in snapshots.all_names(snapshots.find(transaction, name, snapshotter)):
                    yield snapshot_node(name, snapshotter, key)


def _recorded(transaction: Transaction, node: Node) -> _Recorded | None:
    """Return what a record says of its data; `None` where there is no record, or no data."""
    if node.type == CONTENT:
        blobs = content.find(transaction, node.namespace)
        if content.exists(blobs, node.key):
            return _Recorded(size=content.size(blobs, node.key))
    elif node.type == SNAPSHOT:
        snapshotter, key = split_snapshot(node.key)
        name = snapshots.backend_name(snapshots.find(transaction, node.namespace, snapshotter), key)
        if name:
            return _Recorded(backend_name=name)
    return None


def _is_listed(node: Node, record: _Recorded, sizes: Mapping[str, int] | None) -> bool:
    return node.type == CONTENT and sizes is not None and sizes.get(node.key) == record.size
