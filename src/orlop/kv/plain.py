"""A tree that reads like a bucket, so that whoever reads records need not know which it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.kv.contract import Item, Tree


class PlainBucket:
    """A bucket in memory, for reading; it outlives the transaction that the tree came from."""

    __slots__ = ("_tree",)

    def __init__(self, tree: Tree) -> None:
        """Read from `tree`, whose keys are in order."""
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
