"""New buckets from all that they are to hold, made at once.

What fits is made into its nodes directly: no handle for each bucket, no search for each key.
The result is the same as that of one `create_bucket` and one `put` for each entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.bolt.limits import check_key, check_value
from orlop.bolt.node import (
    BUCKET_FLAG,
    ELEMENT_SIZE,
    EMPTY_SIZE,
    BucketState,
    Leaf,
    value_size,
)
from orlop.bolt.tree import put
from orlop.kv.errors import NestingTooDeepError

if TYPE_CHECKING:
    from orlop.bolt.edit import Edit
    from orlop.bolt.node import Node
    from orlop.kv.contract import Tree


def new_bucket(edit: Edit, tree: Tree, room: int) -> BucketState:
    """Return a bucket that holds `tree`, as a value for its parent.

    Args:
        edit: owns what is made.
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
            made: bytes | BucketState = new_bucket(edit, entry, room - 1)
            flags.append(BUCKET_FLAG)
        else:
            check_value(entry)
            made = bytes(entry)
            flags.append(0)
        values.append(made)
        size += len(key) + value_size(made)
    if size > edit.page_size:
        return BucketState(_grown(edit, keys, values, flags), 0, edit.page_size)
    return BucketState(Leaf(keys, values, flags, size, edit), 0, edit.page_size)


def _grown(
    edit: Edit, keys: list[bytes], values: list[bytes | BucketState], flags: list[int]
) -> Node:
    root: Node = Leaf([], [], [], EMPTY_SIZE, edit)
    for key, value, flag in zip(keys, values, flags, strict=True):
        root = put(edit, root, key, value, flag)
    return root
