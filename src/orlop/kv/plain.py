"""Trees in memory with the interface of buckets, to read records from and to write them to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.kv.errors import BucketExistsError, BucketNotFoundError, IncompatibleValueError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.kv.contract import Item, Tree


class PlainBucket:
    """A bucket in memory, for reading; it outlives the transaction that the tree came from."""

    __slots__ = ("_tree",)

    def __init__(self, tree: Tree) -> None:
        """Read from `tree`; its keys must be in order."""
        self._tree = tree

    def get(self, key: bytes) -> bytes | None:
        """Return the value under `key`; `None` where there is none or where a bucket is."""
        value = self._tree.get(key)
        return value if isinstance(value, bytes) else None

    def bucket(self, name: bytes) -> PlainBucket | None:
        """Return the nested bucket `name`; `None` where there is none or a value is."""
        value = self._tree.get(name)
        return PlainBucket(value) if isinstance(value, dict) else None

    def items(self, start: bytes = b"") -> Iterator[Item]:
        """Iterate over the items in key order, from the first key that is `start` or greater."""
        for key, value in self._tree.items():
            if key >= start:
                yield key, value if isinstance(value, bytes) else None


class DraftBucket:
    """A bucket in memory to write to; its `tree` goes to `Bucket.create_tree`.

    What is out of bounds is refused there.

    Attributes:
        tree: what it holds; the keys are in the order in which they were put.
    """

    __slots__ = ("tree",)

    def __init__(self, tree: Tree | None = None) -> None:
        """Begin with `tree`, which is changed; `None`: with nothing."""
        self.tree: Tree = {} if tree is None else tree

    def get(self, key: bytes) -> bytes | None:
        """Return the value under `key`; `None` where there is none or where a bucket is."""
        value = self.tree.get(key)
        return value if isinstance(value, bytes) else None

    def items(self, start: bytes = b"") -> Iterator[Item]:
        """Iterate over the items in key order, from the first key that is `start` or greater."""
        for key in sorted(self.tree):
            if key >= start:
                yield key, self.get(key)

    def bucket(self, name: bytes) -> DraftBucket | None:
        """Return the nested bucket `name`; `None` where there is none or a value is."""
        value = self.tree.get(name)
        return DraftBucket(value) if isinstance(value, dict) else None

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value under `key`; IncompatibleValueError where a bucket has that name."""
        if isinstance(self.tree.get(key), dict):
            raise IncompatibleValueError(f"a bucket has the name {key!r}")
        self.tree[key] = value

    def delete(self, key: bytes) -> None:
        """Delete the value under `key`; IncompatibleValueError where a bucket has that name."""
        if isinstance(self.tree.get(key), dict):
            raise IncompatibleValueError(f"a bucket has the name {key!r}")
        self.tree.pop(key, None)

    def create_bucket(self, name: bytes) -> DraftBucket:
        """Create the nested bucket `name`; errors as in the contract."""
        self.create_tree(name, {})
        return self.create_bucket_if_absent(name)

    def create_tree(self, name: bytes, tree: Tree) -> None:
        """Create the nested bucket `name` with a copy of `tree`; see the contract."""
        there = self.tree.get(name)
        if isinstance(there, dict):
            raise BucketExistsError(f"the bucket {name!r} is there already")
        if there is not None:
            raise IncompatibleValueError(f"a value has the name {name!r}")
        self.tree[name] = _copy(tree)

    def create_bucket_if_absent(self, name: bytes) -> DraftBucket:
        """Return the nested bucket `name`, created first where it is missing."""
        value = self.tree.setdefault(name, {})
        if not isinstance(value, dict):
            raise IncompatibleValueError(f"a value has the name {name!r}")
        return DraftBucket(value)

    def delete_bucket(self, name: bytes) -> None:
        """Delete the nested bucket `name`; errors as in the contract."""
        there = self.tree.get(name)
        if there is None:
            raise BucketNotFoundError(f"there is no bucket {name!r}")
        if not isinstance(there, dict):
            raise IncompatibleValueError(f"a value has the name {name!r}")
        del self.tree[name]


def _copy(tree: Tree) -> Tree:
    return {key: _copy(value) if isinstance(value, dict) else value for key, value in tree.items()}
