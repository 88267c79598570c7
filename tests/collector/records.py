"""Records, written without checks: also those that no store would accept."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from orlop.gc.node import Node, snapshot_node
from orlop.records import (
    Container,
    ContentInfo,
    Descriptor,
    Image,
    Lease,
    LeaseResource,
    Runtime,
    Sandbox,
)
from orlop.schema import (
    containers,
    content,
    images,
    ingests,
    leases,
    names,
    sandboxes,
    snapshots,
)
from orlop.schema.snapshots import SnapshotRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whenever import Instant

    from orlop.kv import Bucket, Transaction

Labels = dict[str, str]


def digest_of(number: int) -> str:
    return "sha256:" + hashlib.sha256(str(number).encode()).hexdigest()


def bucket_at(transaction: Transaction, *path: str) -> Bucket:
    """Return the bucket at a path below the schema, made where it is missing."""
    bucket = transaction.root.create_bucket_if_absent(b"v1")
    for name in path:
        bucket = bucket.create_bucket_if_absent(names.to_bytes(name))
    return bucket


class Records:
    """Writes records into a transaction."""

    def __init__(self, transaction: Transaction, now: Instant) -> None:
        self.transaction = transaction
        self.now = now

    def image(
        self, namespace: str, name: str, digest: str, labels: Mapping[str, str] | None = None
    ) -> Node:
        images.write(
            images.create(self.transaction, namespace),
            Image(
                name=name,
                target=Descriptor(media_type="irrelevant", digest=digest, size=1),
                labels=labels or {},
                created_at=self.now,
                updated_at=self.now,
            ),
        )
        return Node("image", namespace, name)

    def blob(
        self, namespace: str, digest: str, labels: Mapping[str, str] | None = None, size: int = 1
    ) -> Node:
        content.write(
            content.create(self.transaction, namespace),
            ContentInfo(
                digest=digest,
                size=size,
                labels=labels or {},
                created_at=self.now,
                updated_at=self.now,
            ),
        )
        return Node("content", namespace, digest)

    def snapshot(
        self,
        namespace: str,
        snapshotter: str,
        key: str,
        parent: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> Node:
        bucket = snapshots.create(self.transaction, namespace, snapshotter)
        snapshots.write(
            bucket,
            SnapshotRecord(
                key=key,
                backend_name=snapshots.new_backend_name(bucket, namespace, key),
                parent=parent,
                labels=labels or {},
                created_at=self.now,
                updated_at=self.now,
            ),
        )
        if parent and snapshots.exists(bucket, parent):
            snapshots.add_child(bucket, parent, key)
        return snapshot_node(namespace, snapshotter, key)

    def container(
        self,
        namespace: str,
        name: str,
        snapshotter: str = "",
        key: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> Node:
        containers.write(
            containers.create(self.transaction, namespace),
            Container(
                id=name,
                runtime=Runtime(name="runc"),
                spec=None,
                snapshotter=snapshotter,
                snapshot_key=key,
                labels=labels or {},
            ),
        )
        return Node("container", namespace, name)

    def sandbox(self, namespace: str, name: str, labels: Mapping[str, str] | None = None) -> Node:
        sandboxes.write(
            sandboxes.create(self.transaction, namespace),
            Sandbox(id=name, runtime=Runtime(name="runc"), labels=labels or {}),
        )
        return Node("sandbox", namespace, name)

    def ingest(
        self, namespace: str, ref: str, *, expected: str = "", expires: Instant | None = None
    ) -> Node:
        bucket = ingests.create(self.transaction, namespace)
        ingests.open_ingest(bucket, namespace, ref, ingests.backend_ref(bucket, namespace, ref))
        if expires is not None:
            ingests.set_expiry(bucket, ref, expires)
        if expected:
            ingests.set_expected(bucket, ref, expected)
        return Node("ingest", namespace, ref)

    def lease(
        self,
        namespace: str,
        name: str,
        *held: tuple[str, str],
        labels: Mapping[str, str] | None = None,
    ) -> Node:
        bucket = leases.create(self.transaction, namespace)
        if labels is not None or not leases.exists(bucket, name):
            lease = Lease(id=name, labels=labels or {}, created_at=self.now)
            leases.write(bucket, lease)
        for kind, key in held:
            leases.add_resource(bucket, name, LeaseResource(id=key, type=kind))
        return Node("lease", namespace, name)
