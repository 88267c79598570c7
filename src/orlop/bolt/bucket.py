"""Buckets: sorted maps of keys to values and to further buckets.

A bucket that is only read is its root node. A changed one keeps its new root here until
the transaction ends; then `settle` hands it to its parent as a value, from the innermost
bucket outwards.

Source: go.etcd.io/bbolt, bucket.go.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from orlop.bolt.btree import delete, find_leaf, put
from orlop.bolt.bulk_read import decode_tree, decode_trees
from orlop.bolt.cursor import BoltCursor, TreeHandle, items
from orlop.bolt.gil import yield_gil
from orlop.bolt.limits import MAX_NESTING, check_key, check_value
from orlop.bolt.node import (
    BUCKET_FLAG,
    ELEMENT_SIZE,
    EMPTY_SIZE,
    BucketState,
    Leaf,
    value_size,
)
from orlop.bolt.page import decode_bucket
from orlop.kv.errors import (
    BucketExistsError,
    BucketNotFoundError,
    CorruptError,
    IncompatibleValueError,
    NestingTooDeepError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.bolt.dirty import DirtyNodes
    from orlop.bolt.node import Node
    from orlop.bolt.transaction_state import TransactionState
    from orlop.kv.contract import Bucket, Item, Path, Tree

_SEQUENCE_MASK: Final = (1 << 64) - 1
_NO_PAGE: Final = 0
_INLINE: Final = -1


class BoltBucket(TreeHandle):
    """One bucket in one transaction."""

    __slots__ = (
        "_changed",
        "_children",
        "_deleted",
        "_origin",
        "_path",
        "_sequence",
        "_touched",
        "_tree",
    )

    def __init__(
        self,
        transaction: TransactionState,
        tree: int | Node,
        sequence: int,
        *,
        path: Path = (),
        origin: int = _NO_PAGE,
    ) -> None:
        """Open the bucket with this tree.

        `path` are the names on the way from the outermost bucket, in a writing transaction.
        `origin` is the page at which the file keeps the tree's root, `_INLINE`, or `_NO_PAGE`.
        """
        super().__init__(transaction)
        self._tree = tree
        self._sequence = sequence
        self._path = path
        self._touched = False
        self._origin = origin
        self._children: dict[bytes, BoltBucket] = {}
        self._changed = False
        self._deleted = False

    @property
    def root(self) -> Node:
        """Return the root node of the tree."""
        if self._deleted or self.transaction.is_over or self.transaction.handle.is_closed:
            self._require_usable()
        tree = self._tree
        if isinstance(tree, int):
            tree = self._tree = self.transaction.load(tree)
        return tree

    @property
    def sequence(self) -> int:
        """The counter of this bucket."""
        self._require_usable()
        return self._sequence

    def get(self, key: bytes) -> bytes | None:
        """Return the value under `key`; None where there is none or where a bucket is."""
        found = self.find(key)
        if found is None or found[1] & BUCKET_FLAG:
            return None
        value = found[0]
        return value if isinstance(value, bytes) else None

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value under `key`; errors as in the contract."""
        self.transaction.require_writable()
        check_key(key)
        check_value(value)
        if not self._path:
            raise IncompatibleValueError("the outermost bucket holds buckets only")
        self._put(bytes(key), bytes(value), 0)
        if not self._touched:
            self.touch()

    def delete(self, key: bytes) -> None:
        """Delete the value under `key`; nothing happens where there is none."""
        self.transaction.require_writable()
        found = self.find(key)
        if found is None:
            return
        if found[1] & BUCKET_FLAG:
            raise IncompatibleValueError(f"a bucket has the name {key!r}")
        self.touch()
        self._delete(key)

    def bucket(self, name: bytes) -> BoltBucket | None:
        """Return the nested bucket `name`; None where there is none or a value is."""
        opened = self._children.get(name)
        if opened is not None:
            self._require_usable()
            return opened
        found = self.find(name)
        if found is None or not found[1] & BUCKET_FLAG:
            return None
        bucket = self._open(bytes(name), found[0])
        if self.transaction.writable:
            self.require_room_below()
            # Kept, so that what one handle changes every other one sees.
            self._children[bytes(name)] = bucket
        return bucket

    def listed(self, name: bytes) -> BoltBucket:
        """Return a nested bucket that was met while iterating.

        Raises:
            CorruptError: its name leads elsewhere, by a wrong key in a branch.
        """
        bucket = self.bucket(name)
        if bucket is None:
            raise CorruptError(f"the bucket {name!r} is listed but is not where its name leads")
        return bucket

    def create_bucket(self, name: bytes) -> BoltBucket:
        """Create the nested bucket `name`; errors as in the contract."""
        self.transaction.require_writable()
        check_key(name)
        self.require_free(name)
        self.require_room_below()
        dirty = self.transaction.dirty
        tree = Leaf([], [], [], EMPTY_SIZE, dirty)
        name = bytes(name)
        self._put(name, BucketState(tree, 0, dirty.page_size), BUCKET_FLAG)
        bucket = BoltBucket(self.transaction, tree, 0, path=(*self._path, name))
        bucket.touch()
        # Whatever is put into it has to reach the parent's value.
        bucket._changed = True
        self._children[name] = bucket
        return bucket

    def create_tree(self, name: bytes, tree: Tree) -> None:
        """Create the nested bucket `name` with the contents of `tree`; see the contract."""
        self.transaction.require_writable()
        check_key(name)
        self.require_free(name)
        dirty = self.transaction.dirty
        self._put(bytes(name), new_bucket(dirty, tree, MAX_NESTING - len(self._path)), BUCKET_FLAG)
        self.transaction.touched.add((*self._path, bytes(name)))

    def create_bucket_if_absent(self, name: bytes) -> BoltBucket:
        """Return the nested bucket `name`, created first where it is missing."""
        self.transaction.require_writable()
        check_key(name)
        return self.bucket(name) or self.create_bucket(name)

    def delete_bucket(self, name: bytes) -> None:
        """Delete the nested bucket `name` with its contents."""
        self.transaction.require_writable()
        bucket = self._require_bucket(name)
        bucket.touch()
        bucket.release()
        del self._children[bytes(name)]
        self._delete(name)

    def move_bucket(self, name: bytes, target: Bucket) -> None:
        """Move the nested bucket `name` into `target`; errors as in the contract."""
        self.transaction.require_writable()
        if not isinstance(target, BoltBucket) or target.transaction is not self.transaction:
            raise IncompatibleValueError("a bucket can move within its own transaction only")
        moved = self._require_bucket(name)
        if target is self or moved.holds(target):
            raise IncompatibleValueError(f"the bucket {name!r} cannot move into where it lies")
        target.require_free(name)
        target.require_room_below()
        moved.touch()
        moved.settle()
        del self._children[bytes(name)]
        self._delete(name)
        target.adopt(bytes(name), moved)

    def holds(self, other: BoltBucket) -> bool:
        """Whether `other` is this bucket or an opened one inside."""
        return other is self or any(child.holds(other) for child in self._children.values())

    def adopt(self, name: bytes, bucket: BoltBucket) -> None:
        """Take over a bucket that has left its place."""
        bucket.take_place((*self._path, name))
        bucket.touch()
        self._put(name, bucket.state(), BUCKET_FLAG)
        self._children[name] = bucket

    def take_place(self, path: Path) -> None:
        """Record the new paths of this bucket and its nested buckets."""
        self._path = path
        self._touched = False
        for name, child in self._children.items():
            child.take_place((*path, name))

    def cursor(self) -> BoltCursor:
        """Return a cursor without a position."""
        self._require_usable()
        return BoltCursor(self)

    def items(self, start: bytes = b"") -> Iterator[Item]:
        """Iterate over the items in key order, from `start` on."""
        return items(self, start)

    def tree(self, name: bytes) -> Tree | None:
        """Return the contents of the nested bucket `name`."""
        self._require_usable()
        found = self.find(name)
        if found is None or not found[1] & BUCKET_FLAG:
            return None
        stored = found[0]
        if isinstance(stored, bytes) and name not in self._children:
            return decode_tree(self.transaction, stored, self.identity(name))
        nested = self.bucket(name)
        return None if nested is None else nested.contents(0)

    def trees(self, start: bytes = b"") -> Iterator[tuple[bytes, Tree]]:
        """Iterate over the nested buckets with their contents, from `start` on."""
        if self.transaction.writable:
            return self._walked_trees(start)
        return decode_trees(self.transaction, self.root, self._origin, start)

    def _walked_trees(self, start: bytes) -> Iterator[tuple[bytes, Tree]]:
        for key, value in self.items(start):
            if value is None:
                yield key, self.listed(key).contents(0)

    def contents(self, depth: int) -> Tree:
        """Return the contents of this bucket, with a writer's changes; `depth` is its nesting."""
        if depth > MAX_NESTING:
            raise NestingTooDeepError(f"a bucket inside {depth} others")
        found: Tree = {}
        for key, value in self.items():
            found[key] = self.listed(key).contents(depth + 1) if value is None else value
        return found

    def set_sequence(self, value: int) -> None:
        """Set the counter to `value`, an unsigned 64-bit integer."""
        self.transaction.require_writable()
        self._require_usable()
        self._sequence = value & _SEQUENCE_MASK
        self._changed = True

    def next_sequence(self) -> int:
        """Raise the counter by one and return it."""
        self.set_sequence(self._sequence + 1)
        return self._sequence

    def settle(self) -> BucketState | None:
        """Take over the changes of the buckets inside; return the new state, if there is one."""
        yield_gil()
        for name, child in self._children.items():
            state = child.settle()
            if state is not None:
                self._put(name, state, BUCKET_FLAG)
        if not self._changed:
            return None
        return self.state()

    def state(self) -> BucketState:
        """Return this bucket, with its changes, as a value of its parent."""
        return BucketState(self._tree, self._sequence, self.transaction.dirty.page_size)

    def release(self) -> None:
        """Free the pages of this bucket and of those inside; handles on them are of no use."""
        # Settled first, so that the values inside name the trees as they stand now.
        self.settle()
        self.transaction.dirty.free_bucket(self._tree)
        self.abandon()

    def abandon(self) -> None:
        """Refuse all further use of this handle and of those inside."""
        self._deleted = True
        # So that cursors look again, and find that it is gone.
        self.revision += 1
        for child in self._children.values():
            child.abandon()

    @property
    def page(self) -> int:
        """The page at which the file keeps the tree's root; not positive where there is none."""
        return self._origin

    def identity(self, name: bytes) -> tuple[int, bytes]:
        """Return a value that identifies the place of the nested bucket `name` in the file."""
        return self._origin, name

    def touch(self) -> None:
        """Note that the contents of this bucket change."""
        if not self._touched:
            self._touched = True
            self.transaction.touched.add(self._path)

    def find(self, key: bytes) -> tuple[bytes | BucketState, int] | None:
        """Return the element under `key`: its value as it is stored, and its flag."""
        leaf = self.root
        if not isinstance(leaf, Leaf):
            leaf = find_leaf(self.transaction.pager, leaf, key)
        keys = leaf.keys
        index = bisect_left(keys, key)
        if index < len(keys) and keys[index] == key:
            return leaf.values[index], leaf.flags[index]
        return None

    def _require_usable(self) -> None:
        self.transaction.require_open()
        if self._deleted:
            raise BucketNotFoundError("the bucket was deleted in this transaction")

    def _require_bucket(self, name: bytes) -> BoltBucket:
        bucket = self.bucket(name)
        if bucket is None:
            if self.find(name) is None:
                raise BucketNotFoundError(f"there is no bucket {name!r}")
            raise IncompatibleValueError(f"a value has the name {name!r}")
        return bucket

    def require_free(self, name: bytes) -> None:
        """Raise BucketExistsError or IncompatibleValueError where a name is taken."""
        found = self.find(name)
        if found is not None:
            if found[1] & BUCKET_FLAG:
                raise BucketExistsError(f"the bucket {name!r} is there already")
            raise IncompatibleValueError(f"a value has the name {name!r}")

    def require_room_below(self) -> None:
        """Raise NestingTooDeepError if this bucket may not contain buckets."""
        if len(self._path) >= MAX_NESTING:
            raise NestingTooDeepError(f"a bucket inside {len(self._path)} others")

    def _put(self, key: bytes, value: bytes | BucketState, flag: int) -> None:
        self._tree = put(self.transaction.dirty, self.root, key, value, flag)
        self._changed = True
        self.revision += 1

    def _delete(self, key: bytes) -> None:
        self._tree = delete(self.transaction.dirty, self.root, key)
        self._changed = True
        self.revision += 1

    def _open(self, name: bytes, value: bytes | BucketState) -> BoltBucket:
        path = (*self._path, name) if self.transaction.writable else ()
        if isinstance(value, BucketState):
            return BoltBucket(self.transaction, value.tree, value.sequence, path=path)
        if self._origin == _INLINE:
            raise CorruptError(f"an inline bucket holds the bucket {name!r}")
        (root, sequence), leaf = decode_bucket(value)
        if leaf is None:
            self.transaction.require_one_parent(root, self.identity(name))
        return BoltBucket(
            self.transaction, leaf or root, sequence, path=path, origin=root or _INLINE
        )


