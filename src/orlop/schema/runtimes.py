"""The runtime of a container or a sandbox: `runtime/{name,options}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.model.records import Runtime
from orlop.schema import names, values

if TYPE_CHECKING:
    from orlop.kv import Bucket, ReadableBucket


def read(bucket: ReadableBucket) -> Runtime:
    """Return the runtime of the container or sandbox in `bucket`; a nameless one if missing.

    Raises:
        DataLossError: the options are no Any.
    """
    runtime = bucket.bucket(names.RUNTIME)
    if runtime is None:
        return Runtime(name="")
    return Runtime(
        name=values.read_text(runtime, names.NAME),
        options=values.read_any(runtime, names.OPTIONS),
    )


def replace(bucket: Bucket, runtime: Runtime) -> None:
    """Store a runtime in place of the one before."""
    if bucket.bucket(names.RUNTIME) is not None:
        bucket.delete_bucket(names.RUNTIME)
    merge(bucket, runtime)


def merge(bucket: Bucket, runtime: Runtime) -> None:
    """Store a runtime over the one before, whose options stay if there are no new ones."""
    nested = bucket.create_bucket_if_absent(names.RUNTIME)
    values.write_text(nested, names.NAME, runtime.name)
    values.write_any(nested, names.OPTIONS, runtime.options)
