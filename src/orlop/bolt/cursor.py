"""Cursors: a way from the root to one element, kept so that the next move is short.

A cursor that finds its bucket changed looks its key up again. So deleting and inserting
while iterating is safe, whatever splits and merges follow.

Source: go.etcd.io/bbolt, cursor.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from orlop.bolt.btree import MAX_DEPTH, child_index, leaves, position, require_order
from orlop.bolt.node import BUCKET_FLAG, EMPTY_SIZE, Branch, Leaf
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.bolt.node import Node
    from orlop.bolt.transaction_state import TransactionState
    from orlop.kv.contract import Item

_NOWHERE: Final = Leaf([], [], [], EMPTY_SIZE)


class TreeHandle:
    """The tree of one bucket in one transaction.

    Attributes:
        transaction: the transaction.
        revision: raised by every change of the tree, so that cursors notice.
    """

    __slots__ = ("revision", "transaction")

    def __init__(self, transaction: TransactionState) -> None:
        """Begin with the first revision."""
        self.transaction = transaction
        self.revision = 0

    @property
    def root(self) -> Node:
        """The tree's root, as the transaction sees it."""
        raise NotImplementedError

    def delete(self, key: bytes) -> None:
        """Delete the value under `key`; nothing happens where there is none."""
        raise NotImplementedError


class BoltCursor:
    """A position among the items of one bucket; see the contract for its moves."""

    __slots__ = (
        "_bucket",
        "_index",
        "_items",
        "_key",
        "_leaf",
        "_path",
        "_revision",
        "_transaction",
        "_turned",
    )

    def __init__(self, bucket: TreeHandle) -> None:
        """Make a cursor of `bucket` without a position."""
        self._bucket = bucket
        self._transaction = bucket.transaction
        self._path: list[tuple[Branch, int]] = []
        self._leaf = _NOWHERE
        self._index = 0
        # What the leaf holds as users see it, once somebody steps through it. None is never
        # among them; without it, compiled code would take each pair apart and make another one.
        self._items: list[Item | None] = []
        self._key: bytes | None = None
        self._revision = -1
        self._turned: tuple[int, bytes] | None = None

    def first(self) -> Item | None:
        """Move to the first item."""
        return self.seek(b"")

    def last(self) -> Item | None:
        """Move to the last item."""
        self._descend(None)
        return self._settle_backward()

    def seek(self, key: bytes) -> Item | None:
        """Move to the first item whose key is `key` or greater."""
        self._descend(key)
        return self._settle_forward()

    def next(self) -> Item | None:
        """Move to the next item."""
        # Most steps stay in their leaf, and what a step costs is what it calls.
        index = self._index + 1
        if (
            index < len(self._items)
            and self._revision == self._bucket.revision
            and not self._transaction.is_over
            and not self._transaction.handle.is_closed
        ):
            self._index = index
            return self._items[index]
        return self._next()

    def _next(self) -> Item | None:
        self._transaction.require_open()
        key = self._standing()
        if key is None:
            return None
        if self._revision != self._bucket.revision:
            self._descend(key)
            # What stood here may be gone; then its follower is here already.
            at, found = position(self._leaf, key)
            self._index = at + 1 if found else at
            return self._settle_forward()
        self._index += 1
        item = self._settle_forward()
        if item is not None:
            # Whoever has made one step, and changed nothing, will make the next one.
            self._items = _visible_items(self._leaf)
        return item

    def previous(self) -> Item | None:
        """Move to the previous item."""
        self._transaction.require_open()
        key = self._standing()
        if key is None:
            return None
        if self._revision != self._bucket.revision:
            self._descend(key)
        self._index -= 1
        return self._settle_backward()

    def delete(self) -> None:
        """Delete the value at the cursor; `next` then moves to the item after it."""
        self._transaction.require_writable()
        key = self._standing()
        if key is not None:
            self._bucket.delete(key)

    def _standing(self) -> bytes | None:
        """Return the key at the cursor, even if it was deleted; None without a position."""
        item = self._items[self._index] if self._items else None
        return self._key if item is None else item[0]

    def _descend(self, key: bytes | None) -> None:
        """Move to the leaf of `key`, or to the end of the last one."""
        self._path = []
        self._turned = None
        self._items = []
        node = self._bucket.root
        self._revision = self._bucket.revision
        while isinstance(node, Branch):
            index = len(node.keys) - 1 if key is None else child_index(node, key)
            node = self._enter(node, index)
        self._leaf = node
        self._index = len(node.keys) - 1 if key is None else position(node, key)[0]

    def _enter(self, branch: Branch, index: int) -> Node:
        if len(self._path) == MAX_DEPTH:
            raise CorruptError(f"the tree is deeper than {MAX_DEPTH} levels")
        self._path.append((branch, index))
        child = branch.children[index]
        return self._bucket.transaction.load(child) if isinstance(child, int) else child

    def _settle_forward(self) -> Item | None:
        while self._index >= len(self._leaf.keys):
            if not self._turn(1):
                self._key = None
                self._items = []
                return None
        return self._item()

    def _settle_backward(self) -> Item | None:
        while self._index < 0:
            if not self._turn(-1):
                self._key = None
                self._items = []
                return None
        return self._item()

    def _turn(self, step: int) -> bool:
        """Move to the first or last index of the neighbouring leaf, if there is one."""
        while self._path:
            branch, index = self._path.pop()
            self._items = []
            if 0 <= index + step < len(branch.children):
                # The key between the one child and the other.
                self._require_way(step, branch.keys[max(index, index + step)])
                node = self._enter(branch, index + step)
                while isinstance(node, Branch):
                    node = self._enter(node, 0 if step > 0 else len(node.keys) - 1)
                self._leaf = node
                self._index = 0 if step > 0 else len(node.keys) - 1
                return True
        return False

    def _require_way(self, step: int, key: bytes) -> None:
        """Refuse to pass a key twice in one direction: a damaged tree could lead on for ever."""
        if self._turned is not None and self._turned[0] == step:
            before = self._turned[1]
            require_order(*((before, key) if step > 0 else (key, before)))
        self._turned = step, key

    def _item(self) -> Item:
        leaf, index = self._leaf, self._index
        self._key = leaf.keys[index]
        return self._key, visible_value(leaf, index)


