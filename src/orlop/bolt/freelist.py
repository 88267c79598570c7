"""Which pages may be written: the free ones, and those that become free later.

A page that transaction N freed is still part of every version before N. It is released
when N's meta is durable and no reader of a version before N is left.

Source: go.etcd.io/bbolt, freelist.go and freelist_hmap.go (the maps by size, start and end).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Freelist:
    """Runs of free pages, found by their length and joined with their neighbours.

    Attributes:
        available: how many pages can be allocated.
    """

    def __init__(self, free: Iterable[int] = ()) -> None:
        """Begin with the pages `free`, in any order."""
        self.available = 0
        self._length_of: dict[int, int] = {}
        self._start_of: dict[int, int] = {}
        self._by_length: dict[int, dict[int, None]] = {}
        self._pending: dict[int, list[int]] = {}
        # All of them in order, from the first call of `ids` on: few files keep their freelist.
        self._list: PageList | None = None
        for page in free:
            self._add(page, 1)

    def add(self, runs: Iterable[range]) -> None:
        """Make more pages available; none of them is known yet."""
        for run in runs:
            self._add(run.start, len(run))
            if self._list is not None:
                self._list.add(run)

    def allocate(self, count: int) -> int | None:
        """Take `count` pages in a row and return the first; None where there is no such run."""
        length = count if self._by_length.get(count) else self._shortest(count)
        if length is None:
            return None
        start = next(iter(self._by_length[length]))
        self._remove(start, length)
        if length > count:
            self._add(start + count, length - count)
        if self._list is not None:
            self._list.take(range(start, start + count))
        return start

    def cut_end(self, end: int) -> int:
        """Forget the free pages right before `end`, and return the first of them, or `end`."""
        start = self._start_of.get(end - 1, end)
        if start < end:
            self._remove(start, end - start)
            if self._list is not None:
                self._list.take(range(start, end))
        return start

    def free(self, transaction: int, pages: Iterable[int]) -> None:
        """Keep `pages` as freed by `transaction`, not to be used before `release`."""
        pending = self._pending.setdefault(transaction, [])
        known = len(pending)
        pending.extend(pages)
        if self._list is not None:
            self._list.add(pending[known:])

    def release(self, transaction: int) -> None:
        """Make the pages available that were freed by transactions up to `transaction`."""
        for number in [number for number in self._pending if number <= transaction]:
            for start, length in _runs(sorted(self._pending.pop(number))):
                self._add(start, length)

    def count(self) -> int:
        """Return how many pages are free or will be."""
        return len(self._listed())

    def ids(self) -> array[int]:
        """Return all pages that are free or will be, in ascending order."""
        return self._listed().pages()

    def _listed(self) -> PageList:
        if self._list is None:
            runs = [range(start, start + length) for start, length in self._length_of.items()]
            self._list = PageList(chain(*runs, *self._pending.values()))
        return self._list

    def _shortest(self, count: int) -> int | None:
        fitting = [length for length in self._by_length if length >= count]
        return min(fitting, default=None)

    def _add(self, start: int, length: int) -> None:
        before = self._start_of.get(start - 1)
        if before is not None:
            length += self._length_of[before]
            self._remove(before, self._length_of[before])
            start = before
        after = self._length_of.get(start + length)
        if after is not None:
            self._remove(start + length, after)
            length += after
        self.available += length
        self._length_of[start] = length
        self._start_of[start + length - 1] = start
        self._by_length.setdefault(length, {})[start] = None

    def _remove(self, start: int, length: int) -> None:
        self.available -= length
        del self._length_of[start]
        del self._start_of[start + length - 1]
        starts = self._by_length[length]
        del starts[start]
        if not starts:
            del self._by_length[length]


def _runs(pages: list[int]) -> list[tuple[int, int]]:
    """Return the runs in ascending pages: their first pages and lengths."""
    found: list[tuple[int, int]] = []
    start = end = 0
    for page in pages:
        if page != end:
            if end > start:
                found.append((start, end - start))
            start = page
        end = page + 1
    if end > start:
        found.append((start, end - start))
    return found


class PageList:
    """Page ids in ascending order, of which few change at a time.

    A file that keeps its freelist has it written with every commit. To sort hundreds of thousands
    of ids each time would cost more than all the rest of a small commit.
    """

    def __init__(self, pages: Iterable[int]) -> None:
        """Begin with `pages`, in any order."""
        self._pages = array("Q", sorted(pages))
        # What has changed since: no page is in both, or in the list already.
        self._added: set[int] = set()
        self._taken: set[int] = set()

    def __len__(self) -> int:
        return len(self._pages) + len(self._added) - len(self._taken)

    def add(self, pages: Iterable[int]) -> None:
        """Add pages that are not in the list."""
        for page in pages:
            if page in self._taken:
                self._taken.discard(page)
            else:
                self._added.add(page)

    def take(self, pages: Iterable[int]) -> None:
        """Take pages out that are in the list."""
        for page in pages:
            if page in self._added:
                self._added.discard(page)
            else:
                self._taken.add(page)

    def pages(self) -> array[int]:
        """Return all page ids; the caller must not change them."""
        changed = sorted(self._added | self._taken)
        if changed:
            before, after, start = self._pages, array("Q"), 0
            end = len(before)
            for page in changed:
                if start < end and before[start] < page:
                    place = bisect_left(before, page, start)
                    after += before[start:place]
                    start = place
                if page in self._taken:
                    start += 1
                else:
                    after.append(page)
            after += before[start:]
            self._pages = after
            self._added.clear()
            self._taken.clear()
        return self._pages
