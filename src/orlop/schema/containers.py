"""Containers: `v1/<namespace>/containers/<id>`; their runtime has the form of a sandbox's."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from orlop.kv import DraftBucket
from orlop.schema import buckets, drafts, fields, names
from orlop.schema.tables import RecordTable

if TYPE_CHECKING:
    from orlop.kv import Bucket, ReadableBucket, RecordBucket, Tree
    from orlop.records import Container, Runtime


def snapshot(containers: ReadableBucket | None, container_id: str) -> tuple[str, str]:
    """Return snapshotter and key of a container's snapshot, without the rest of it."""
    container = buckets.child(containers, container_id)
    if container is None:
        return "", ""
    return (
        fields.read_text(container, names.SNAPSHOTTER),
        fields.read_text(container, names.SNAPSHOT_KEY),
    )


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
    """Store a runtime; without options the stored ones stay."""
    nested = bucket.create_bucket_if_absent(names.RUNTIME)
    fields.write_text(nested, names.NAME, runtime.name)
    fields.write_any(nested, names.OPTIONS, runtime.options)


TABLE: Final = RecordTable((names.CONTAINERS,), _decode)

find, create, exists, labels = TABLE.find, TABLE.create, TABLE.exists, TABLE.labels
read, read_all, delete = TABLE.read, TABLE.read_all, TABLE.delete
