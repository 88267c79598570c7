"""Buckets with their contents, as plain dictionaries: the fast way to read many records.

Pages do not change, so they are decoded straight into dictionaries, past nodes, handles and the
cache. What a writer has opened, or made, may differ from the file: it is walked through.
"""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING, Final

from orlop.bolt.btree import leaves, position
from orlop.bolt.gil import yield_gil
from orlop.bolt.leaf import LEAF_ELEMENT, decode_leaf, leaf_shapes, read_elements
from orlop.bolt.limits import MAX_NESTING
from orlop.bolt.node import BUCKET_FLAG, Leaf
from orlop.bolt.page import (
    BUCKET_HEADER,
    HEADER_SIZE,
    INLINE_HEADER,
    LEAF_PAGE,
    decode_header,
    decode_node,
    inline_header,
)
from orlop.kv.errors import CorruptError, NestingTooDeepError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.bolt.node import Node
    from orlop.bolt.transaction_state import TransactionState
    from orlop.kv.contract import Tree

_ELEMENT_SIZE: Final = LEAF_ELEMENT.size
_ROOT: Final = struct.Struct("<Q")
_NO_ROOT: Final = bytes(_ROOT.size)
_KIND_AND_ELEMENTS: Final = struct.Struct("<8xHH4x")
_INLINE_SIZE: Final = INLINE_HEADER.size


def decode_tree(transaction: TransactionState, stored: bytes, place: tuple[int, bytes]) -> Tree:
    """Return the contents of a nested bucket, given its value in a page.

    Args:
        transaction: reads its pages.
        stored: the value.
        place: what tells the bucket's place from all others; see `BoltBucket.identity`.
    """
    return _decode(transaction, stored, place, 0)


def decode_trees(
    transaction: TransactionState, root: Node, page: int, start: bytes
) -> Iterator[tuple[bytes, Tree]]:
    """Iterate over the nested buckets below `root` in the order of their names, from `start` on.

    Nothing may change them meanwhile. `page` is where the tree's root is.
    """
    is_first = True
    for leaf in leaves(partial(_load, transaction), root, start):
        begin = position(leaf, start)[0] if is_first else 0
        is_first = False
        for index in range(begin, len(leaf.keys)):
            stored = leaf.values[index]
            if leaf.flags[index] & BUCKET_FLAG and isinstance(stored, bytes):
                key = leaf.keys[index]
                yield key, _decode(transaction, stored, (page, key), 0)
                if transaction.is_over or transaction.handle.is_closed:
                    transaction.require_open()


def _load(transaction: TransactionState, number: int) -> Node:
    """Return the node on a page, which is not remembered if it is a leaf.

    Whoever goes through all of a large bucket would let everything else be forgotten.
    """
    yield_gil()
    page = transaction.contents(number)
    kind, elements = _KIND_AND_ELEMENTS.unpack_from(page)
    if kind != LEAF_PAGE:
        return transaction.load(number)
    return decode_leaf(page, HEADER_SIZE, elements, number)


def _decode(
    transaction: TransactionState, value: bytes, place: tuple[int, bytes], depth: int
) -> Tree:
    """Decode the value of a bucket: its inline leaf, or the pages that it names."""
    if len(value) < BUCKET_HEADER.size:
        raise CorruptError(f"a bucket's value of {len(value)} bytes is too short for its header")
    if value.startswith(_NO_ROOT):
        return _decode_inline(value)
    if depth > MAX_NESTING:
        raise NestingTooDeepError(f"a bucket inside {depth} others")
    (root,) = _ROOT.unpack_from(value)
    transaction.require_one_parent(root, place)
    page = transaction.contents(root)
    kind, elements = _KIND_AND_ELEMENTS.unpack_from(page)
    if kind == LEAF_PAGE:
        return _decode_leaf(transaction, page, HEADER_SIZE, elements, root, depth)
    return _decode_pages(transaction, decode_node(page, decode_header(page)), root, depth)


def _decode_inline(value: bytes) -> Tree:
    page, elements = inline_header(value)
    return _decode_leaf(None, value, _INLINE_SIZE, elements, page, 0)


def _decode_leaf(
    transaction: TransactionState | None,
    page: bytes,
    table: int,
    elements: int,
    number: int,
    depth: int,
) -> Tree:
    """Decode the elements of a leaf; its element table begins at `table`.

    Without a transaction it is that of an inline bucket, which holds no buckets.
    """
    # As `decode_leaf`, without a node.
    begin = table + elements * _ELEMENT_SIZE
    shape = leaf_shapes.get(page[table:begin])
    if shape is not None and begin + shape[1] <= len(page):
        parts, nested = shape[0](page, begin), shape[2]
    else:
        parts, nested, _, _ = read_elements(page, table, elements, number)
    found = _of_parts(parts)
    for index in nested:
        key, value = parts[index], parts[index + 1]
        if transaction is None:
            raise CorruptError(f"an inline bucket holds the bucket {key!r}")
        if value.startswith(_NO_ROOT) and len(value) >= _INLINE_SIZE:
            tree = _decode_inline(value)
        else:
            tree = _decode(transaction, value, (number, key), depth + 1)
        if found[key] is value:  # in a damaged leaf another one of that key may follow
            found[key] = tree
    return found


def _of_parts(parts: tuple[bytes, ...]) -> Tree:
    """Return alternating keys and values as a tree."""
    # Most leaves of records are as small as that, and nothing else is nearly as fast.
    match parts:
        case (a, b):
            return {a: b}
        case (a, b, c, d, e, f, g, h):
            return {a: b, c: d, e: f, g: h}
        case (a, b, c, d, e, f):
            return {a: b, c: d, e: f}
        case (a, b, c, d, e, f, g, h, i, j):
            return {a: b, c: d, e: f, g: h, i: j}
        case (a, b, c, d):
            return {a: b, c: d}
    return {parts[index]: parts[index + 1] for index in range(0, len(parts), 2)}


def _decode_pages(transaction: TransactionState, root: Node, number: int, depth: int) -> Tree:
    """Decode a bucket that takes more than one page."""
    found: Tree = {}
    for leaf in leaves(transaction.load, root, b""):
        _take_over(transaction, leaf, found, number, depth)
    return found


def _take_over(
    transaction: TransactionState, leaf: Leaf, found: Tree, number: int, depth: int
) -> None:
    yield_gil()
    for key, value, flag in zip(leaf.keys, leaf.values, leaf.flags, strict=True):
        if isinstance(value, bytes):  # pragma: no branch - a reader's values come from pages
            nested = flag & BUCKET_FLAG
            found[key] = _decode(transaction, value, (number, key), depth + 1) if nested else value
