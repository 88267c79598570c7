"""Which pages a version uses: all that can be reached from its root bucket.

So the free pages are found where no freelist is kept, or a damaged one cannot be trusted.

Source: go.etcd.io/bbolt, db.go (freepages).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from orlop.bolt.meta import NO_FREELIST
from orlop.bolt.node import BUCKET_FLAG, Branch
from orlop.bolt.page import (
    BUCKET_HEADER,
    HEADER_SIZE,
    LEAF_ELEMENT,
    LEAF_PAGE,
    decode_freelist,
    decode_node,
)
from orlop.bolt.pager import FIRST_NODE_PAGE
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.bolt.meta import Meta
    from orlop.bolt.page import Header
    from orlop.bolt.pager import Pager


def free_pages(pager: Pager, meta: Meta) -> tuple[list[int], range]:
    """Return the free pages of a version, and the pages of its freelist where it keeps one.

    Raises:
        CorruptError: the tree is damaged: to write would make it worse.
    """
    if meta.freelist != NO_FREELIST:
        try:
            return _kept_freelist(pager, meta)
        except CorruptError:
            # A damaged freelist loses nothing: the tree says the same.
            return _unreachable(pager, meta), range(0)
    return _unreachable(pager, meta), range(0)


def _kept_freelist(pager: Pager, meta: Meta) -> tuple[list[int], range]:
    data, header = pager.read(meta.freelist)
    ids = decode_freelist(data, header)
    own = range(meta.freelist, meta.freelist + header.overflow + 1)
    sound = all(FIRST_NODE_PAGE <= page < meta.high_water and page not in own for page in ids)
    if not sound or len(set(ids)) != len(ids):
        raise CorruptError(f"freelist page {meta.freelist} names pages that cannot be free")
    return list(ids), own


def _unreachable(pager: Pager, meta: Meta) -> list[int]:
    used = bytearray(meta.high_water)
    used[:FIRST_NODE_PAGE] = b"\1" * FIRST_NODE_PAGE
    pending = [meta.root]
    while pending:
        page = pending.pop()
        if not FIRST_NODE_PAGE <= page < meta.high_water:
            raise CorruptError(f"page {page} is referred to but lies out of bounds")
        data, header = pager.read(page)
        end = page + header.overflow + 1
        if end > meta.high_water or any(used[page:end]):
            raise CorruptError(f"page {page} is referred to twice, or overflows out of bounds")
        used[page:end] = b"\1" * (end - page)
        pending += _below(data, header)
    return [page for page in range(FIRST_NODE_PAGE, meta.high_water) if not used[page]]


def _below(data: bytes, header: Header) -> Iterator[int]:
    if header.kind == LEAF_PAGE:
        return _bucket_roots(data, header)
    node = decode_node(data, header)
    children = node.children if isinstance(node, Branch) else ()
    return iter([child for child in children if isinstance(child, int)])


def _bucket_roots(data: bytes, header: Header) -> Iterator[int]:
    """Find the nested buckets of a leaf page without decoding its keys and values."""
    table_end = HEADER_SIZE + header.elements * LEAF_ELEMENT.size
    if table_end > len(data):
        raise CorruptError(f"page {header.id} has no room for its {header.elements} elements")
    element = HEADER_SIZE
    for flag, position, key_size, _ in LEAF_ELEMENT.iter_unpack(data[HEADER_SIZE:table_end]):
        if flag & BUCKET_FLAG:
            try:
                root, _sequence = BUCKET_HEADER.unpack_from(data, element + position + key_size)
            except struct.error:
                raise CorruptError(f"page {header.id} holds a bucket that is cut short") from None
            if root:
                yield root
        element += LEAF_ELEMENT.size
