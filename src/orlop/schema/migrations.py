"""The migrations of the schema, 1.1 to 1.4, each raising an older file by one version.

All run in the transaction of the caller: all or nothing.

Source: containerd, core/metadata/migrations.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop.kv import EngineError
from orlop.model.errors import DataLossError
from orlop.schema import buckets, names, namespaces, snapshots, version

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.kv import Bucket, Transaction


def migrate(transaction: Transaction) -> bool:
    """Bring the schema to the current version; return whether anything was written.

    A file without a schema gets an empty one. A file of this version or a newer one is
    left alone.

    Raises:
        DataLossError: what is stored does not have the form that a migration reads. The
            caller rolls the transaction back.
    """
    stored = version.read(transaction)
    if stored is None:
        version.write(transaction, version.CURRENT)
        return True
    if stored >= version.CURRENT:
        return False
    for number, step in _STEPS:
        if number > stored:
            try:
                step(transaction)
            except (EngineError, DataLossError) as error:
                raise DataLossError(f"failed to migrate to v1.{number}: {error}") from error
    version.write(transaction, version.CURRENT)
    return True


def _add_child_links(transaction: Transaction) -> None:
    """Version 1: a snapshot is noted in its parent."""
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
    for sandbox_id in buckets.nested(source):
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
