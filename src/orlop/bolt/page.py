"""The page codec: how nodes, free pages and bucket headers are stored in the file.

A page begins with a header (id, kind, count, overflow) and, for a node, a table of
elements; keys and values follow the table. All integers are little-endian: bbolt uses the
host's order, and every host that runs containerd today is little-endian.

Decoding trusts nothing: whatever the bytes say, the result is a node or a CorruptError.

Source: go.etcd.io/bbolt, page.go; spec/metadata.md 1.4.
"""

from __future__ import annotations

import struct
import sys
from itertools import accumulate
from operator import add
from typing import TYPE_CHECKING, NamedTuple, cast

from orlop.bolt.leaf import LEAF_ELEMENT, decode_leaf
from orlop.bolt.node import Branch, Leaf, Node
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

HEADER = struct.Struct("<QHHI")
HEADER_SIZE = HEADER.size
BRANCH_ELEMENT = struct.Struct("<IIQ")
BUCKET_HEADER = struct.Struct("<QQ")
INLINE_HEADER = struct.Struct("<16xQHH4x")
"""The page header of an inline bucket: id, kind and count."""

BRANCH_PAGE = 0x01
LEAF_PAGE = 0x02
META_PAGE = 0x04
FREELIST_PAGE = 0x10

MIN_PAGE_SIZE = 1024
MAX_PAGE_SIZE = 64 * 1024

_MAX_COUNT = 0xFFFF
"""From this many ids on, a freelist page keeps its count in the first id's place."""


class Header(NamedTuple):
    """The first 16 bytes of a page. `overflow` counts the pages that follow as part of it."""

    id: int
    kind: int
    elements: int
    overflow: int


def decode_header(page: bytes) -> Header:
    """Read the header of a page.

    Raises:
        CorruptError: there are fewer than 16 bytes.
    """
    if len(page) < HEADER_SIZE:
        raise CorruptError(f"a page of {len(page)} bytes is too short for its header")
    return Header(*HEADER.unpack_from(page))


def decode_node(page: bytes, header: Header) -> Node:
    """Read the node on a leaf or branch page; `page` is all of it, overflow included.

    Raises:
        CorruptError: the page is of another kind, or an element lies outside of it.
    """
    if header.kind == LEAF_PAGE:
        node: Node = decode_leaf(page, HEADER_SIZE, header.elements, header.id)
    elif header.kind == BRANCH_PAGE:
        node = _decode_branch(page, header)
    else:
        raise CorruptError(f"page {header.id} is neither leaf nor branch (kind {header.kind:#x})")
    node.page = header.id
    node.span = header.overflow + 1
    return node


def _decode_branch(page: bytes, header: Header) -> Branch:
    keys: list[bytes] = []
    children: list[int | Node] = []
    size, limit, element = HEADER_SIZE, len(page), HEADER_SIZE
    end = HEADER_SIZE + header.elements * BRANCH_ELEMENT.size
    if end > limit:
        raise CorruptError(f"page {header.id} has no room for its {header.elements} elements")
    for position, key_size, child in BRANCH_ELEMENT.iter_unpack(page[HEADER_SIZE:end]):
        start = element + position
        size += BRANCH_ELEMENT.size + key_size
        if start + key_size > limit or size > limit:
            raise CorruptError(f"element {len(keys)} of branch page {header.id} is out of bounds")
        keys.append(page[start : start + key_size])
        children.append(child)
        element += BRANCH_ELEMENT.size
    if not keys:
        raise CorruptError(f"branch page {header.id} has no children")
    return Branch(keys, children, size)


def encode_leaf(node: Leaf, page: int, overflow: int, values: Sequence[bytes]) -> list[bytes]:
    """Write a leaf as a sequence of chunks, with `values` in the place of its own.

    Raises:
        ValueError: there are not as many values as keys.
    """
    keys = node.keys
    count = len(keys)
    if len(values) != count:
        raise ValueError(f"{len(values)} values for {count} keys")
    key_sizes = list(map(len, keys))
    value_sizes = list(map(len, values))
    # A key lies behind the rest of the table and the elements before it. Column by column,
    # so that the loops are those of the interpreter itself.
    behind = accumulate(map(add, key_sizes, value_sizes), initial=0)
    table = [0] * (4 * count)
    table[::4] = node.flags
    table[1::4] = map(add, behind, range(count * LEAF_ELEMENT.size, 0, -LEAF_ELEMENT.size))
    table[2::4] = key_sizes
    table[3::4] = value_sizes
    contents = [b""] * (2 * count)
    contents[::2] = keys
    contents[1::2] = values
    return [
        HEADER.pack(page, LEAF_PAGE, count, overflow),
        struct.pack(f"<{4 * count}I", *table),
        *contents,
    ]


