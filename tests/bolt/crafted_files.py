"""Files made page by page, as no writer would leave them. Pages have 1,024 bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from bolt.simulated_disk import SimulatedDisk
from orlop.bolt.meta import NO_FREELIST, Meta
from orlop.bolt.node import BUCKET_FLAG, EMPTY_SIZE, Branch, Leaf
from orlop.bolt.page import BUCKET_HEADER, encode_branch, encode_leaf

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE_SIZE = 1024
ROOT = 3


def crafted(
    pages: Mapping[int, bytes],
    *,
    freelist: int = NO_FREELIST,
    high_water: int = 0,
    root: int = ROOT,
) -> SimulatedDisk:
    """A file with these pages; all other pages are zeros."""
    high_water = high_water or max(pages) + 1
    data = bytearray(PAGE_SIZE * high_water)
    for slot in (0, 1):
        meta = Meta(PAGE_SIZE, 0, root, 0, freelist, high_water, slot).encode()
        data[slot * PAGE_SIZE : slot * PAGE_SIZE + len(meta)] = meta
    for page, contents in pages.items():
        data[page * PAGE_SIZE : page * PAGE_SIZE + len(contents)] = contents
    return SimulatedDisk(bytes(data))


def leaf(page: int, values: Mapping[bytes, bytes], flag: int = 0) -> bytes:
    """A leaf with these values."""
    keys = sorted(values)
    node = Leaf(keys, [values[key] for key in keys], [flag] * len(keys), EMPTY_SIZE)
    return b"".join(encode_leaf(node, page, 0, [values[key] for key in keys]))


def buckets(page: int, roots: Mapping[bytes, int | bytes]) -> bytes:
    """A leaf of nested buckets: each by its root page, or by the bytes of its value."""
    values = {
        name: BUCKET_HEADER.pack(root, 0) if isinstance(root, int) else root
        for name, root in roots.items()
    }
    return leaf(page, values, BUCKET_FLAG)


def branch(page: int, children: Mapping[bytes, int]) -> bytes:
    """A branch with these children."""
    keys = sorted(children)
    pages = [children[key] for key in keys]
    return b"".join(encode_branch(Branch(keys, [*pages], EMPTY_SIZE), page, 0, pages))


def inline(contents: bytes) -> bytes:
    """The value of a bucket that lies inside of it."""
    return BUCKET_HEADER.pack(0, 0) + contents


def freelist(page: int, ids: list[int], *, kind: int = 0x10, overflow: int = 0) -> bytes:
    """A freelist page."""
    return struct.pack(f"<QHHI{len(ids)}Q", page, kind, len(ids), overflow, *ids)
