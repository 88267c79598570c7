"""Writing one version: page allocation, and the order in which pages become durable.

Source: go.etcd.io/bbolt, tx.go (Commit).
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final

from orlop.bolt.free_pages import SEARCHING, FreeSearch, SearchOptions
from orlop.bolt.freelist import Freelist
from orlop.bolt.meta import NO_FREELIST, Meta
from orlop.bolt.page import encode_freelist, freelist_size
from orlop.bolt.reachable import kept_freelist
from orlop.bolt.relocate import find_tail
from orlop.bolt.spill import Spill
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orlop.bolt.dirty import DirtyNodes
    from orlop.bolt.disk import Disk
    from orlop.bolt.node import BucketState
    from orlop.bolt.pager import Pager
    from orlop.bolt.provenance import Provenance

_ROOM_SHARE: Final = 256
_ROOM_SHARE_OF_SMALL: Final = 32
"""Too little room at the end: less than 1/256 of the file and 1/32 of what counts as small."""

_SPARE_PAGES: Final = 32
"""Up to so many free pages, a small commit is appended rather than written into holes."""

_GROWTH_MIN_BYTES = 32 * 1024
_GROWTH_STEP_BYTES = 16 * 1024 * 1024


class PageAllocator:
    """Allocates the pages of a file: from its free pages, else at its end.

    The free pages are found when they are first needed: reading never needs them. In a large
    file without a freelist they are searched for beside the writers, which use the end of the
    file meanwhile, as far as it is long enough already: see docs/decisions/0016.

    Attributes:
        freelist: the free pages that are known.
        search: for those that are not; None where all are known, or nothing was begun yet.
    """

    def __init__(
        self, disk: Disk, pager: Pager, *, keep_freelist: bool, options: SearchOptions = SEARCHING
    ) -> None:
        """Lay out the file on `disk`, with a freelist page in each version or without.

        The `options` say how free pages are found that no freelist names.
        """
        self.disk = disk
        self.pager = pager
        self.keep_freelist = keep_freelist
        self.high_water = 0
        self.freelist = Freelist()
        self.search: FreeSearch | None = None
        self._options = options
        self._has_begun = False
        self._extra_pages = 0
        self._deferred: list[tuple[int, list[int]]] = []
        self._released = 0
        self._freelist_pages = range(0)

    def begin(self, meta: Meta, *, oldest_reader: int) -> None:
        """Prepare for the version after `meta`; readers from `oldest_reader` on are left.

        Raises:
            CorruptError: the file is damaged, so that free pages cannot be told.
            OSError: it cannot be read.
        """
        self.high_water = meta.high_water
        self._released = min(oldest_reader, meta.transaction)
        self._load_free_pages(meta)
        search = self.search
        # Nobody waits for the search of a large file: while it goes on, pages are taken from what
        # is known to be free, and from the end.
        if search is not None and (search.is_over or self._needs_full_list()):
            self._add_found(search.finish())
        self.freelist.release(self._released)
        if not self.keep_freelist:
            # The end of the file is for who has to write before the free pages are known.
            self.high_water = self.freelist.cut_end(self.high_water)

    def prepare(self, meta: Meta) -> set[int]:
        """Prepare for the first version of all, the one after `meta`.

        Where there is too little room at the end of the file to begin there, the search is
        waited for, and room is made.

        Returns:
            The pages that this version should move, since they are in use at the end of the
            file, and those on the ways there; see `orlop.bolt.relocate`.

        Raises: as `begin`.
        """
        self._load_free_pages(meta)
        search = self.search
        room = self._options.small_pages // _ROOM_SHARE_OF_SMALL + meta.high_water // _ROOM_SHARE
        if search is None or self._needs_full_list() or self._has_room(room):
            return set()
        free = search.finish()
        path_pages: set[int] = set()
        if not free or free[-1].stop < meta.high_water or len(free[-1]) < room:
            tail = find_tail(search.walk, free)
            if tail is None:
                # As good as nothing is free: the file becomes longer soon in any case.
                self._extra_pages = room
            else:
                path_pages = tail.path_pages
                before = [range(run.start, min(run.stop, tail.first)) for run in free]
                free = [run for run in before if run]
                # All of the end becomes free at once, and nothing is placed there before.
                self.freelist.free(meta.transaction + 1, tail.free)
        self._add_found(free)
        return path_pages

    def allocate(self, count: int) -> int:
        """Take `count` pages in a row: free ones, else new ones at the end.

        Raises: as `begin`.
        """
        page = self.freelist.allocate(count)
        if page is None and self.search is not None and not self._has_room(count):
            # Not to know the free pages is no reason for a file to become longer.
            self._add_found(self.search.finish())
            page = self.freelist.allocate(count)
        if page is None:
            page = self.high_water
            self.high_water += count
        return page

    def allocate_each(self, spans: list[int]) -> list[int]:
        """Take as many pages in a row as each of `spans` says; return where each row begins.

        All rows lie side by side where so many free pages do, so that one write takes them. A
        few pages more than are needed are kept for that.

        Raises: as `begin`.
        """
        if not spans:
            return []
        total = sum(spans)
        first = self.freelist.allocate(total)
        if first is None and self._prefers_end(total):
            first = self.high_water
            self.high_water += total
        if first is None:
            return [self.allocate(span) for span in spans]
        return list(accumulate(spans[:-1], initial=first))

    def free(self, transaction: int, pages: Iterable[int]) -> None:
        """Keep `pages` as freed by `transaction`."""
        search = self.search
        if search is None:
            self.freelist.free(transaction, pages)
            return
        # Those of the version that is searched stay as they are until that has ended.
        searched: list[int] = []
        later: list[int] = []
        for page in pages:
            if page < search.high_water:
                searched.append(page)
            else:
                later.append(page)
        self._deferred.append((transaction, searched))
        self.freelist.free(transaction, later)

    def continue_search(self) -> None:
        """Allow the search for unknown free pages from now on."""
        if self.search is not None:
            self.search.start()

    def stop_searching(self) -> None:
        """End the search for free pages and wait for it. No version is written afterwards."""
        if self.search is not None:
            self.search.stop()

    def require_sound(self) -> None:
        """Raise CorruptError where the search has met damage. Any thread may ask."""
        search = self.search
        if search is not None:
            search.require_sound()

    def _inspect(self, meta: Meta) -> None:
        """Compare the tree with the list of free pages, which nothing else would do.

        Raises:
            CorruptError: the tree is damaged, or has pages that are on the list.
        """
        walk = FreeSearch(self.disk, meta, self._options)
        walk.finish()
        for page in self.freelist.ids():
            if walk.walk.is_used(page):
                raise CorruptError(f"page {page} is reachable but free")

    def _load_free_pages(self, meta: Meta) -> None:
        if self._has_begun:
            return
        self.high_water = meta.high_water
        kept = kept_freelist(self.pager, meta)
        if kept is None:
            self.search = FreeSearch(self.disk, meta, self._options)
        else:
            free, self._freelist_pages = kept
            self.freelist = Freelist(free)
            if meta.high_water <= self._options.listed_pages:
                self._inspect(meta)
        self._has_begun = True

    def _prefers_end(self, count: int) -> bool:
        """Whether free pages are too few for one commit to find contiguous ones."""
        if count > _SPARE_PAGES or self.freelist.available >= _SPARE_PAGES:
            return False
        return self.search is None or self._has_room(count)

    def _needs_full_list(self) -> bool:
        return self.keep_freelist or self.high_water <= self._options.small_pages

    def _has_room(self, count: int) -> bool:
        pages = self.high_water + count
        return pages * self.pager.page_size <= self.disk.size()

    def _add_found(self, free: Iterable[range]) -> None:
        """Take the pages that the search has found free."""
        self.freelist.add(free)
        self.search = None
        for transaction, pages in self._deferred:
            self.freelist.free(transaction, pages)
        self._deferred.clear()
        self.freelist.release(self._released)

    def place_freelist(self, transaction: int, spill: Spill) -> int:
        """Lay out the freelist, where one is kept; return the page for the meta."""
        freelist = self.freelist
        self.free(transaction, self._freelist_pages)
        self._freelist_pages = range(0)
        if not self.keep_freelist:
            return NO_FREELIST
        # Its own place is taken from it, so that the list can only get shorter by that.
        span = -(-freelist_size(freelist.count()) // self.pager.page_size)
        page = self.allocate(span)
        self._freelist_pages = range(page, page + span)
        contents = encode_freelist(page, span - 1, freelist.ids())
        spill.page(page, span, len(contents), [contents])
        return page

    def grow(self, provenance: Provenance) -> None:
        """Make room in the file for every page in use, durably, before one is written."""
        pages = self.high_water + self._extra_pages
        needed = pages * self.pager.page_size
        if needed > self.disk.size():
            provenance.changing()
            self.disk.grow(_rounded_file_size(needed))
            provenance.sync()


def write_version(
    allocator: PageAllocator,
    meta: Meta,
    state: BucketState,
    dirty: Iterable[DirtyNodes],
    provenance: Provenance,
    *,
    oldest_reader: int,
) -> Meta:
    """Make the version after `meta` durable and return its meta.

    The nodes in `dirty` lead to it. The stamp of `provenance` is written behind the meta.

    Raises:
        CorruptError: the file is damaged where it would be written.
        OSError: the disk refused; what is on it is the version before, or this one.
    """
    number = meta.transaction + 1
    allocator.begin(meta, oldest_reader=oldest_reader)
    spill = Spill(meta.page_size, allocator.allocate_each)
    root = spill.tree(state.tree)
    for each in dirty:
        allocator.free(number, each.freed_pages())
    freelist = allocator.place_freelist(number, spill)
    new = meta._replace(
        root=root,
        sequence=state.sequence,
        freelist=freelist,
        high_water=allocator.high_water,
        transaction=number,
    )
    allocator.grow(provenance)
    spill.write(allocator.disk, provenance)
    provenance.sync()
    encoded = new.encode()
    provenance.changing(is_meta=True)
    allocator.disk.write(number % 2 * meta.page_size, [encoded, provenance.stamp])
    provenance.sync()
    # Before anybody can name these pages, a reader of the new version or a writer that builds on
    # its nodes: the cache may know them as what they were in an older one.
    for node in spill.nodes:
        allocator.pager.keep(node)
    spill.settle()
    return new


def _rounded_file_size(needed: int) -> int:
    """Return the size that a file of at least `needed` bytes is given, in bytes."""
    size = _GROWTH_MIN_BYTES
    while size < needed and size < _GROWTH_STEP_BYTES:
        size *= 2
    return size if size >= needed else -(-needed // _GROWTH_STEP_BYTES) * _GROWTH_STEP_BYTES