def encode_inline(leaf: Leaf, sequence: int) -> bytes:
    """Encode the value of an inline bucket: its header and its one leaf."""
    # Only nested buckets are no bytes, and this leaf holds none.
    values = cast("list[bytes]", leaf.values)
    return b"".join([BUCKET_HEADER.pack(0, sequence), *encode_leaf(leaf, 0, 0, values)])


def encode_branch(node: Branch, page: int, overflow: int, children: Sequence[int]) -> list[bytes]:
    """Write a branch as a sequence of chunks; `children` are the page ids below it.

    Raises:
        ValueError: there are not as many children as keys.
    """
    keys = node.keys
    count = len(keys)
    if len(children) != count:
        raise ValueError(f"{len(children)} children for {count} keys")
    key_sizes = list(map(len, keys))
    behind = accumulate(key_sizes, initial=0)
    table = [0] * (3 * count)
    table[::3] = map(add, behind, range(count * BRANCH_ELEMENT.size, 0, -BRANCH_ELEMENT.size))
    table[1::3] = key_sizes
    table[2::3] = children
    return [
        HEADER.pack(page, BRANCH_PAGE, count, overflow),
        struct.pack("<" + "IIQ" * count, *table),
        *keys,
    ]


def encode_freelist(page: int, overflow: int, ids: array[int]) -> bytes:
    """Write a freelist page with all `ids`, which are in ascending order."""
    count = len(ids)
    words = ids
    if sys.byteorder == "big":
        words = ids[:]
        words.byteswap()
    if count < _MAX_COUNT:
        header = HEADER.pack(page, FREELIST_PAGE, count, overflow)
    else:
        header = HEADER.pack(page, FREELIST_PAGE, _MAX_COUNT, overflow) + struct.pack("<Q", count)
    return header + words.tobytes()


def freelist_size(count: int) -> int:
    """Return how many bytes a freelist page of `count` ids takes."""
    return HEADER_SIZE + 8 * (count if count < _MAX_COUNT else count + 1)


def decode_freelist(page: bytes, header: Header) -> tuple[int, ...]:
    """Read the ids on a freelist page.

    Raises:
        CorruptError: the page is of another kind, or shorter than its count says.
    """
    if header.kind != FREELIST_PAGE:
        raise CorruptError(f"page {header.id} is no freelist (kind {header.kind:#x})")
    start, count = HEADER_SIZE, header.elements
    if count == _MAX_COUNT:
        if len(page) < HEADER_SIZE + 8:
            raise CorruptError(f"freelist page {header.id} is cut short")
        (count,) = struct.unpack_from("<Q", page, HEADER_SIZE)
        start += 8
    if start + 8 * count > len(page):
        raise CorruptError(f"freelist page {header.id} has no room for the {count} ids it names")
    return struct.unpack_from(f"<{count}Q", page, start)


class BucketHeader(NamedTuple):
    """The head of a bucket's value. A `root` of 0: the one leaf follows inline."""

    root: int
    sequence: int


def bucket_root(value: bytes) -> int:
    """Return the page on which the tree of a bucket's value begins; 0: it is inline.

    Raises:
        CorruptError: the value is too short.
    """
    if len(value) < BUCKET_HEADER.size:
        raise _too_short(value)
    root: int = BUCKET_HEADER.unpack_from(value)[0]
    return root


def decode_bucket(value: bytes) -> tuple[BucketHeader, Leaf | None]:
    """Read a bucket's value: its header and, where it is inline, its leaf.

    Raises:
        CorruptError: the value is too short, or what follows inline is no leaf.
    """
    if len(value) < BUCKET_HEADER.size:
        raise _too_short(value)
    root, sequence = BUCKET_HEADER.unpack_from(value)
    header = BucketHeader(root, sequence)
    if root:
        return header, None
    page, elements = inline_header(value)
    return header, decode_leaf(value, INLINE_HEADER.size, elements, page)


def inline_header(value: bytes) -> tuple[int, int]:
    """Return page id and count of elements of the leaf in an inline bucket's value.

    Raises:
        CorruptError: the value is too short, or holds no leaf.
    """
    if len(value) < INLINE_HEADER.size:
        raise CorruptError("the page in an inline bucket is too short for its header")
    page, kind, elements = INLINE_HEADER.unpack_from(value)
    if kind != LEAF_PAGE:
        raise CorruptError(f"an inline bucket holds no leaf (kind {kind:#x})")
    return page, elements


def _too_short(value: bytes) -> CorruptError:
    return CorruptError(f"a bucket's value of {len(value)} bytes is too short for its header")
