"""Invariants of a file that bbolt relies on and its own check does not verify.

A walk over the pages, independent of the engine under test.

Source: go.etcd.io/bbolt, node.go (`rebalance`, `split`) and page.go.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE_HEADER = struct.Struct("<QHHI")
META = struct.Struct("<IIIIQQQQQQ")
BRANCH_ELEMENT = struct.Struct("<IIQ")
LEAF_ELEMENT = struct.Struct("<IIII")
BUCKET_HEADER = struct.Struct("<QQ")
FREELIST_ABSENT = 2**64 - 1
BRANCH, BUCKET_ELEMENT = 1, 1


class Pages:
    """A file's pages as they lie on disk, at its newest meta."""

    def __init__(self, path: Path) -> None:
        self._content = path.read_bytes()
        # The first meta page names the page size, and with it the place of the second.
        self._page_size = META.unpack_from(self._content, PAGE_HEADER.size)[2]
        metas = [
            META.unpack_from(self._content, start + PAGE_HEADER.size)
            for start in (0, self._page_size)
        ]
        newest = max(metas, key=lambda meta: meta[8])
        self._root: int = newest[4]
        self.keeps_freelist: bool = newest[6] != FREELIST_ABSENT

    def lean_pages(self) -> list[str]:
        """Return the pages that make bbolt panic when it next deletes from their tree.

        A branch has two children or more, and only the root of a bucket may be an empty leaf:
        bbolt merges a page with its neighbour and does not look whether there is one.
        """
        return list(self._lean(self._root, depth=0))

    def _lean(self, page: int, depth: int) -> Iterator[str]:
        start = page * self._page_size
        _, flags, count, _ = PAGE_HEADER.unpack_from(self._content, start)
        elements = start + PAGE_HEADER.size
        if flags & BRANCH:
            if count < 2:
                yield f"branch page {page} at depth {depth} has {count} children"
            for place in range(count):
                element = elements + place * BRANCH_ELEMENT.size
                yield from self._lean(
                    BRANCH_ELEMENT.unpack_from(self._content, element)[2], depth + 1
                )
            return
        if depth and not count:
            yield f"leaf page {page} at depth {depth} is empty"
        for place in range(count):
            element = elements + place * LEAF_ELEMENT.size
            kind, position, key_size, _ = LEAF_ELEMENT.unpack_from(self._content, element)
            if kind & BUCKET_ELEMENT:
                header = element + position + key_size
                root = BUCKET_HEADER.unpack_from(self._content, header)[0]
                if root:
                    yield from self._lean(root, depth=0)
