"""The version of the schema (`v1/version`) and the migrations 1.1 to 1.4 that raise it.

All migrations run in one transaction, that of the caller.

Source: containerd, core/metadata/db.go and migrations.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop.errors import (
    DataLossError,
    FailedPreconditionError,
    ResourceExhaustedError,
    UnavailableError,
    kind_of,
)
from orlop.kv import EngineError
from orlop.schema import buckets, names, namespaces
from orlop.schema.codec import encoding

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.kv import Bucket, Transaction


CURRENT_VERSION: Final = 4
"""The version that is stored in a new file."""

OLDEST_WRITABLE_VERSION: Final = 3
"""The oldest version that is written without migration: below, child links or ingests lack."""


_OF_THE_HANDLE: Final = frozenset(
    {FailedPreconditionError, ResourceExhaustedError, UnavailableError}
)
"""The kinds of errors that say nothing about the stored records: closed, locked, no space."""


def read_version(transaction: Transaction) -> int | None:
    """Return the version of the schema; 0 if none is stored, `None` without a schema."""
    schema = transaction.root.bucket(names.SCHEMA)
    if schema is None:
        return None
    value = schema.get(names.VERSION)
    if value is None:
        return 0
    try:
        return encoding.decode_varint(value)
    except (ValueError, DataLossError):
        return 0  # containerd passes over a decoding error: the version counts as unknown


def write_version(transaction: Transaction, number: int) -> None:
    """Store the version of the schema, which is created if it is missing."""
    schema = transaction.root.create_bucket_if_absent(names.SCHEMA)
    schema.put(names.VERSION, encoding.encode_varint(number))


def migrate(transaction: Transaction) -> bool:
    """Bring the schema to the current version; return whether anything was written.

    A file without a schema gets an empty one. A file of this version or a newer one is
    left alone.

    Raises:
        DataLossError: a stored record does not have the form that a migration reads. The
            caller rolls the transaction back.
        EngineError: the engine was closed, is locked or has no space.
    """
    stored = read_version(transaction)
    if stored is None:
        write_version(transaction, CURRENT_VERSION)
        return True
    if stored >= CURRENT_VERSION:
        return False
    for number, step in _STEPS:
        if number > stored:
            try:
                step(transaction)
            except (EngineError, DataLossError) as error:
                if kind_of(error) in _OF_THE_HANDLE:
                    raise  # the stored records are not the reason
                raise DataLossError(f"failed to migrate to v1.{number}: {error}") from error
    write_version(transaction, CURRENT_VERSION)
    return True


def _add_child_links(transaction: Transaction) -> None:
    """Version 1: each snapshot is listed in its parent."""
    # Only for such a file: every start reads the version.
    from orlop.schema import snapshots  # noqa: PLC0415

    for namespace in namespaces.all_names(transaction):
        for snapshotter in snapshots.snapshotters(transaction, namespace):
            bucket = snapshots.find(transaction, namespace, snapshotter)
            if bucket is None:
                continue
            for key in list(snapshots.all_names(bucket)):
                parent = snapshots.parent(bucket, key)
                if parent and snapshots.exists(bucket, parent):
                    snapshots.add_child(bucket, parent, key)


def _nest_ingests(transaction: Transaction) -> None:
    """Version 2: an ingest is a bucket, where it was a pair of reference and backend reference."""
    for namespace in namespaces.all_names(transaction):
        content = buckets.find(transaction, namespace, names.CONTENT)
        flat = None if content is None else content.bucket(names.FLAT_INGESTS)
        if content is None or flat is None:
            continue
        ingests = content.create_bucket_if_absent(names.INGESTS)
        for ref, backend_ref in list(flat.items()):
            if backend_ref is not None:
                ingests.create_bucket_if_absent(ref).put(names.REF, backend_ref)
        content.delete_bucket(names.FLAT_INGESTS)


def _keep(_transaction: Transaction) -> None:
    """Version 3: only the library below the schema changed."""


def _move_sandboxes(transaction: Transaction) -> None:
    """Version 4: move sandboxes from the root into the schema, and delete the rest there."""
    root = transaction.root
    strays = [name for name, value in root.items() if value is None and name != names.SCHEMA]
    schema = root.create_bucket_if_absent(names.SCHEMA)
    for name in strays:
        stray = root.bucket(name)
        sandboxes = None if stray is None else stray.bucket(names.SANDBOXES)
        if sandboxes is not None:
            namespace = schema.create_bucket_if_absent(name)
            _copy_sandboxes(sandboxes, namespace.create_bucket_if_absent(names.SANDBOXES))
        root.delete_bucket(name)


def _copy_sandboxes(source: Bucket, target: Bucket) -> None:
    for sandbox_id in buckets.bucket_names(source):
        sandbox = buckets.child(source, sandbox_id)
        copy = target.create_bucket_if_absent(names.to_bytes(sandbox_id))
        if sandbox is None:
            continue
        for key, value in sandbox.items():
            fields = sandbox.bucket(key)
            if value is not None:
                copy.put(key, value)
            elif fields is not None:
                _copy_fields(fields, copy.create_bucket_if_absent(key), sandbox_id)


def _copy_fields(source: Bucket, target: Bucket, sandbox_id: str) -> None:
    for key, value in source.items():
        if value is None:
            raise DataLossError(
                f"sandbox {sandbox_id!r} is nested deeper than a sandbox can be: {key!r}"
            )
        target.put(key, value)


_STEPS: Final[tuple[tuple[int, Callable[[Transaction], None]], ...]] = (
    (1, _add_child_links),
    (2, _nest_ingests),
    (3, _keep),
    (4, _move_sandboxes),
)
