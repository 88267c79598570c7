"""The runtime of a container or a sandbox: `runtime/{name,options}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.model import drafts
from orlop.schema import fields, names, values

if TYPE_CHECKING:
    from orlop.kv import RecordBucket, Tree
    from orlop.model.records import Runtime


def read(record: Tree) -> Runtime:
    """Return the runtime of a container or sandbox; a nameless one where it is missing.

    Raises:
        DataLossError: the options are no Any.
    """
    runtime = fields.nested(record, names.RUNTIME)
    return drafts.runtime(fields.text(runtime, names.NAME), fields.envelope(runtime, names.OPTIONS))


def replace(bucket: RecordBucket, runtime: Runtime) -> None:
    """Store a runtime in place of the one before."""
    if bucket.bucket(names.RUNTIME) is not None:
        bucket.delete_bucket(names.RUNTIME)
    merge(bucket, runtime)


def merge(bucket: RecordBucket, runtime: Runtime) -> None:
    """Store a runtime in place of another one, whose options stay without new ones."""
    nested = bucket.create_bucket_if_absent(names.RUNTIME)
    values.write_text(nested, names.NAME, runtime.name)
    values.write_any(nested, names.OPTIONS, runtime.options)
