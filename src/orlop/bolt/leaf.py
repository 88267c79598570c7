"""The decoding of leaves, through a cache of their shapes.

The table of a leaf says where each key and value lies and which of them are buckets. Most records
of a store have one of few such tables, byte for byte. So what a table says is worked out once, as
its shape, and a leaf with a known shape is read in one step: no loop over its elements.

Nodes, plain dictionaries and the search for free pages all decode leaves here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, TypeAlias

from orlop.bolt.node import BUCKET_FLAG, BUCKET_HEADER_SIZE, EMPTY_SIZE, BucketState, Leaf
from orlop.kv.errors import CorruptError

LEAF_ELEMENT: Final = struct.Struct("<IIII")
"""An element in the table: flags, distance from here to the key, sizes of key and value."""

LeafShape: TypeAlias = tuple[
    Callable[[bytes, int], tuple[bytes, ...]],
    int,
    tuple[int, ...],
    tuple[int, ...],
    Callable[[bytes, int], tuple[int, ...]],
]
"""Of leaves with the same table, whose keys and values follow it without a gap:

- reads keys and values in turns, from the end of the table on;
- how many bytes those are;
- where in these turns the names of buckets are;
- the flags of the elements;
- reads the root pages of the buckets, from the end of the table on.
"""

leaf_shapes: Final[dict[bytes, LeafShape]] = {}
"""The known shapes, by the table of a leaf."""

_seen: Final[set[int]] = set()
"""The hashes of tables that were seen once, or more often."""

_MAX_SHAPE_ELEMENTS: Final = 64
_MAX_SHAPES: Final = 2_000
_MAX_SEEN: Final = 20_000

_ELEMENT_SIZE: Final = LEAF_ELEMENT.size
_ROOT: Final = struct.Struct("<Q")


def decode_leaf(page: bytes, table: int, elements: int, number: int) -> Leaf:
    """Return the leaf at `table`, in a page or in the value of an inline bucket.

    Args:
        page: the bytes that hold the leaf, to the end.
        table: where its table begins in them.
        elements: how many elements it has.
        number: the id of the page, for errors.

    Raises:
        CorruptError: an element lies outside of the page.
    """
    begin = table + elements * _ELEMENT_SIZE
    stored = page[table:begin]
    shape = leaf_shapes.get(stored)
    if shape is not None and begin + shape[1] <= len(page):
        parts = shape[0](page, begin)
        flags = list(shape[3])
        size = EMPTY_SIZE + len(stored) + shape[1]
    else:
        parts, _, flags, size = read_elements(page, table, elements, number)
    values: list[bytes | BucketState] = list(parts[1::2])
    return Leaf(list(parts[::2]), values, flags, size)


def read_elements(
    page: bytes, table: int, elements: int, number: int
) -> tuple[tuple[bytes, ...], tuple[int, ...], list[int], int]:
    """Read and check a leaf of unknown shape, element by element.

    Args: as for `decode_leaf`.

    Returns:
        Alternating keys and values; the indexes of bucket names among these; the flags; the
        size of the node.

    Raises:
        CorruptError: an element lies outside of the page.
    """
    limit = len(page)
    stored = page[table : table + elements * _ELEMENT_SIZE]
    if len(stored) < elements * _ELEMENT_SIZE:
        raise CorruptError(f"page {number} has no room for its {elements} elements")
    parts: list[bytes] = []
    nested: list[int] = []
    flags: list[int] = []
    size, element = table, table
    for flag, distance, key_size, value_size in LEAF_ELEMENT.iter_unpack(stored):
        start = element + distance
        middle = start + key_size
        end = middle + value_size
        size += _ELEMENT_SIZE + key_size + value_size
        # The sum, too: elements that share their bytes could take any amount of memory.
        if end > limit or size > limit or not key_size:
            raise CorruptError(f"element {len(flags)} of leaf page {number} is out of bounds")
        if flag & BUCKET_FLAG:
            nested.append(len(parts))
        parts.append(page[start:middle])
        parts.append(page[middle:end])
        flags.append(flag)
        element += _ELEMENT_SIZE
    if elements <= _MAX_SHAPE_ELEMENTS:
        _note(stored)
    return tuple(parts), tuple(nested), flags, size - table + EMPTY_SIZE


def read_roots(data: bytes, table: int, stored: bytes, limit: int, number: int) -> list[int]:
    """Return the root pages of the buckets in a leaf of unknown shape.

    Keys and values are not looked at: the search for free pages needs none of them.

    Args:
        data: the bytes that hold the leaf.
        table: where its table begins in them.
        stored: the table.
        limit: where the leaf must end in `data`.
        number: the id of the page, for errors.

    Raises:
        CorruptError: a bucket lies outside of the page.
    """
    roots: list[int] = []
    element = table
    for flag, distance, key_size, _ in LEAF_ELEMENT.iter_unpack(stored):
        if flag & BUCKET_FLAG:
            value = element + distance + key_size
            if value + BUCKET_HEADER_SIZE > limit:
                raise CorruptError(f"page {number} holds a bucket that is cut short")
            (root,) = _ROOT.unpack_from(data, value)
            if root:
                roots.append(root)
        element += _ELEMENT_SIZE
    if len(stored) <= _MAX_SHAPE_ELEMENTS * _ELEMENT_SIZE:
        _note(stored)
    return roots


def _note(table: bytes) -> None:
    """Note that a table was met; at the second time, work out its shape.

    Not at the first: tables of names that differ in length never come again.
    """
    mark = hash(table)
    if mark not in _seen:
        if len(_seen) >= _MAX_SEEN:
            _seen.clear()
        _seen.add(mark)
        return
    shape = _shape_of(table)
    if shape is None:
        return
    if len(leaf_shapes) >= _MAX_SHAPES:
        leaf_shapes.clear()
    leaf_shapes[table] = shape


def _shape_of(table: bytes) -> LeafShape | None:
    """Return the shape of leaves with a table; None where it is none that a writer makes."""
    lengths: list[int] = []
    nested: list[int] = []
    flags: list[int] = []
    roots = "<"
    follows = done = len(table)
    element = 0
    for flag, distance, key_size, value_size in LEAF_ELEMENT.iter_unpack(table):
        if element + distance != follows or not key_size:
            return None
        if flag & BUCKET_FLAG:
            if value_size < BUCKET_HEADER_SIZE:
                return None
            nested.append(len(lengths))
            roots += f"{follows + key_size - done}xQ"
            done = follows + key_size + _ROOT.size
        lengths += (key_size, value_size)
        flags.append(flag)
        follows += key_size + value_size
        element += _ELEMENT_SIZE
    parts = struct.Struct("<" + "".join([f"{length}s" for length in lengths]))
    reads_roots = struct.Struct(roots).unpack_from
    return parts.unpack_from, parts.size, tuple(nested), tuple(flags), reads_roots
