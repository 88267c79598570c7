"""Buckets with all that they hold, as plain dictionaries: the fast way to read many records.

A reader's pages do not change, so they are decoded straight into dictionaries, past nodes,
handles and the cache. A writer's buckets may differ from the file: they are walked through.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from orlop.bolt.node import BUCKET_FLAG, Leaf
from orlop.bolt.page import (
    BUCKET_HEADER,
    HEADER,
    HEADER_SIZE,
    LEAF_ELEMENT,
    LEAF_PAGE,
    decode_node,
)
from orlop.bolt.tree import leaves, position
from orlop.kv.errors import CorruptError, NestingTooDeepError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.bolt.bucket import BoltBucket
    from orlop.bolt.node import Node
    from orlop.bolt.transaction import BoltTransaction
    from orlop.kv.contract import Tree

NESTING_MAX: Final = 256
"""How deep buckets may lie in each other here: Python's stack ends somewhere."""

_ELEMENT_SIZE: Final = LEAF_ELEMENT.size
_ROOT: Final = struct.Struct("<Q")
_INLINE_HEADER: Final = struct.Struct("<QQQHHI")


def tree(bucket: BoltBucket, name: bytes) -> Tree | None:
    """Return the nested bucket `name` with all that it holds; None where there is none."""
    if bucket.transaction.writable:
        nested = bucket.bucket(name)
        return None if nested is None else _walk(nested, 0)
    found = bucket.find(name)
    if found is None or not found[1] & BUCKET_FLAG or not isinstance(found[0], bytes):
        return None
    return _decode(bucket.transaction, found[0], bucket.place(name), 0)


def trees(bucket: BoltBucket, start: bytes) -> Iterator[tuple[bytes, Tree]]:
    """Iterate over the nested buckets in the order of their names, from `start` on."""
    transaction = bucket.transaction
    if transaction.writable:
        for key, value in bucket.items(start):
            if value is None:
                yield key, _walk(bucket.listed(key), 0)
        return
    begin: int | None = None
    for leaf in leaves(transaction.load, bucket.root, start):
        begin = position(leaf, start)[0] if begin is None else 0
        for index in range(begin, len(leaf.keys)):
            stored = leaf.values[index]
            if leaf.flags[index] & BUCKET_FLAG and isinstance(stored, bytes):
                key = leaf.keys[index]
                yield key, _decode(transaction, stored, bucket.place(key), 0)
                transaction.require_open()


def _walk(bucket: BoltBucket, depth: int) -> Tree:
    if depth > NESTING_MAX:
        raise NestingTooDeepError(f"a bucket inside {depth} others")
    found: Tree = {}
    for key, value in bucket.items():
        found[key] = _walk(bucket.listed(key), depth + 1) if value is None else value
    return found


def _decode(
    transaction: BoltTransaction, value: bytes, place: tuple[int, bytes], depth: int
) -> Tree:
    """Decode the value of a bucket: what lies inline, or the pages that it names."""
    if len(value) < BUCKET_HEADER.size:
        raise CorruptError(f"a bucket's value of {len(value)} bytes is too short for its header")
    (root,) = _ROOT.unpack_from(value)
    if not root:
        return _decode_inline(value)
    if depth > NESTING_MAX:
        raise NestingTooDeepError(f"a bucket inside {depth} others")
    transaction.require_one_place(root, place)
    page, header = transaction.read(root)
    if header.kind == LEAF_PAGE:
        found: Tree = {}
        _decode_leaf(transaction, page, HEADER_SIZE, header.elements, found, root, depth)
        return found
    return _decode_pages(transaction, decode_node(page, header), root, depth)


def _decode_inline(value: bytes) -> Tree:
    if len(value) < _INLINE_HEADER.size:
        raise CorruptError("an inline bucket is too short for the header of its page")
    _, _, page, kind, elements, _ = _INLINE_HEADER.unpack_from(value)
    if kind != LEAF_PAGE:
        raise CorruptError(f"an inline bucket holds no leaf (kind {kind:#x})")
    found: Tree = {}
    _decode_leaf(None, value, _INLINE_HEADER.size, elements, found, page, 0)
    return found


def _decode_leaf(
    transaction: BoltTransaction | None,
    page: bytes,
    table: int,
    elements: int,
    found: Tree,
    number: int,
    depth: int,
) -> None:
    """Decode the elements of a leaf whose table begins at `table`.

    Without a transaction it is that of an inline bucket, which holds no buckets.
    """
    limit = len(page)
    end_of_table = table + elements * _ELEMENT_SIZE
    if end_of_table > limit:
        raise CorruptError(f"page {number} has no room for its {elements} elements")
    size, element = HEADER.size, table
    for flag, distance, key_size, value_size in LEAF_ELEMENT.iter_unpack(page[table:end_of_table]):
        start = element + distance
        middle = start + key_size
        end = middle + value_size
        size += _ELEMENT_SIZE + key_size + value_size
        # The sum, too: elements that share their bytes could take any amount of memory.
        if end > limit or size > limit or not key_size:
            raise CorruptError(f"an element of leaf page {number} is out of bounds")
        key, value = page[start:middle], page[middle:end]
        if not flag & BUCKET_FLAG:
            found[key] = value
        elif transaction is None:
            raise CorruptError(f"an inline bucket holds the bucket {key!r}")
        else:
            found[key] = _decode(transaction, value, (number, key), depth + 1)
        element += _ELEMENT_SIZE


def _decode_pages(transaction: BoltTransaction, root: Node, number: int, depth: int) -> Tree:
    """Decode a bucket that takes more than one page."""
    found: Tree = {}
    for leaf in leaves(transaction.load, root, b""):
        _take_over(transaction, leaf, found, number, depth)
    return found


def _take_over(
    transaction: BoltTransaction, leaf: Leaf, found: Tree, number: int, depth: int
) -> None:
    for key, value, flag in zip(leaf.keys, leaf.values, leaf.flags, strict=True):
        if isinstance(value, bytes):  # pragma: no branch - a reader's values come from pages
            nested = flag & BUCKET_FLAG
            found[key] = _decode(transaction, value, (number, key), depth + 1) if nested else value
