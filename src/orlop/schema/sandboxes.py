"""Sandboxes: `v1/<namespace>/sandboxes/<id>`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from orlop.errors import DataLossError
from orlop.records import Sandbox
from orlop.schema import buckets, containers, fields, names
from orlop.schema.tables import RecordTable

if TYPE_CHECKING:
    from orlop.kv import Bucket, Tree


def refuse_plain_keys(sandboxes: Bucket | None) -> None:
    """Refuse plain keys among the sandboxes, as containerd's list does.

    Raises:
        DataLossError: a plain key lies where only buckets belong.
    """
    for key in buckets.value_names(sandboxes):
        raise DataLossError(f"sandbox {key!r} is a plain key where a bucket belongs")


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


TABLE: Final = RecordTable((names.SANDBOXES,), _decode)

find, create, exists, labels = TABLE.find, TABLE.create, TABLE.exists, TABLE.labels
read, read_all, delete = TABLE.read, TABLE.read_all, TABLE.delete
