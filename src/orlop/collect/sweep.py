"""The sweep: records that nothing holds are removed from the metadata.

Their data goes afterwards, with the cleanup of the backends.

Source: containerd, core/metadata/gc.go (remove); spec/metadata.md 3.7. Unlike containerd's,
this sweep also takes a removed snapshot out of its parent's list of children, so that a
surviving parent can be removed later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.collect.node import CONTENT, IMAGE, INGEST, LEASE, SNAPSHOT, split_snapshot
from orlop.schema import content, images, ingests, leases, snapshots
from orlop.stores.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orlop.collect.node import Node
    from orlop.collect.resources import Collection
    from orlop.stores.scope import Transactor, Update


def sweep(
    transactor: Transactor,
    update: Update,
    nodes: Iterable[Node],
    collections: Mapping[str, Collection],
) -> None:
    """Remove the records of nodes; what is gone already is passed over.

    Args:
        transactor: the source of `update`, for the time of events.
        update: where to remove them; it notes which backends hold garbage then, and the
            events that are due once it is durable.
        nodes: what to remove.
        collections: what removes resources of other kinds, by type.
    """
    for node in nodes:
        scope = Scope(node.namespace, transactor)
        transaction = update.transaction
        if node.type == LEASE:
            leases.delete(leases.find(transaction, node.namespace), node.key)
        elif node.type == SNAPSHOT:
            _remove_snapshot(scope, update, node)
        elif node.type == INGEST:
            ingests.delete(ingests.find(transaction, node.namespace), node.key)
            update.changes.content = True
        elif node.type == CONTENT:
            content.delete(content.find(transaction, node.namespace), node.key)
            update.changes.content = True
        elif node.type == IMAGE:
            images.delete(images.find(transaction, node.namespace), node.key)
            scope.tell(update, "/images/delete", name=node.key)
        elif node.type in collections:
            collections[node.type].remove(node)


def _remove_snapshot(scope: Scope, update: Update, node: Node) -> None:
    snapshotter, key = split_snapshot(node.key)
    bucket = snapshots.find(update.transaction, node.namespace, snapshotter)
    parent = snapshots.parent(bucket, key)
    if parent:
        snapshots.remove_child(bucket, parent, key)
    snapshots.delete(bucket, key)
    update.changes.snapshotters.add(snapshotter)
    scope.tell(update, "/snapshot/remove", key=key, snapshotter=snapshotter)
