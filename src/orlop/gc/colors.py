"""The mark of a collection: the color of each node of a compact graph.

White is what was not reached, grey what waits on the stack, black what was expanded; flat and
whole have a color each. It is `mark` in numbers: a test compares them.

Source: containerd, pkg/gc (Tricolor); spec/metadata.md 3.5.
"""

from __future__ import annotations

import time
from itertools import compress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from whenever import Instant

    from orlop.gc.compact import CompactGraph

_FLAT: Final = 1
_WHOLE: Final = 2
_NODES_AT_ONCE: Final = 250
_NUMBERS_AT_ONCE: Final = 65_536
_IS_WHITE: Final = bytes(not color for color in range(256))


class Colors:
    """Which nodes were reached so far. It can go on from more nodes at any time."""

    def __init__(self, graph: CompactGraph, now: Instant, breathe: Callable[[], None]) -> None:
        """Begin with nothing.

        Args:
            graph: what refers to what.
            now: the moment for which it is marked.
            breathe: is called now and then, so that others get their turn.
        """
        self.now = now
        self._graph = graph
        self._breathe = breathe
        self._colors = bytearray(len(graph))

    def __contains__(self, number: int) -> bool:
        return number < len(self._colors) and bool(self._colors[number])

    def has(self, number: int, is_flat: bool) -> bool:  # noqa: FBT001 -- a state, always given whole
        """Tell whether a node was reached whole, or flat."""
        bit = _FLAT if is_flat else _WHOLE
        return number < len(self._colors) and bool(self._colors[number] & bit)

    def take(self, number: int, is_flat: bool) -> None:  # noqa: FBT001 -- as in `has`
        """Take a color away again: it is found that nothing holds the node so."""
        self._colors[number] &= ~(_FLAT if is_flat else _WHOLE)

    def unreached(self) -> Iterator[int]:
        """Iterate over the numbers that were not reached."""
        for start in range(0, len(self._colors), _NUMBERS_AT_ONCE):
            some = self._colors[start : start + _NUMBERS_AT_ONCE].translate(_IS_WHITE)
            yield from compress(range(start, start + len(some)), some)

    def reach(self, numbers: Iterable[int]) -> None:
        """Mark nodes, whole, and all that can be reached from them."""
        self._go([number << 1 for number in numbers])

    def expand(self, numbers: Iterable[int]) -> None:
        """Expand nodes again that were marked and may have got new references since."""
        grey: list[int] = []
        for number in numbers:
            color = self._colors[number] if number < len(self._colors) else 0
            if color & _WHOLE:
                grey += self._graph.following(number << 1, self.now)
            if color & _FLAT:
                grey += self._graph.following(number << 1 | 1, self.now)
        self._go(grey)

    def _go(self, grey: list[int]) -> None:
        """Mark states, as `CompactGraph.following` has them, and all that follows from them."""
        self._colors.extend(bytes(len(self._graph) - len(self._colors)))
        colors, following, now = self._colors, self._graph.following, self.now
        counts, asks_all = self._graph.counts, self._graph.has_other_references
        turns = 0
        while grey:
            state = grey.pop()
            number = state >> 1
            bit = _FLAT if state & 1 else _WHOLE
            if colors[number] & bit:
                continue
            colors[number] |= bit
            if asks_all or counts[number]:
                grey += following(state, now)
            turns += 1
            if not turns % _NODES_AT_ONCE:
                time.sleep(0)
                self._breathe()