def new_bucket(dirty: DirtyNodes, tree: Tree, room: int) -> BucketState:
    """Return a bucket with the contents of `tree`, as a value for its parent.

    What fits is made into its nodes directly: no handle for each bucket, no search for each key.
    The result is the same as that of one `create_bucket` and one `put` for each entry.

    Args:
        dirty: owns the new nodes.
        tree: what the bucket holds; its keys may be in any order.
        room: how many buckets may lie in each other, this one included.

    Raises:
        KeyRequiredError, KeyTooLargeError, ValueTooLargeError: out of bounds.
        NestingTooDeepError: there is not enough room.
    """
    if room <= 0:
        raise NestingTooDeepError("buckets lie too deep in each other")
    keys = sorted(tree)
    values: list[bytes | BucketState] = []
    flags: list[int] = []
    size = EMPTY_SIZE + len(keys) * ELEMENT_SIZE
    for key in keys:
        check_key(key)
        entry = tree[key]
        if isinstance(entry, dict):
            made: bytes | BucketState = new_bucket(dirty, entry, room - 1)
            flags.append(BUCKET_FLAG)
        else:
            check_value(entry)
            made = bytes(entry)
            flags.append(0)
        values.append(made)
        size += len(key) + value_size(made)
    if size > dirty.page_size:
        return BucketState(_grown(dirty, keys, values, flags), 0, dirty.page_size)
    return BucketState(Leaf(keys, values, flags, size, dirty), 0, dirty.page_size)


def _grown(
    dirty: DirtyNodes, keys: list[bytes], values: list[bytes | BucketState], flags: list[int]
) -> Node:
    root: Node = Leaf([], [], [], EMPTY_SIZE, dirty)
    for key, value, flag in zip(keys, values, flags, strict=True):
        root = put(dirty, root, key, value, flag)
    return root
