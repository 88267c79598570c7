"""A file with inline buckets nested in each other, as no writer makes it."""

from __future__ import annotations

import struct

from orlop.bolt.meta import NO_FREELIST, Meta

PAGE_SIZE = 4096
_ROOT = 4
_EMPTY = struct.pack("<QQ", 0, 0) + struct.pack("<QHHI", 0, 2, 0, 0)


def nested_inline(depth: int) -> bytes:
    """Return a file with an inline bucket `v1` and `depth` buckets nested in it."""
    length, heads = len(_EMPTY), []
    for _ in range(depth):
        heads.append(struct.pack("<QQ", 0, 0) + _leaf_head(b"a", length))
        length += len(heads[-1])
    value = b"".join(reversed(heads)) + _EMPTY
    pages = -(-len(_leaf_head(b"v1", len(value)) + value) // PAGE_SIZE)
    root = _leaf_head(b"v1", len(value), page=_ROOT, overflow=pages - 1) + value
    metas = [
        Meta(PAGE_SIZE, 0, _ROOT, 0, NO_FREELIST, _ROOT + pages, number).encode()
        for number in (2, 1)
    ]
    empty = [struct.pack("<QHHI", page, 2, 0, 0) for page in (2, 3)]
    parts = [part.ljust(PAGE_SIZE, b"\0") for part in (*metas, *empty)]
    return b"".join([*parts, root.ljust(pages * PAGE_SIZE, b"\0")])


def _leaf_head(key: bytes, length: int, page: int = 0, overflow: int = 0) -> bytes:
    header = struct.pack("<QHHI", page, 2, 1, overflow)
    return header + struct.pack("<IIII", 1, 16, len(key), length) + key
