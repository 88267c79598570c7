"""References between numbers, in arrays: forward in one piece, backward as a chain.

A reference takes 12 bytes, a number 16. What a number refers to is put down anew as a whole
when it changes; what it was before stays in its slots until much is of no use any more.
"""

from __future__ import annotations

import time
from array import array
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# What the last two bits of a reference say; the number of its target stands before them.
WHOLE: Final = 0
"""Only a whole node refers to it, whole."""
ALIKE: Final = 1
"""A whole node refers to it whole, and a flat one flat."""
TO_FLAT: Final = 2
"""A whole node refers to it flat."""
KIND_BITS: Final = 2
KIND_MASK: Final = 3

WASTE_MIN: Final = 100_000
"""From so many references on that nobody has any more, they are dropped."""

_NUMBERS_AT_ONCE: Final = 1_000
_NONE: Final = 0
"""Where a chain of references to a number ends; the slot 0 is never used."""


class EdgeArrays:
    """Who refers to whom. A reference is the number of its target with a kind behind it.

    Attributes:
        counts: how many references each number has.
    """

    def __init__(self) -> None:
        self._start = array("I")
        self.counts = array("I")
        self._first = array("I")
        # Slot by slot: what is referred to, by whom, and the next slot that refers to it too.
        self._references = array("I", [_NONE])
        self._referrers = array("I", [_NONE])
        self._next = array("I", [_NONE])
        self._waste = 0

    def grow(self, numbers: int) -> None:
        """Have room for so many numbers."""
        more = bytes(self._start.itemsize * (numbers - len(self._start)))
        for column in (self._start, self.counts, self._first):
            column.frombytes(more)

    def put(self, number: int, references: Sequence[int]) -> None:
        """Put down what a number refers to, which referred to nothing."""
        first = self._first
        slot = len(self._references)
        self._start[number] = slot
        self.counts[number] = len(references)
        for one in references:
            target = one >> KIND_BITS
            self._next.append(first[target])
            first[target] = slot
            self._references.append(one)
            self._referrers.append(number)
            slot += 1

    def of(self, number: int) -> array[int]:
        """Return what a number refers to."""
        start = self._start[number]
        return self._references[start : start + self.counts[number]]

    def to(self, number: int) -> Iterator[tuple[int, int]]:
        """Iterate over what refers to a number, and the kind of each reference."""
        slot = self._first[number]
        while slot != _NONE:
            referrer = self._referrers[slot]
            # What was replaced stays in its slot.
            if 0 <= slot - self._start[referrer] < self.counts[referrer]:
                yield referrer, self._references[slot] & KIND_MASK
            slot = self._next[slot]

    def forget(self, number: int) -> None:
        """Let a number refer to nothing."""
        self._waste += self.counts[number]
        self.counts[number] = 0

    def tidy(self, yield_to_writers: Callable[[], None]) -> None:
        """Drop the references that nobody has any more, if they are many: all move together.

        Args:
            yield_to_writers: is called now and then, so that others get their turn.
        """
        if self._waste <= max(WASTE_MIN, len(self._references) // 2):
            return
        before, starts, counts = self._references, self._start, self.counts
        self._references = array("I", [_NONE])
        self._referrers = array("I", [_NONE])
        self._next = array("I", [_NONE])
        self._start, self.counts, self._first = array("I"), array("I"), array("I")
        self._waste = 0
        self.grow(len(starts))
        for number, count in enumerate(counts):
            self.put(number, before[starts[number] : starts[number] + count])
            if not number % _NUMBERS_AT_ONCE:
                time.sleep(0)
                yield_to_writers()
