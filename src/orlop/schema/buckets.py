"""Access to buckets of the schema, any of which may be missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from orlop.kv import DraftBucket, PlainBucket
from orlop.schema import names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from orlop.kv import Bucket, ReadableBucket, RecordBucket, Transaction


def find(transaction: Transaction, namespace: str, *path: bytes) -> Bucket | None:
    """Return the bucket at `path` in a namespace, `None` where any part is missing."""
    return transaction.bucket((names.SCHEMA, names.to_bytes(namespace), *path))


def create(transaction: Transaction, namespace: str, *path: bytes) -> Bucket:
    """Return the bucket at `path` in a namespace; missing buckets are created."""
    bucket = transaction.root.create_bucket_if_absent(names.SCHEMA)
    for name in (names.to_bytes(namespace), *path):
        bucket = bucket.create_bucket_if_absent(name)
    return bucket


@overload
def child(bucket: Bucket | None, name: str) -> Bucket | None: ...


@overload
def child(bucket: ReadableBucket | None, name: str) -> ReadableBucket | None: ...


def child(bucket: ReadableBucket | None, name: str) -> ReadableBucket | None:
    """Return the nested bucket `name` of a bucket that may itself be missing."""
    return None if bucket is None else bucket.bucket(names.to_bytes(name))


def next_key(key: bytes) -> bytes:
    """Return the smallest key that sorts after `key`; `b""` for an empty key."""
    return key + b"\x00" if key else b""


def bucket_names(bucket: ReadableBucket | None, after: str = "") -> Iterator[str]:
    """Iterate over the names of nested buckets, in byte order; plain keys are skipped.

    Args:
        bucket: the parent; it may be missing.
        after: resume after this name; empty: begin with the first.
    """
    if bucket is None:
        return
    for key, value in bucket.items(next_key(names.to_bytes(after))):
        if value is None:
            yield names.to_text(key)


def trees(bucket: Bucket | None, after: str = "") -> Iterator[tuple[str, PlainBucket]]:
    """Iterate over nested buckets, read whole; each comes as the only one in a plain bucket.

    Args:
        bucket: the parent; it may be missing.
        after: resume after this name; empty: begin with the first.
    """
    if bucket is not None:
        for key, tree in bucket.trees(next_key(names.to_bytes(after))):
            yield names.to_text(key), PlainBucket({key: tree})


def value_names(bucket: ReadableBucket | None) -> Iterator[str]:
    """Iterate over the names of plain keys, in byte order; nested buckets are skipped."""
    if bucket is None:
        return
    for key, value in bucket.items():
        if value is not None:
            yield names.to_text(key)


def delete(bucket: Bucket | None, name: str) -> None:
    """Delete the nested bucket `name`, if it exists."""
    key = names.to_bytes(name)
    if bucket is not None and bucket.bucket(key) is not None:
        bucket.delete_bucket(key)


class RecordWriter:
    """Writes a record: into its bucket if it exists, else into one created at the end of the block.

    A new bucket is created whole, which is many times faster than key by key.
    """

    __slots__ = ("_draft", "_name", "_parent")

    def __init__(self, parent: Bucket, name: str) -> None:
        """Prepare to write the nested bucket `name`."""
        self._parent = parent
        self._name = names.to_bytes(name)
        self._draft: DraftBucket | None = None

    def __enter__(self) -> RecordBucket:
        there = self._parent.bucket(self._name)
        if there is not None:
            return there
        self._draft = DraftBucket()
        return self._draft

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None and self._draft is not None:
            self._parent.create_tree(self._name, self._draft.tree)


def is_empty(bucket: Bucket | None) -> bool:
    """Return whether a bucket is empty or missing."""
    return bucket is None or bucket.cursor().first() is None
