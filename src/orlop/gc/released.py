"""What nothing holds any more, found without going through everything that exists.

After a change only what it let go can have become garbage: the nodes to which a reference
went away, or that held themselves. For each of them a search goes backward, from referrer to
referrer, until it meets a root. Where it meets none, all that it has seen is held by nobody,
circles included; and what these refer to is looked at next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from orlop.gc.colors import Colors
    from orlop.gc.compact import CompactGraph

_STEPS_AT_ONCE: Final = 250

State = tuple[int, bool]
"""A node, and whether flat: it may be held flat and not whole."""


class OverBudgetError(Exception):
    """To mark everything anew is cheaper than to go on."""


class Released:
    """Looks for nodes that were marked and can be reached no more, and takes their mark away."""

    def __init__(
        self, graph: CompactGraph, colors: Colors, budget: int, breathe: Callable[[], None]
    ) -> None:
        """Begin with nothing.

        Args:
            graph: what refers to what now.
            colors: what was marked; nothing that can be reached is missing.
            budget: how many nodes may be looked at.
            breathe: is called now and then, so that others get their turn.
        """
        self._graph = graph
        self._colors = colors
        self._budget = budget
        self._breathe = breathe
        self._held: set[State] = set()
        self.found: set[int] = set()

    def look(self, candidates: Iterable[int]) -> None:
        """Take the mark from what cannot be reached, beginning with candidates.

        Raises:
            OverBudgetError: that takes too long; the marks are of no use any more.
        """
        waiting: list[State] = [
            (number, is_flat) for number in candidates for is_flat in (False, True)
        ]
        while waiting:
            state = waiting.pop()
            if state in self._held or not self._colors.has(*state):
                continue
            for lost in self._search(state):
                self._colors.take(*lost)
                self.found.add(lost[0])
                waiting.extend(
                    (target, is_flat)
                    for target in self._graph.mentioned(lost[0])
                    for is_flat in (False, True)
                )

    def _search(self, start: State) -> set[State]:
        """Return all that the search has seen; nothing where it has met a root."""
        now = self._colors.now
        path: list[tuple[State, Iterator[State]]] = [(start, self._referrers(start))]
        seen = {start}
        while path:
            state, referrers = path[-1]
            if state in self._held or (not state[1] and self._graph.is_root(state[0], now)):
                # Each on the way to here is referred to by the next one.
                self._held.update(one for one, _ in path)
                return set()
            for one in referrers:
                if one not in seen and self._colors.has(*one):
                    seen.add(one)
                    path.append((one, self._referrers(one)))
                    break
            else:
                path.pop()
            self._spend()
        return seen

    def _referrers(self, state: State) -> Iterator[State]:
        return self._graph.referrers(state[0], self._colors.now, is_flat=state[1])

    def _spend(self) -> None:
        self._budget -= 1
        if self._budget < 0:
            raise OverBudgetError
        if not self._budget % _STEPS_AT_ONCE:
            self._breathe()
