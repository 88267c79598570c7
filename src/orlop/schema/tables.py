"""Tables: the records of one type, in one bucket for each namespace.

A module of the schema makes the table of its records and adds what only they have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from orlop.schema import buckets, fields, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orlop.kv import Bucket, ReadableBucket, Transaction, Tree
    from orlop.schema.fields import Wanted

R = TypeVar("R")


class Table:
    """The records of one type. All methods that read take `None` for a missing bucket.

    Attributes:
        path: the names of the buckets between a namespace and its records.
    """

    def __init__(self, *path: bytes) -> None:
        """Name the buckets between a namespace and its records."""
        self.path = path

    def find(
        self, transaction: Transaction, namespace: str, group: str | None = None
    ) -> Bucket | None:
        """Return the bucket of a namespace's records; `None` if it does not exist.

        Args:
            transaction: where to look.
            namespace: whose records.
            group: the nested bucket, for a type that has one for each snapshotter.
        """
        path = (names.SCHEMA, names.to_bytes(namespace), *self.path)
        return transaction.bucket(path if group is None else (*path, names.to_bytes(group)))

    def create(self, transaction: Transaction, namespace: str, group: str | None = None) -> Bucket:
        """Return the bucket of a namespace's records, which is created if it does not exist."""
        path = self.path if group is None else (*self.path, names.to_bytes(group))
        return buckets.create(transaction, namespace, *path)

    def all_names(self, bucket: Bucket | None) -> Iterator[str]:
        """Iterate over the names of the records, in byte order."""
        return buckets.bucket_names(bucket)

    def exists(self, bucket: ReadableBucket | None, name: str) -> bool:
        """Return whether a record exists."""
        return bucket is not None and bucket.bucket(names.to_bytes(name)) is not None

    def labels(self, bucket: ReadableBucket | None, name: str) -> dict[str, str]:
        """Return the labels of a record, without the rest of it."""
        return fields.read_map(buckets.child(bucket, name), names.LABELS)

    def delete(self, bucket: Bucket | None, name: str) -> None:
        """Delete a record, if it exists."""
        buckets.delete(bucket, name)


class RecordTable(Table, Generic[R]):
    """A table of records that are loaded whole."""

    def __init__(
        self,
        path: tuple[bytes, ...],
        decode: Callable[[str, Tree], R],
        check: Callable[[str, Tree], object] | None = None,
    ) -> None:
        """Describe the records.

        Args:
            path: the names of the buckets between a namespace and its records.
            decode: returns a record from its name and its bucket.
            check: raises the errors of `decode`, faster; `None`: there is no faster way.
        """
        super().__init__(*path)
        self._decode = decode
        self._check = check

    def read(self, bucket: Bucket | None, name: str) -> R | None:
        """Return a record; `None` if it does not exist.

        Raises:
            DataLossError: a stored time or Any cannot be read.
        """
        tree = None if bucket is None else bucket.tree(names.to_bytes(name))
        return None if tree is None else self._decode(name, tree)

    def read_all(self, bucket: Bucket | None, wanted: Wanted | None = None) -> list[R]:
        """Return the records that match, in byte order of their names; without a filter all.

        Raises:
            DataLossError: a stored time or Any cannot be read, also of a record that is not wanted.
        """
        if bucket is None:
            return []
        decode = self._decode
        if wanted is None:
            return [decode(names.to_text(key), tree) for key, tree in bucket.trees()]
        check = decode if self._check is None else self._check
        found: list[R] = []
        for key, tree in bucket.trees():
            name = names.to_text(key)
            if wanted(name, tree):
                found.append(decode(name, tree))
            else:
                check(name, tree)
        return found
