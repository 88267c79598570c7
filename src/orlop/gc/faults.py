"""Faults: records with data that is missing from its backend or visibly damaged.

For a blob the size of its file is checked, for a snapshot its directory. Metadata and backends
are not read as one version: an apparent fault is checked again, and so is its record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orlop import digests
from orlop.errors import DataLossError, LostDatabaseError
from orlop.gc.node import CONTENT, SNAPSHOT, Node, snapshot_node, split_snapshot
from orlop.schema import content, namespaces, snapshots
from orlop.storage.contract import RepairableSnapshots
from orlop.stores.blob_faults import blob_fault
from orlop.stores.snapshot_errors import known_names, snapshot_fault

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from orlop.kv import Transaction
    from orlop.storage.contract import ContentBackend, SnapshotBackend
    from orlop.transactions import Transactions


_MANY: Final = 256
"""More records than that are compared with a listing, instead of looked at one by one."""


@dataclass(frozen=True, slots=True)
class _Recorded:
    """The size or backend name that a record gives for its data.

    Attributes:
        size: of a blob, in bytes.
        backend_name: how its backend calls a snapshot.
    """

    size: int = 0
    backend_name: str = ""


def find_faults(
    transactor: Transactions,
    content_backend: ContentBackend | None,
    snapshotters: Mapping[str, SnapshotBackend],
    nodes: Collection[Node] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> dict[Node, str]:
    """Return the faults of records, in the order of the records.

    Args:
        transactor: where the metadata is read.
        content_backend: the content store; `None` for a bare database: blobs are not checked.
        snapshotters: snapshot backends by name; other snapshots are not checked.
        nodes: the records; `None`: all blobs and snapshots. One that is gone has no fault.
        sizes: of the files of all blobs in bytes, by their digests, where they were listed.

    Raises:
        UnavailableError: the file changes all the time.
        DataLossError: the database is damaged.
    """

    def fault(node: Node, record: _Recorded) -> str:
        try:
            if node.type == CONTENT:
                if content_backend is None:
                    return ""
                return blob_fault(content_backend, node.key, record.size)
            backend = snapshotters.get(split_snapshot(node.key)[0])
            return "" if backend is None else snapshot_fault(backend, record.backend_name)
        except (DataLossError, LostDatabaseError) as error:
            return f"cannot be checked: {error.message}"
        except Exception:  # noqa: BLE001 (a plug-in's may be any)
            return ""

    if nodes is None or len(nodes) > _MANY:
        bulk = _Bulk(content_backend, snapshotters, sizes)
        wanted = None if nodes is None else set(nodes)
        suspects = transactor.read(lambda one: dict(bulk.suspects(one, wanted)))
    else:
        recorded = transactor.read(lambda one: {node: _recorded(one, node) for node in nodes})
        suspects = {node: said for node, said in recorded.items() if said and fault(node, said)}
    if not suspects:
        return {}
    still = transactor.read(
        lambda transaction: {node: _recorded(transaction, node) for node in suspects}
    )
    again = ((node, fault(node, record)) for node, record in suspects.items())
    return {node: found for node, found in again if found and still[node] == suspects[node]}


def _recorded(transaction: Transaction, node: Node) -> _Recorded | None:
    """Return size or backend name of a record's data; `None` if it is gone or has no data."""
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


class _Bulk:
    """One listing of the backends, to compare many records with."""

    def __init__(
        self,
        content_backend: ContentBackend | None,
        snapshotters: Mapping[str, SnapshotBackend],
        sizes: Mapping[str, int] | None,
    ) -> None:
        if sizes is None and content_backend is not None:
            try:
                sizes = {blob.digest: blob.size for blob in content_backend.walk()}
            except Exception:  # noqa: BLE001
                sizes = None  # each is asked for
        self._sizes = sizes or {}
        self._has_content = content_backend is not None
        self._whole = {name: _whole(backend) for name, backend in snapshotters.items()}

    def suspects(
        self, transaction: Transaction, wanted: Collection[Node] | None
    ) -> Iterator[tuple[Node, _Recorded]]:
        """Iterate over the records that the listing does not confirm, in their order."""
        for name in namespaces.all_names(transaction):
            for node, record in (*self._blobs(transaction, name), *self._files(transaction, name)):
                if wanted is None or node in wanted:
                    yield node, record

    def _blobs(self, transaction: Transaction, name: str) -> Iterator[tuple[Node, _Recorded]]:
        if not self._has_content:
            return
        for digest, size in content.sizes(content.find(transaction, name)):
            if self._sizes.get(digest) != size and digests.is_valid(digest):
                yield Node(CONTENT, name, digest), _Recorded(size=size)

    def _files(self, transaction: Transaction, name: str) -> Iterator[tuple[Node, _Recorded]]:
        for snapshotter in snapshots.snapshotters(transaction, name):
            whole = self._whole.get(snapshotter)
            if whole is None:
                continue
            bucket = snapshots.find(transaction, name, snapshotter)
            for key in snapshots.all_names(bucket):
                backend_name = snapshots.backend_name(bucket, key)
                if backend_name and backend_name not in whole:
                    yield (
                        snapshot_node(name, snapshotter, key),
                        _Recorded(backend_name=backend_name),
                    )


def _whole(backend: SnapshotBackend) -> Collection[str]:
    """Return the snapshots that have their files; none if the backend fails."""
    try:
        lost = backend.faults() if isinstance(backend, RepairableSnapshots) else ()
        return known_names(backend).difference(lost)
    except Exception:  # noqa: BLE001
        return ()
