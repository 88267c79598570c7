"""Sandboxes: `v1/<namespace>/sandboxes/<id>`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from orlop.model.errors import DataLossError
from orlop.model.records import Sandbox
from orlop.schema import buckets, containers, fields, names

if TYPE_CHECKING:
    from orlop.kv import Bucket, ReadableBucket, Transaction, Tree
    from orlop.schema.fields import Wanted


def find(transaction: Transaction, namespace: str) -> Bucket | None:
    """Return the bucket of a namespace's sandboxes, `None` where there is none."""
    return buckets.find(transaction, namespace, names.SANDBOXES)


def create(transaction: Transaction, namespace: str) -> Bucket:
    """Return the bucket of a namespace's sandboxes, made first where it is missing."""
    return buckets.create(transaction, namespace, names.SANDBOXES)


def refuse_plain_keys(sandboxes: Bucket | None) -> None:
    """Fail where something other than a sandbox lies among them, as containerd's list does.

    Raises:
        DataLossError: a plain key lies where only buckets belong.
    """
    for key in buckets.value_names(sandboxes):
        raise DataLossError(f"sandbox {key!r} is a plain key where a bucket belongs")


def exists(sandboxes: Bucket | None, sandbox_id: str) -> bool:
    """Tell whether there is a sandbox of that id."""
    return buckets.child(sandboxes, sandbox_id) is not None


def labels(sandboxes: ReadableBucket | None, sandbox_id: str) -> dict[str, str]:
    """Return the labels of a sandbox, without the rest of it."""
    return fields.read_map(buckets.child(sandboxes, sandbox_id), names.LABELS)


def read(sandboxes: Bucket | None, sandbox_id: str) -> Sandbox | None:
    """Return a sandbox, `None` where there is none.

    Raises:
        DataLossError: a stored time or Any cannot be read.
    """
    bucket = fields.record(sandboxes, sandbox_id)
    return None if bucket is None else _decode(sandbox_id, bucket)


def read_all(sandboxes: Bucket | None, wanted: Wanted | None = None) -> list[Sandbox]:
    """Return the sandboxes that are wanted, in byte order of their ids; `None`: all.

    Raises: as `read`, for one that is not wanted, too.
    """
    return fields.records(sandboxes, _decode, _decode, wanted)


def write(sandboxes: Bucket, sandbox: Sandbox) -> Sandbox:
    """Store a sandbox; return it without the empty labels, which are dropped.

    A spec, options or an extension that is not given leaves the stored one, as in containerd.
    """
    with buckets.RecordWriter(sandboxes, sandbox.id) as bucket:
        fields.write_time(bucket, names.CREATED_AT, sandbox.created_at)
        fields.write_time(bucket, names.UPDATED_AT, sandbox.updated_at)
        fields.write_any(bucket, names.SPEC, sandbox.spec)
        fields.write_text(bucket, names.SANDBOXER, sandbox.sandboxer)
        containers.merge_runtime(bucket, sandbox.runtime)
        fields.merge_any_map(bucket, names.EXTENSIONS, sandbox.extensions)
        stored_labels = fields.write_map(bucket, names.LABELS, sandbox.labels)
    return dataclasses.replace(sandbox, labels=stored_labels)


def delete(sandboxes: Bucket | None, sandbox_id: str) -> None:
    """Delete a sandbox; nothing happens where there is none."""
    buckets.delete(sandboxes, sandbox_id)


def _decode(sandbox_id: str, sandbox: Tree) -> Sandbox:
    created_at, updated_at = fields.times(sandbox)
    return Sandbox(
        id=sandbox_id,
        labels=fields.texts(sandbox, names.LABELS),
        runtime=containers.read_runtime(sandbox),
        spec=fields.envelope(sandbox, names.SPEC),
        sandboxer=fields.text(sandbox, names.SANDBOXER),
        extensions=fields.envelopes(sandbox, names.EXTENSIONS),
        created_at=created_at,
        updated_at=updated_at,
    )
