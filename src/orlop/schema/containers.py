"""Containers: `v1/<namespace>/containers/<id>`; their runtime has the form of a sandbox's."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from orlop.kv import DraftBucket
from orlop.model import drafts
from orlop.schema import buckets, fields, names

if TYPE_CHECKING:
    from orlop.kv import Bucket, ReadableBucket, RecordBucket, Transaction, Tree
    from orlop.model.records import Container, Runtime
    from orlop.schema.fields import Wanted


def find(transaction: Transaction, namespace: str) -> Bucket | None:
    """Return the bucket of a namespace's containers, `None` where there is none."""
    return buckets.find(transaction, namespace, names.CONTAINERS)


def create(transaction: Transaction, namespace: str) -> Bucket:
    """Return the bucket of a namespace's containers, made first where it is missing."""
    return buckets.create(transaction, namespace, names.CONTAINERS)


def exists(containers: Bucket | None, container_id: str) -> bool:
    """Tell whether there is a container of that id."""
    return buckets.child(containers, container_id) is not None


def labels(containers: ReadableBucket | None, container_id: str) -> dict[str, str]:
    """Return the labels of a container, without the rest of it."""
    return fields.read_map(buckets.child(containers, container_id), names.LABELS)


def snapshot(containers: ReadableBucket | None, container_id: str) -> tuple[str, str]:
    """Return snapshotter and key of a container's snapshot, without the rest of it."""
    container = buckets.child(containers, container_id)
    if container is None:
        return "", ""
    return (
        fields.read_text(container, names.SNAPSHOTTER),
        fields.read_text(container, names.SNAPSHOT_KEY),
    )


def read(containers: Bucket | None, container_id: str) -> Container | None:
    """Return a container, `None` where there is none.

    Raises:
        DataLossError: a stored time or Any cannot be read.
    """
    bucket = fields.record(containers, container_id)
    return None if bucket is None else _decode(container_id, bucket)


def read_all(containers: Bucket | None, wanted: Wanted | None = None) -> list[Container]:
    """Return the containers that are wanted, in byte order of their ids; `None`: all.

    Raises: as `read`, for one that is not wanted, too.
    """
    return fields.records(containers, _decode, _decode, wanted)


def write(containers: Bucket, container: Container) -> Container:
    """Store a container; return it without the empty labels, which are dropped.

    Stored extensions are never deleted, only replaced one by one, as containerd does.
    """
    with buckets.RecordWriter(containers, container.id) as bucket:
        fields.write_time(bucket, names.CREATED_AT, container.created_at)
        fields.write_time(bucket, names.UPDATED_AT, container.updated_at)
        fields.write_any(bucket, names.SPEC, container.spec)
        fields.write_text(bucket, names.IMAGE, container.image)
        fields.write_text(bucket, names.SNAPSHOTTER, container.snapshotter)
        fields.write_text(bucket, names.SNAPSHOT_KEY, container.snapshot_key)
        if isinstance(bucket, DraftBucket) or container.sandbox_id:
            # Older daemons do not know the field: what they stored does not grow by an empty one.
            fields.write_text(bucket, names.SANDBOX_ID, container.sandbox_id)
        replace_runtime(bucket, container.runtime)
        fields.merge_any_map(bucket, names.EXTENSIONS, container.extensions)
        stored_labels = fields.write_map(bucket, names.LABELS, container.labels)
    return dataclasses.replace(container, labels=stored_labels)


def delete(containers: Bucket | None, container_id: str) -> None:
    """Delete a container; nothing happens where there is none."""
    buckets.delete(containers, container_id)


def _decode(container_id: str, container: Tree) -> Container:
    return drafts.container(
        container_id,
        labels=fields.texts(container, names.LABELS),
        image_name=fields.text(container, names.IMAGE),
        runtime_used=read_runtime(container),
        spec=fields.envelope(container, names.SPEC),
        snapshot=(
            fields.text(container, names.SNAPSHOTTER),
            fields.text(container, names.SNAPSHOT_KEY),
        ),
        sandbox_id=fields.text(container, names.SANDBOX_ID),
        extensions=fields.envelopes(container, names.EXTENSIONS),
        times=fields.times(container),
    )


def read_runtime(record: Tree) -> Runtime:
    """Return the runtime of a container or sandbox; a nameless one where it is missing.

    Raises:
        DataLossError: the options are no Any.
    """
    runtime = fields.nested(record, names.RUNTIME)
    return drafts.runtime(fields.text(runtime, names.NAME), fields.envelope(runtime, names.OPTIONS))


def replace_runtime(bucket: RecordBucket, runtime: Runtime) -> None:
    """Store a runtime in place of the one before."""
    if bucket.bucket(names.RUNTIME) is not None:
        bucket.delete_bucket(names.RUNTIME)
    merge_runtime(bucket, runtime)


def merge_runtime(bucket: RecordBucket, runtime: Runtime) -> None:
    """Store a runtime in place of another one, whose options stay without new ones."""
    nested = bucket.create_bucket_if_absent(names.RUNTIME)
    fields.write_text(nested, names.NAME, runtime.name)
    fields.write_any(nested, names.OPTIONS, runtime.options)
