"""A long list of pages, in order, of which few change at a time.

A file that keeps its freelist has it written with every commit. To sort hundreds of thousands
of numbers each time would cost more than all the rest of a small commit.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class PageList:
    """Page numbers in ascending order."""

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
