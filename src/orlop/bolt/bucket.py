"""Buckets: sorted maps of keys to values and to further buckets.

A bucket that is only read is its root node. A changed one keeps its new root here until
the transaction ends; then `settle` hands it to its parent as a value, from the innermost
bucket outwards.

Source: go.etcd.io/bbolt, bucket.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.bolt.cursor import BoltCursor, items
from orlop.bolt.edit import bucket_tree
from orlop.bolt.node import BUCKET_FLAG, EMPTY_SIZE, BucketState, Leaf
from orlop.bolt.page import decode_bucket
from orlop.bolt.tree import delete, find_leaf, position, put
from orlop.kv.errors import (
    BucketExistsError,
    BucketNotFoundError,
    IncompatibleValueError,
    KeyRequiredError,
    KeyTooLargeError,
    ValueTooLargeError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.bolt.node import Node
    from orlop.bolt.transaction import BoltTransaction
    from orlop.kv.contract import Item

KEY_SIZE_MAX = 32768
VALUE_SIZE_MAX = (1 << 31) - 2
_SEQUENCE_MASK = (1 << 64) - 1


class BoltBucket:
    """One bucket in one transaction.

    Attributes:
        root: the tree's root, as this transaction sees it.
        revision: raised by every change of the tree, so that cursors notice.
    """

    __slots__ = (
        "_changed",
        "_children",
        "_deleted",
        "_holds_values",
        "_sequence",
        "_tree",
        "revision",
        "transaction",
    )

    def __init__(
        self,
        transaction: BoltTransaction,
        tree: int | Node,
        sequence: int,
        *,
        holds_values: bool = True,
    ) -> None:
        """Open the bucket with this tree; the outermost one holds no values."""
        self.transaction = transaction
        self.revision = 0
        self._tree = tree
        self._sequence = sequence
        self._holds_values = holds_values
        self._children: dict[bytes, BoltBucket] = {}
        self._changed = False
        self._deleted = False

    @property
    def root(self) -> Node:
        """Return the root node of the tree."""
        if self._deleted:
            raise BucketNotFoundError("the bucket was deleted in this transaction")
        self.transaction.require_open()
        tree = self._tree
        if isinstance(tree, int):
            tree = self._tree = self.transaction.load(tree)
        return tree

    @property
    def sequence(self) -> int:
        """The counter of this bucket."""
        self.transaction.require_open()
        return self._sequence

    def get(self, key: bytes) -> bytes | None:
        """Return the value under `key`; None where there is none or where a bucket is."""
        found = self._find(key)
        if found is None or found[1] & BUCKET_FLAG:
            return None
        value = found[0]
        return value if isinstance(value, bytes) else None

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value under `key`; see the contract for what is refused."""
        self.transaction.require_writable()
        _check_key(key)
        if len(value) > VALUE_SIZE_MAX:
            raise ValueTooLargeError(f"a value of {len(value)} bytes; {VALUE_SIZE_MAX} are allowed")
        if not self._holds_values:
            raise IncompatibleValueError("the outermost bucket holds buckets only")
        if self._is_bucket(key):
            raise IncompatibleValueError(f"a bucket has the name {key!r}")
        self._put(key, bytes(value), 0)

    def delete(self, key: bytes) -> None:
        """Delete the value under `key`; nothing happens where there is none."""
        self.transaction.require_writable()
        found = self._find(key)
        if found is None:
            return
        if found[1] & BUCKET_FLAG:
            raise IncompatibleValueError(f"a bucket has the name {key!r}")
        self._delete(key)

    def bucket(self, name: bytes) -> BoltBucket | None:
        """Return the nested bucket `name`; None where there is none or a value is."""
        opened = self._children.get(name)
        if opened is not None:
            self.transaction.require_open()
            return opened
        found = self._find(name)
        if found is None or not found[1] & BUCKET_FLAG:
            return None
        bucket = self._open(found[0])
        if self.transaction.writable:
            # Kept, so that what one handle changes every other one sees.
            self._children[bytes(name)] = bucket
        return bucket

    def create_bucket(self, name: bytes) -> BoltBucket:
        """Create the nested bucket `name`; see the contract for what is refused."""
        self.transaction.require_writable()
        _check_key(name)
        found = self._find(name)
        if found is not None:
            if found[1] & BUCKET_FLAG:
                raise BucketExistsError(f"the bucket {name!r} is there already")
            raise IncompatibleValueError(f"a value has the name {name!r}")
        edit = self.transaction.edit
        tree = Leaf([], [], [], EMPTY_SIZE, edit)
        self._put(name, BucketState(tree, 0, edit.page_size), BUCKET_FLAG)
        bucket = BoltBucket(self.transaction, tree, 0)
        # Whatever is put into it has to reach the parent's value.
        bucket._changed = True
        self._children[bytes(name)] = bucket
        return bucket

    def create_bucket_if_absent(self, name: bytes) -> BoltBucket:
        """Return the nested bucket `name`, created first where it is missing."""
        self.transaction.require_writable()
        _check_key(name)
        return self.bucket(name) or self.create_bucket(name)

    def delete_bucket(self, name: bytes) -> None:
        """Delete the nested bucket `name` with all that it holds."""
        self.transaction.require_writable()
        found = self._find(name)
        if found is None:
            raise BucketNotFoundError(f"there is no bucket {name!r}")
        if not found[1] & BUCKET_FLAG:
            raise IncompatibleValueError(f"a value has the name {name!r}")
        opened = self._children.pop(bytes(name), None)
        if opened is None:
            tree = bucket_tree(found[0])
            if tree is not None:
                self.transaction.edit.release_bucket(tree)
        else:
            opened.release()
        self._delete(name)

    def cursor(self) -> BoltCursor:
        """Return a cursor that stands nowhere yet."""
        self.transaction.require_open()
        return BoltCursor(self)

    def items(self, start: bytes = b"") -> Iterator[Item]:
        """Iterate over the items in key order, from `start` on."""
        return items(self, start)

    def set_sequence(self, value: int) -> None:
        """Set the counter to `value`, an unsigned 64-bit integer."""
        self.transaction.require_writable()
        if self._deleted:
            raise BucketNotFoundError("the bucket was deleted in this transaction")
        self._sequence = value & _SEQUENCE_MASK
        self._changed = True

    def next_sequence(self) -> int:
        """Raise the counter by one and return it."""
        self.set_sequence(self._sequence + 1)
        return self._sequence

    def settle(self) -> BucketState | None:
        """Take over the changes of the buckets inside; return the new state, if there is one."""
        for name, child in self._children.items():
            state = child.settle()
            if state is not None:
                self._put(name, state, BUCKET_FLAG)
        if not self._changed:
            return None
        return BucketState(self._tree, self._sequence, self.transaction.edit.page_size)

    def release(self) -> None:
        """Free the pages of this bucket and of those inside; handles on them are of no use."""
        # Settled first, so that the values inside name the trees as they stand now.
        self.settle()
        self.transaction.edit.release_bucket(self._tree)
        self.abandon()

    def abandon(self) -> None:
        """Refuse all further use of this handle and of those inside."""
        self._deleted = True
        for child in self._children.values():
            child.abandon()

    def _find(self, key: bytes) -> tuple[bytes | BucketState, int] | None:
        leaf = find_leaf(self.transaction.load, self.root, key)
        index, found = position(leaf, key)
        return (leaf.values[index], leaf.flags[index]) if found else None

    def _is_bucket(self, key: bytes) -> bool:
        found = self._find(key)
        return found is not None and bool(found[1] & BUCKET_FLAG)

    def _put(self, key: bytes, value: bytes | BucketState, flag: int) -> None:
        self._tree = put(self.transaction.edit, self.root, bytes(key), value, flag)
        self._changed = True
        self.revision += 1

    def _delete(self, key: bytes) -> None:
        self._tree = delete(self.transaction.edit, self.root, key)
        self._changed = True
        self.revision += 1

    def _open(self, value: bytes | BucketState) -> BoltBucket:
        if isinstance(value, BucketState):
            return BoltBucket(self.transaction, value.tree, value.sequence)
        header, leaf = decode_bucket(value)
        return BoltBucket(self.transaction, leaf or header.root, header.sequence)


def _check_key(key: bytes) -> None:
    if not key:
        raise KeyRequiredError("an empty key or bucket name")
    if len(key) > KEY_SIZE_MAX:
        raise KeyTooLargeError(f"a key of {len(key)} bytes; {KEY_SIZE_MAX} are allowed")
