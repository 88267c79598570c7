"""Leases: `v1/<namespace>/leases/<id>`, with the resources of each."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from orlop.errors import InternalError
from orlop.records import Lease, LeaseResource
from orlop.schema import buckets, fields, names
from orlop.schema.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whenever import Instant

    from orlop.kv import Bucket, ReadableBucket

CONTENT: Final = "content"
IMAGES: Final = "images"
INGESTS: Final = "ingests"
SNAPSHOTS: Final = "snapshots"

_FLAT_TYPES: Final = (CONTENT, IMAGES, INGESTS)
"""The types whose buckets lie directly in the lease, in the order of a listing."""


def created_at(leases: ReadableBucket | None, lease_id: str) -> Instant | None:
    """Return when a lease was created; `None` where that is not known."""
    return fields.known_time(buckets.child(leases, lease_id), names.CREATED_AT)


def read(leases: Bucket | None, lease_id: str) -> Lease | None:
    """Return a lease; `None` if it does not exist.

    Raises:
        DataLossError: the stored time cannot be read.
    """
    lease = buckets.child(leases, lease_id)
    if lease is None:
        return None
    # Not the whole of it: what it holds may be much.
    entries = lease.tree(names.LABELS) or {}
    return Lease(
        id=lease_id,
        labels=fields.texts({names.LABELS: entries}, names.LABELS),
        created_at=fields.read_time(lease, names.CREATED_AT),
    )


def write(leases: Bucket, lease: Lease) -> Lease:
    """Store a lease; return it without the empty labels, which are dropped."""
    with buckets.RecordWriter(leases, lease.id) as bucket:
        fields.write_time(bucket, names.CREATED_AT, lease.created_at)
        stored_labels = fields.write_map(bucket, names.LABELS, lease.labels)
    return dataclasses.replace(lease, labels=stored_labels)


def resources(leases: ReadableBucket | None, lease_id: str) -> Iterator[LeaseResource]:
    """Iterate over the resources of a lease: content, images, ingests, then snapshots."""
    lease = buckets.child(leases, lease_id)
    if lease is None:
        return
    for kind in _FLAT_TYPES:
        for held in buckets.value_names(lease.bucket(names.to_bytes(kind))):
            yield LeaseResource(id=held, type=kind)
    snapshots = lease.bucket(names.SNAPSHOTS)
    for snapshotter in buckets.bucket_names(snapshots):
        for held in buckets.value_names(buckets.child(snapshots, snapshotter)):
            yield LeaseResource(id=held, type=f"{SNAPSHOTS}/{snapshotter}")


def add_resource(leases: Bucket, lease_id: str, resource: LeaseResource) -> None:
    """Add a resource to a lease, which must exist; adding it twice is allowed."""
    bucket = leases.create_bucket_if_absent(names.to_bytes(lease_id))
    for name in _path(resource):
        bucket = bucket.create_bucket_if_absent(name)
    bucket.put(names.to_bytes(resource.id), b"")


def remove_resource(leases: Bucket | None, lease_id: str, resource: LeaseResource) -> None:
    """Undo `add_resource`; nothing happens where there is no such lease or note."""
    bucket = buckets.child(leases, lease_id)
    for name in _path(resource):
        bucket = None if bucket is None else bucket.bucket(name)
    key = names.to_bytes(resource.id)
    if bucket is not None and bucket.bucket(key) is None:
        bucket.delete(key)


def _path(resource: LeaseResource) -> tuple[bytes, ...]:
    if resource.type in _FLAT_TYPES:
        return (names.to_bytes(resource.type),)
    kind, _, snapshotter = resource.type.partition("/")
    if kind != SNAPSHOTS or not snapshotter:
        raise InternalError(f"lease resource of the unchecked type {resource.type!r}")
    return (names.SNAPSHOTS, names.to_bytes(snapshotter))


TABLE: Final = Table(names.LEASES)

find, create, exists, labels = TABLE.find, TABLE.create, TABLE.exists, TABLE.labels
all_names, delete = TABLE.all_names, TABLE.delete
