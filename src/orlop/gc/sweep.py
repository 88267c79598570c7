"""The sweep: records that nothing holds are removed from the metadata.

Their data goes afterwards, with the cleanup of the backends.

Source: containerd, core/metadata/gc.go (remove); spec/metadata.md 3.7. Unlike containerd's,
this sweep also takes a removed snapshot out of its parent's list of children, so that a
surviving parent can be removed later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.gc.node import CONTENT, IMAGE, INGEST, LEASE, SNAPSHOT, split_snapshot
from orlop.schema import content, images, ingests, leases, snapshots
from orlop.stores.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orlop.gc.node import Node
    from orlop.gc.resources import ResourceSession
    from orlop.kv import Bucket
    from orlop.stores.scope import Transactor, Update


class Sweep:
    """Removes records in one update, and keeps the buckets open in which they lie."""

    def __init__(
        self, transactor: Transactor, update: Update, sessions: Mapping[str, ResourceSession]
    ) -> None:
        """Begin with nothing removed.

        Args:
            transactor: the source of `update`, for the time of events.
            update: where to remove records; it notes which backends hold garbage then, and the
                events that are due once it is durable.
            sessions: remove resources of other kinds, by type.
        """
        self._transactor = transactor
        self._update = update
        self._sessions = sessions
        self._shelves: dict[tuple[str, str, str], Bucket | None] = {}
        # Snapshots that are gone, and the parent of each that has one.
        self._parents: dict[tuple[str, str, str], str] = {}

    def remove(self, nodes: Sequence[Node]) -> None:
        """Remove the records of nodes; what is gone already is passed over.

        Raises:
            ResourceError: a plug-in failed: the update is to be rolled back.
        """
        changes = self._update.changes
        for node in nodes:
            if node.type == SNAPSHOT:
                self._remove_snapshot(node)
            elif node.type == CONTENT:
                content.delete(self._shelf(node.type, node.namespace), node.key)
                changes.content = True
            elif node.type == LEASE:
                leases.delete(self._shelf(node.type, node.namespace), node.key)
            elif node.type == INGEST:
                ingests.delete(self._shelf(node.type, node.namespace), node.key)
                changes.content = True
            elif node.type == IMAGE:
                images.delete(self._shelf(node.type, node.namespace), node.key)
                scope = Scope(node.namespace, self._transactor)
                scope.emit_event(self._update, "/images/delete", name=node.key)
            elif node.type in self._sessions:
                self._sessions[node.type].remove(node)

    def finish(self) -> None:
        """Take what was removed out of the lists of those that stay; nothing is removed then."""
        # At the end of a batch and not with each snapshot: whole chains go together, and then no
        # list needs to be mended at all, because the parents that have them go, too.
        for (namespace, snapshotter, key), parent in self._parents.items():
            # The list of a parent that is gone went with it.
            if parent and (namespace, snapshotter, parent) not in self._parents:
                bucket = self._shelf(SNAPSHOT, namespace, snapshotter)
                snapshots.remove_child(bucket, parent, key)

    def _remove_snapshot(self, node: Node) -> None:
        snapshotter, key = split_snapshot(node.key)
        bucket = self._shelf(SNAPSHOT, node.namespace, snapshotter)
        # Read before the record is deleted, which is the only place that names the parent.
        self._parents[node.namespace, snapshotter, key] = snapshots.parent(bucket, key)
        snapshots.delete(bucket, key)
        self._update.changes.snapshotters.add(snapshotter)
        scope = Scope(node.namespace, self._transactor)
        scope.emit_event(self._update, "/snapshot/remove", key=key, snapshotter=snapshotter)

    def _shelf(self, kind: str, namespace: str, snapshotter: str = "") -> Bucket | None:
        """Return the bucket in which records lie, `None` where there is none."""
        place = (kind, namespace, snapshotter)
        # Opened once for a batch: its records share a few buckets, and to find one costs as much
        # as to delete a record.
        if place not in self._shelves:
            self._shelves[place] = self._find(kind, namespace, snapshotter)
        return self._shelves[place]

    def _find(self, kind: str, namespace: str, snapshotter: str) -> Bucket | None:
        transaction = self._update.transaction
        if kind == SNAPSHOT:
            return snapshots.find(transaction, namespace, snapshotter)
        if kind == LEASE:
            return leases.find(transaction, namespace)
        if kind == INGEST:
            return ingests.find(transaction, namespace)
        if kind == IMAGE:
            return images.find(transaction, namespace)
        return content.find(transaction, namespace)
