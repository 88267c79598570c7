"""The tree of a version, with its pages in a store; it can be updated to the next version.

A page that two versions in a row both use has not been written in between: the transaction that
made the second wrote only what was free in the first. So of the second only the pages are read
that the first did not use: the way from the root to what was changed.

Source: the reuse of pages in go.etcd.io/bbolt, freelist.go.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from orlop.bolt.leaf import LEAF_ELEMENT
from orlop.bolt.meta import NO_FREELIST
from orlop.bolt.node import BUCKET_FLAG
from orlop.bolt.page import (
    FREELIST_PAGE,
    HEADER_SIZE,
    LEAF_PAGE,
    Header,
    decode_header,
)
from orlop.bolt.pager import FIRST_NODE_PAGE, Pager
from orlop.bolt.reachable import Reachable, references
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from orlop.bolt.disk import Readable
    from orlop.bolt.meta import Meta
    from orlop.bolt.page_store import PageStore

PIECE_BYTES: Final = 1024 * 1024
"""So much is read at once: in a fraction of a millisecond, so that no version is missed."""

MAX_NEW_PAGES: Final = 4096
"""With more new pages than this, a version is copied afresh."""

_UNUSED: Final = b"\0"
_USED: Final = b"\1"


class CopiedTree(Reachable):
    """A walk over the pages of a version that also keeps them.

    Attributes:
        meta: the version.
        numbers: of each page that was read its number in the store; 0 for all others.
    """

    def __init__(self, disk: Readable, meta: Meta, store: PageStore) -> None:
        """Begin at the root of `meta`; nothing is read yet.

        Args:
            disk: the file. What it returns must be of that version, else it raises.
            meta: the version.
            store: where the pages go.
        """
        super().__init__(disk, meta, extent_bytes=PIECE_BYTES)
        self.meta = meta
        self.numbers = array("Q", bytes(meta.high_water << 3))
        self._store = store
        # Of each node that overflows, and is not whole: the first page that is missing, the end.
        self._missing: dict[int, tuple[int, int]] = {}
        self._freelist: range | None = None

    def copy_some(self) -> bool:
        """Read some pages more; return whether any may be left.

        What the disk raises leaves the tree as it was.

        Raises:
            CorruptError: the tree is damaged.
        """
        if self._has_more():
            self.step()
        elif self._missing:
            self._read_missing()
        elif self._freelist is None:
            self._freelist = self._read_freelist()
        return self._has_more() or bool(self._missing) or self._freelist is None

    def advance(self, meta: Meta) -> bool:
        """Update to the version after this one; return False if it has too many new pages.

        What the disk raises leaves the tree as it was.

        Raises:
            CorruptError: the tree is damaged.
        """
        # Everything new is read before anything is changed here: where a commit disturbs the
        # reading, the tree still is that of the known version, and the caller tries again.
        found: dict[int, tuple[bytes, list[int]]] = {}
        kept: set[int] = set()
        pending = [meta.root]
        while pending:
            page = pending.pop()
            # Pages never change in place. So a page that is part of the known version has the same
            # contents in the next one, with all that is below it: only new pages need be read.
            if self.is_referred_to(page):
                kept.add(page)
                continue
            if page in found or len(found) == MAX_NEW_PAGES:
                return False
            data = Pager(self._disk, self._page_size).read(page)[0]
            referred = references(data)
            found[page] = data, referred
            pending += referred
        # From here on nothing is read, so no other version can come between.
        self._forget_all_but(kept)
        self._grow(meta.high_water)
        self.meta, self.root, self._freelist = meta, meta.root, None
        for page, (data, referred) in found.items():
            self._take_new(page, data, referred)
        return True

    def _has_more(self) -> bool:
        return bool(self._waiting_count or self._large or self._done < len(self._pages))

    def _look_at(self, pages: list[int], data: bytes, first: int) -> None:
        super()._look_at(pages, data, first)
        size, view = self._page_size, memoryview(data)
        begin = 0
        while begin < len(pages):
            end = begin + 1
            while end < len(pages) and pages[end] == pages[end - 1] + 1:
                end += 1
            start = pages[begin]
            stop = pages[end - 1] + 1
            self._keep(start, view[(start - first) * size : (stop - first) * size])
            begin = end

    def _keep(self, page: int, data: bytes | memoryview) -> None:
        number = self._store.add(data)
        count = len(data) // self._page_size
        self.numbers[page : page + count] = array("Q", range(number, number + count))

    def _mark_overflow(self, page: int, end: int) -> None:
        super()._mark_overflow(page, end)
        self._missing[page] = page + 1, end

    def _look_at_large(self, page: int) -> None:
        data = Pager(self._disk, self._page_size).read(page)[0]
        self._refer_to(page, references(data))
        self._keep(page, data)
        self._missing.pop(page, None)

    def _read_missing(self) -> None:
        page = next(iter(self._missing))
        begin, end = self._missing[page]
        stop = min(end, begin + PIECE_BYTES // self._page_size)
        length = (stop - begin) * self._page_size
        data = self._disk.read(begin * self._page_size, length)
        if len(data) < length:
            raise CorruptError(f"page {page} overflows behind the end of the file")
        self._keep(begin, data)
        if stop < end:
            self._missing[page] = stop, end
        else:
            del self._missing[page]

    def _read_freelist(self) -> range:
        """Read the freelist of the version, if it keeps one, as far as it is sound."""
        page = self.meta.freelist
        if page == NO_FREELIST:
            return range(0)
        try:
            data, header = Pager(self._disk, self._page_size).read(page)
        except CorruptError:
            return range(0)
        pages = range(page, page + header.overflow + 1)
        is_apart = page >= FIRST_NODE_PAGE and pages.stop <= self.high_water
        if header.kind != FREELIST_PAGE or not is_apart or any(self._used[page : pages.stop]):
            return range(0)
        self._keep(page, data)
        return pages

    def _forget_all_but(self, kept: set[int]) -> None:
        """Forget the pages that the next version lacks; it uses the subtrees of `kept`."""
        for page in self._freelist or ():
            self.numbers[page] = 0
        pending = [self.root]
        while pending:
            page = pending.pop()
            if page not in kept:
                pending += self._forget(page)

    def _forget(self, page: int) -> list[int]:
        """Forget one node; return which it refers to, as far as that is known."""
        self._parents[page] = 0
        if not self._used[page]:
            self._forget_waiting(page)
            return []
        data = self._store.read(self.numbers[page])
        header = decode_header(data)
        end = page + header.overflow + 1
        referred: list[int] = []
        if page in self._large:
            self._large.remove(page)
        elif not header.overflow:
            referred = references(data)
        elif _refers(data, header):
            numbers = self.numbers[page:end]
            referred = references(b"".join([self._store.read(number) for number in numbers]))
        self._missing.pop(page, None)
        self._used[page:end] = _UNUSED * (end - page)
        self.numbers[page:end] = array("Q", bytes(8 * (end - page)))
        return referred

    def _forget_waiting(self, page: int) -> None:
        waiting = self._waiting[page // self._region_pages]
        if page in waiting:
            waiting.remove(page)
            self._waiting_count -= 1
        else:
            self._pages.remove(page)

    def _grow(self, high_water: int) -> None:
        more = high_water - self.high_water
        if more > 0:
            self._used += _UNUSED * more
            self._parents.frombytes(bytes(8 * more))
            self.numbers.frombytes(bytes(8 * more))
        while len(self._waiting) * self._region_pages < high_water:
            self._waiting.append([])
        self.high_water = max(high_water, self.high_water)

    def _take_new(self, page: int, data: bytes, referred: list[int]) -> None:
        """Take a node that was read as a part of the version."""
        end = page + len(data) // self._page_size
        if end > self.high_water or self._used.find(_USED, page, end) >= 0:
            raise CorruptError(f"page {page} is referred to twice")
        self._used[page:end] = _USED * (end - page)
        self._keep(page, data)
        for each in referred:
            if not FIRST_NODE_PAGE <= each < self.high_water:
                raise CorruptError(f"page {each} is referred to but lies out of bounds")
            self._parents[each] = page


def _refers(data: bytes, header: Header) -> bool:
    """Whether a node refers to further nodes, by the first of its pages."""
    end = HEADER_SIZE + header.elements * LEAF_ELEMENT.size
    if header.kind != LEAF_PAGE or end > len(data):
        return True
    flags = data[HEADER_SIZE : end : LEAF_ELEMENT.size]
    return BUCKET_FLAG in flags