def visible_value(leaf: Leaf, index: int) -> bytes | None:
    """Return the value at `index` as users see it: None for a nested bucket."""
    if leaf.flags[index] & BUCKET_FLAG:
        return None
    value = leaf.values[index]
    return value if isinstance(value, bytes) else None


def _visible_items(leaf: Leaf) -> list[Item | None]:
    """Return the items of a leaf as users see them."""
    if BUCKET_FLAG not in leaf.flags:
        # Only nested buckets are no bytes, and this leaf holds none.
        return list(zip(leaf.keys, cast("list[bytes]", leaf.values), strict=True))
    return [(key, visible_value(leaf, index)) for index, key in enumerate(leaf.keys)]


def items(bucket: TreeHandle, start: bytes) -> Iterator[Item]:
    """Iterate over a bucket's items; where the bucket may change meanwhile, by a cursor."""
    if bucket.transaction.writable:
        yield from _items_by_cursor(bucket, start)
        return
    transaction = bucket.transaction
    handle = transaction.handle
    begin: int | None = None
    for leaf in leaves(transaction.load, bucket.root, start):
        begin = position(leaf, start)[0] if begin is None else 0
        elements = zip(leaf.keys[begin:], leaf.values[begin:], leaf.flags[begin:], strict=True)
        for key, value, flag in elements:
            # As `visible_value`, without a call for each item.
            yield key, value if not flag & BUCKET_FLAG and isinstance(value, bytes) else None
            if transaction.is_over or handle.is_closed:
                transaction.require_open()


def _items_by_cursor(bucket: TreeHandle, start: bytes) -> Iterator[Item]:
    cursor = BoltCursor(bucket)
    item = cursor.seek(start)
    while item is not None:
        yield item
        item = cursor.next()
