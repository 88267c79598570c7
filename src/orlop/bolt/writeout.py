"""Writing one version: where its pages go, and in which order they become durable.

Source: go.etcd.io/bbolt, tx.go (Commit).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.bolt.freelist import Freelist
from orlop.bolt.meta import NO_FREELIST, Meta
from orlop.bolt.page import encode_freelist, freelist_size
from orlop.bolt.reachable import free_pages
from orlop.bolt.spill import Spill

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orlop.bolt.disk import Disk
    from orlop.bolt.edit import Edit
    from orlop.bolt.node import BucketState
    from orlop.bolt.pager import Pager

_GROWTH_MIN_BYTES = 32 * 1024
_GROWTH_STEP_BYTES = 16 * 1024 * 1024


class Layout:
    """The places in a file: which are free, and where it ends.

    The free pages are found when they are first needed: reading never needs them.

    Attributes:
        freelist: the free pages, once a version has been begun.
    """

    def __init__(self, disk: Disk, pager: Pager, *, keep_freelist: bool) -> None:
        """Lay out the file on `disk`, with a freelist page in each version or without."""
        self.disk = disk
        self.pager = pager
        self.keep_freelist = keep_freelist
        self.high_water = 0
        self.freelist = Freelist()
        self._is_known = False
        self._freelist_pages = range(0)

    def begin(self, meta: Meta, *, oldest_reader: int) -> None:
        """Prepare for the version after `meta`; readers from `oldest_reader` on are left."""
        self.high_water = meta.high_water
        if not self._is_known:
            free, self._freelist_pages = free_pages(self.pager, meta)
            self.freelist = Freelist(free)
            self._is_known = True
        self.freelist.release(min(oldest_reader, meta.transaction))

    def allocate(self, count: int) -> int:
        """Take `count` pages in a row: free ones, else new ones at the end."""
        page = self.freelist.allocate(count)
        if page is None:
            page = self.high_water
            self.high_water += count
        return page

    def place_freelist(self, transaction: int, spill: Spill) -> int:
        """Lay out the freelist, where one is kept, and return what the meta says of it."""
        freelist = self.freelist
        freelist.free(transaction, self._freelist_pages)
        self._freelist_pages = range(0)
        if not self.keep_freelist:
            return NO_FREELIST
        # Its own place is taken from it, so that the list can only get shorter by that.
        span = -(-freelist_size(freelist.count()) // self.pager.page_size)
        page = self.allocate(span)
        self._freelist_pages = range(page, page + span)
        spill.page(page, [encode_freelist(page, span - 1, freelist.ids())])
        return page

    def grow(self) -> None:
        """Make room in the file for every page in use, durably, before one is written."""
        needed = self.high_water * self.pager.page_size
        if needed > self.disk.size():
            self.disk.grow(_roomy(needed))
            self.disk.sync()


def write_version(
    layout: Layout, meta: Meta, state: BucketState, edits: Iterable[Edit], *, oldest_reader: int
) -> Meta:
    """Make the version after `meta`, which `edits` lead to, durable and return its meta.

    Raises:
        CorruptError: the file is damaged where it would be written.
        OSError: the disk refused; what is on it is the version before, or this one.
    """
    number = meta.transaction + 1
    layout.begin(meta, oldest_reader=oldest_reader)
    spill = Spill(meta.page_size, layout.allocate)
    root = spill.tree(state.tree)
    for edit in edits:
        layout.freelist.free(number, edit.freed_pages())
    freelist = layout.place_freelist(number, spill)
    new = meta._replace(
        root=root,
        sequence=state.sequence,
        freelist=freelist,
        high_water=layout.high_water,
        transaction=number,
    )
    layout.grow()
    spill.write(layout.disk)
    layout.disk.sync()
    layout.disk.write(number % 2 * meta.page_size, [new.encode()])
    layout.disk.sync()
    spill.settle()
    # Before any reader of the new version: its pages may have been others in an older one.
    for node in spill.nodes:
        layout.pager.keep(node)
    return new


def _roomy(needed: int) -> int:
    """Return the size that a file of at least `needed` bytes is given, in bytes."""
    size = _GROWTH_MIN_BYTES
    while size < needed and size < _GROWTH_STEP_BYTES:
        size *= 2
    return size if size >= needed else -(-needed // _GROWTH_STEP_BYTES) * _GROWTH_STEP_BYTES
