"""From page ids to nodes, through a cache of decoded pages.

Within one version a page never changes, and a page is written again only when no reader
of an older version is left; so a decoded node stays right until its page is written, and
the writer puts the new node in its place.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, TypeAlias

from orlop.bolt.page import Header, decode_header, decode_node
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from orlop.bolt.disk import Readable
    from orlop.bolt.node import Node
    from orlop.kv.contract import Path

CachedBucket: TypeAlias = "tuple[int, int, tuple[tuple[int, bytes], ...], tuple[int, ...]]"
"""A bucket's root page and counter; the identities and pages of the buckets on its path."""

FIRST_NODE_PAGE: Final = 2
"""Pages 0 and 1 are metas; no node is ever there."""

_MAX_OFFSET: Final = 1 << 62
"""Bytes from the beginning; behind that, the system does not even take the question."""

_NUMBER_AND_OVERFLOW: Final = struct.Struct("<Q4xI")

_GENERATION_BYTES: Final = 32 * 1024 * 1024


class Pager:
    """Reads pages of one file.

    The cache has two generations: what is read goes into the young one; when that is
    full, it becomes the old one, and what was in the old one and not asked for goes.
    That needs no lock and no bookkeeping on a hit.

    Attributes:
        young: the young generation. Whoever finds a page here need not call `load`. It is not to
            be kept: once it is the old one, a page that is written again is not replaced in it.
    """

    def __init__(self, disk: Readable, page_size: int) -> None:
        """Read from `disk` in pages of `page_size` bytes."""
        self.page_size = page_size
        self._end = _MAX_OFFSET // page_size
        self._disk = disk
        self.young: dict[int, Node] = {}
        self._old: dict[int, Node] = {}
        self._young_bytes = 0
        self._bucket_cache: tuple[int, dict[Path, CachedBucket]] = (0, {})

    def bucket_cache(self, number: int) -> dict[Path, CachedBucket]:
        """Return the cache of buckets that readers of a version share."""
        cache = self._bucket_cache
        if cache[0] != number:
            # Another version: those that read the one before keep what they have.
            cache = self._bucket_cache = (number, {})
        return cache[1]

    def load(self, page: int) -> Node:
        """Return the node on `page`. It is shared and frozen.

        Raises:
            CorruptError: there is no sound node.
            OSError: the page cannot be read.
        """
        node = self.young.get(page)
        if node is None:
            node = self._old.get(page)
            if node is None:
                if page < FIRST_NODE_PAGE:
                    raise CorruptError(f"page {page} is referred to as a node")
                node = decode_node(*self.read(page))
            self.keep(node)
        return node

    def keep(self, node: Node) -> None:
        """Cache a node under its page, in place of the one before."""
        self.young[node.page] = node
        self._young_bytes += node.span * self.page_size
        if self._young_bytes > _GENERATION_BYTES:
            self._old, self.young, self._young_bytes = self.young, {}, 0

    def contents(self, page: int) -> bytes:
        """Return a page's bytes, overflow included.

        Raises: as `read`.
        """
        data = self._disk.read(page * self.page_size, self.page_size) if page < self._end else b""
        if len(data) == self.page_size:
            number, overflow = _NUMBER_AND_OVERFLOW.unpack_from(data)
            if number == page and not overflow:
                return data
        return self.read(page)[0]  # which says what is wrong, if something is

    def read(self, page: int) -> tuple[bytes, Header]:
        """Return a page's bytes, overflow included, with its header.

        Raises:
            CorruptError: the file ends before the page does, or another id stands on it.
            OSError: the page cannot be read.
        """
        data, header = self.read_first(page)
        if header.overflow:
            data = self._disk.read(page * self.page_size, (header.overflow + 1) * self.page_size)
        return data, header

    def read_first(self, page: int) -> tuple[bytes, Header]:
        """Return a page's bytes without its overflow, which is there, and its header.

        Raises: as `read`.
        """
        if page > self._end:
            raise CorruptError(f"page {page} lies behind the end of any file")
        data = self._disk.read(page * self.page_size, self.page_size)
        if len(data) < self.page_size:
            raise CorruptError(f"page {page} lies behind the end of the file")
        header = decode_header(data)
        if header.id != page:
            raise CorruptError(f"page {page} carries the id {header.id}")
        # Asked of the file's size first: an absurd count must not take memory.
        end = (page + header.overflow + 1) * self.page_size
        if header.overflow and end > self._disk.size():
            raise CorruptError(f"page {page} overflows behind the end of the file")
        return data, header
