"""The contents of a namespace, as its stores return them, in the form of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.schema import ingests, snapshots
from orlop.schema.codec import timestamps
from stores.model_world import LOST, Space

if TYPE_CHECKING:
    from orlop import Namespace


def observed(ns: Namespace) -> Space:
    """Return the records of all stores."""
    space = Space()
    for image in ns.images.list():
        expire = image.labels.get("containerd.io/gc.expire")
        space.images[image.name] = (
            image.target.digest,
            image.labels.get("containerd.io/gc.ref.snapshot.native", ""),
            timestamps.parse_rfc3339(expire) if expire else None,
        )
    for info in ns.content.walk():
        space.blobs[info.digest] = (
            "containerd.io/gc.root" in info.labels,
            frozenset(
                value
                for label, value in info.labels.items()
                if label.startswith("containerd.io/gc.ref.content")
            ),
        )
    with ns.environment.transactions.view() as transaction:
        bucket = ingests.find(transaction, ns.name)
        for ref in ingests.all_names(bucket):
            space.ingests[ref] = ingests.expire_at(bucket, ref)
        bucket = snapshots.find(transaction, ns.name, "native")
        for key in snapshots.all_names(bucket):
            space.snapshots[key] = snapshots.parent(bucket, key), LOST
    for snapshot in ns.snapshots("native").walk():
        space.snapshots[snapshot.name] = snapshot.parent, snapshot.kind.name.lower()
    for container in ns.containers.list():
        space.containers[container.id] = container.snapshot_key
    for lease in ns.leases.list():
        expire = lease.labels.get("containerd.io/gc.expire")
        space.leases[lease.id] = (
            timestamps.parse_rfc3339(expire) if expire else None,
            {(one.type, one.id) for one in ns.leases.resources(lease.id)},
        )
    return space
