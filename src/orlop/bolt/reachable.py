"""Which pages a version uses: all that can be reached from its root bucket.

So the free pages are found where no freelist is kept, or a damaged one cannot be trusted. The
file is gone through again and again, from its beginning to its end, until no page is left that
is known to be in use and was not looked at; neighbours are read together. Of a leaf nothing is
decoded but where its nested buckets begin.

Source: go.etcd.io/bbolt, db.go (freepages).
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from orlop.bolt.gil import yield_gil
from orlop.bolt.leaf import LEAF_ELEMENT, leaf_shapes, read_roots
from orlop.bolt.meta import NO_FREELIST
from orlop.bolt.page import (
    BRANCH_ELEMENT,
    BRANCH_PAGE,
    HEADER,
    HEADER_SIZE,
    LEAF_PAGE,
    Header,
    decode_freelist,
    decode_header,
)
from orlop.bolt.pager import FIRST_NODE_PAGE, Pager
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from orlop.bolt.disk import Readable
    from orlop.bolt.meta import Meta

EXTENT_BYTES: Final = 256 * 1024
"""So much is read at once. It also bounds how long one step keeps the interpreter."""

_GAP_BYTES: Final = 16 * 1024
"""To read so much in vain costs less than to ask the system once more."""

REGION_PAGES: Final = 4096
"""What is known to be in use is put in order for so many pages at a time, for the same reason."""

_META_PAGE: Final = 0
_ELEMENT_SIZE: Final = LEAF_ELEMENT.size
_UNUSED: Final = b"\0"
_USED: Final = b"\1"


class Reachable:
    """A walk over the pages of one version, in short steps.

    Until it has ended, none of these pages may be written.

    Attributes:
        high_water: the pages from here on are not part of the version.
        root: the page of its root bucket.
    """

    def __init__(
        self,
        disk: Readable,
        meta: Meta,
        *,
        extent_bytes: int = EXTENT_BYTES,
        region_pages: int = REGION_PAGES,
    ) -> None:
        """Begin at the root of `meta`, in the file on `disk`; nothing is read yet."""
        self._extent_pages = max(extent_bytes // meta.page_size, 1)
        self._region_pages = region_pages
        self._disk = disk
        self._page_size = meta.page_size
        self.high_water = meta.high_water
        self.root = meta.root
        self._used = bytearray(meta.high_water)
        self._used[:FIRST_NODE_PAGE] = _USED * FIRST_NODE_PAGE
        # Of each page that something refers to: the page that does.
        self._parents = array("Q", bytes(meta.high_water << 3))
        # Pages that are in use and were not looked at, by the region that they lie in.
        self._waiting: list[list[int]] = [[] for _ in range(0, meta.high_water, region_pages)]
        self._waiting_count = 0
        self._region = -1
        # Of this region: its pages, in ascending order, and how many are done.
        self._pages: list[int] = []
        self._done = 0
        # Pages whose table or whose buckets lie in their overflow: each is read whole.
        self._large: list[int] = []
        self._refer_to(_META_PAGE, [meta.root])

    def step(self) -> bool:
        """Look at the next pages; return whether there are more.

        Raises:
            CorruptError: the tree is damaged: to write would make it worse. The walk is over.
            OSError: the pages cannot be read; the step may be tried again.
        """
        yield_gil()
        if self._large:
            self._look_at_large(self._large[-1])
            self._large.pop()
        elif self._done < len(self._pages):
            self._take_extent()
        else:
            self._enter_next_region()
        return bool(self._waiting_count or self._large or self._done < len(self._pages))

    def unreachable(self) -> list[range]:
        """Return the runs of pages that are not part of the version, once the walk has ended."""
        runs: list[range] = []
        start = self._used.find(_UNUSED)
        while start >= 0:
            end = self._used.find(_USED, start)
            if end < 0:
                end = self.high_water
            runs.append(range(start, end))
            start = self._used.find(_UNUSED, end)
        return runs

    def is_used(self, page: int) -> bool:
        """Whether a page is part of the version."""
        return bool(self._used[page])

    def referrer(self, page: int) -> int:
        """Return the page that refers to a page; 0 for the root, and where no node begins."""
        return self._parents[page]

    def is_continuation(self, page: int) -> bool:
        """Whether a page is part of a node that begins on another."""
        return bool(self._used[page]) and page != self.root and not self._parents[page]

    def is_referred_to(self, page: int) -> bool:
        """Whether a node of the version begins on a page, as far as the walk has read."""
        return page == self.root or (page < self.high_water and self._parents[page] != 0)

    def _enter_next_region(self) -> None:
        while True:
            self._region = (self._region + 1) % len(self._waiting)
            pages = self._waiting[self._region]
            if pages:
                break
        pages.sort()
        self._pages, self._done = pages, 0
        self._waiting[self._region] = []
        self._waiting_count -= len(pages)

    def _refer_to(self, parent: int, pages: list[int]) -> None:
        waiting, parents, high_water = self._waiting, self._parents, self.high_water
        region_pages = self._region_pages
        for page in pages:
            if not FIRST_NODE_PAGE <= page < high_water:
                raise CorruptError(f"page {page} is referred to but lies out of bounds")
            waiting[page // region_pages].append(page)
            parents[page] = parent
        self._waiting_count += len(pages)

    def _take_extent(self) -> None:
        """Read the next adjacent pages of the region, and visit each."""
        pages, begin = self._pages, self._done
        gap_pages = _GAP_BYTES // self._page_size + 1
        first = last = pages[begin]
        far = first + self._extent_pages
        end = begin + 1
        while end < len(pages):
            page = pages[end]
            if page >= far or page - last > gap_pages:
                break
            last = page
            end += 1
        length = (last - first + 1) * self._page_size
        data = self._disk.read(first * self._page_size, length)
        if len(data) < length:
            raise CorruptError(f"page {last} lies behind the end of the file")
        self._look_at(pages[begin:end], data, first)
        self._done = end

    def _look_at(self, pages: list[int], data: bytes, first: int) -> None:
        """Mark pages and note their references; `data` begins with the page `first`."""
        size, used = self._page_size, self._used
        header_at, shapes = HEADER.unpack_from, leaf_shapes
        for page in pages:
            start = (page - first) * size
            number, kind, elements, overflow = header_at(data, start)
            if number != page or used[page]:
                raise CorruptError(_refusal(page, number))
            used[page] = 1
            table, limit = start + HEADER_SIZE, start + size
            end = table + elements * _ELEMENT_SIZE
            entries = data[table:end]
            if overflow or kind != LEAF_PAGE or end > limit:
                self._look_at_other(Header(number, kind, elements, overflow), entries)
                continue
            shape = shapes.get(entries)
            if shape is None or end + shape[1] > limit:
                self._refer_to(page, read_roots(data, table, entries, limit, page))
            else:
                for root in shape[4](data, end):
                    if root:
                        self._refer_to(page, [root])

    def _look_at_other(self, header: Header, entries: bytes) -> None:
        """Look at a page that is no leaf, or overflows, or has a table that is too long."""
        page, _, elements, overflow = header
        has_room = HEADER_SIZE + elements * _ELEMENT_SIZE <= self._page_size
        if overflow:
            self._mark_overflow(page, page + overflow + 1)
            if not has_room or entries[::_ELEMENT_SIZE].strip(_UNUSED):
                self._large.append(page)
                return
        if not has_room:
            raise CorruptError(f"page {page} has no room for its {elements} elements")
        if header.kind != LEAF_PAGE:
            self._refer_to(page, _children(header, entries))

    def _mark_overflow(self, page: int, end: int) -> None:
        if end > self.high_water:
            raise CorruptError(f"page {page} overflows behind the end of the file")
        if self._used.find(_USED, page + 1, end) >= 0:
            raise CorruptError(f"page {page} overflows into a page that is referred to")
        self._used[page + 1 : end] = _USED * (end - page - 1)

    def _look_at_large(self, page: int) -> None:
        self._refer_to(page, references(Pager(self._disk, self._page_size).read(page)[0]))


def _refusal(page: int, number: int) -> str:
    if number != page:
        return f"page {page} carries the id {number}"
    return f"page {page} is referred to twice"


def _children(header: Header, entries: bytes) -> list[int]:
    if header.kind != BRANCH_PAGE:
        raise CorruptError(f"page {header.id} is neither leaf nor branch (kind {header.kind:#x})")
    if not entries:
        raise CorruptError(f"branch page {header.id} has no children")
    return [child for _, _, child in BRANCH_ELEMENT.iter_unpack(entries)]


def references(data: bytes) -> list[int]:
    """Return the pages that a node refers to: its children, or the roots of nested buckets.

    Raises:
        CorruptError: it is no sound node.
    """
    header = decode_header(data)
    end = HEADER_SIZE + header.elements * _ELEMENT_SIZE
    if end > len(data):
        raise CorruptError(f"page {header.id} has no room for its {header.elements} elements")
    entries = data[HEADER_SIZE:end]
    if header.kind == LEAF_PAGE:
        return read_roots(data, HEADER_SIZE, entries, len(data), header.id)
    return _children(header, entries)


def find_unreachable(disk: Readable, meta: Meta) -> list[range]:
    """Return the runs of pages that are not part of a version, which must not change meanwhile.

    Raises:
        CorruptError: the tree is damaged.
        OSError: it cannot be read.
    """
    walk = Reachable(disk, meta)
    while walk.step():
        pass
    return walk.unreachable()


def kept_freelist(pager: Pager, meta: Meta) -> tuple[list[int], range] | None:
    """Return the free pages that a version keeps a list of, and the pages of that list.

    None: it keeps none, or a damaged one. That loses nothing: the tree says the same.

    Raises:
        OSError: it cannot be read.
    """
    if meta.freelist == NO_FREELIST:
        return None
    try:
        data, header = pager.read(meta.freelist)
        ids = decode_freelist(data, header)
    except CorruptError:
        return None
    own = range(meta.freelist, meta.freelist + header.overflow + 1)
    sound = all(FIRST_NODE_PAGE <= page < meta.high_water and page not in own for page in ids)
    if not sound or len(set(ids)) != len(ids):
        return None
    return list(ids), own


def count_free(disk: Readable, pager: Pager, meta: Meta) -> int:
    """Return how many pages of a version are free; the pages of its freelist are not.

    Raises: as `find_unreachable`.
    """
    kept = kept_freelist(pager, meta)
    if kept is not None:
        return len(kept[0])
    return sum([len(run) for run in find_unreachable(disk, meta)])
