"""The mark: which nodes of a graph can be reached from the roots.

Marking is tricolor and depth first: white is what was not reached, grey what waits on the stack,
black what was expanded. Each node has two colors, one for flat and one for whole: a node that is
reached flat and later whole is expanded again, because whole it refers to more.

After changes the mark is not made anew. `unmark_unreachable` takes it from what was let go.

Source: containerd, pkg/gc (Tricolor); spec/metadata.md 3.5.
"""

from __future__ import annotations

import time
from itertools import compress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from whenever import Instant

    from orlop.gc.graph import Graph
    from orlop.gc.resources import CheckedSession

_FLAT: Final = 1
_WHOLE: Final = 2
_NODES_AT_ONCE: Final = 250
_IDS_AT_ONCE: Final = 65_536
_STEPS_AT_ONCE: Final = 250
_IS_WHITE: Final = bytes(not color for color in range(256))


class OverBudgetError(Exception):
    """The incremental search visited more nodes than a full mark would cost."""


class Mark:
    """The nodes that were reached so far. It can go on from more nodes at any time.

    Attributes:
        now: the moment for which it is made.
    """

    def __init__(self, graph: Graph, now: Instant, yield_to_writers: Callable[[], None]) -> None:
        """Begin with nothing.

        Args:
            graph: the references between nodes.
            now: the moment for which it is made.
            yield_to_writers: is called periodically, so that updates can proceed.
        """
        self.now = now
        self._graph = graph
        self._yield_to_writers = yield_to_writers
        self._colors = bytearray(len(graph))

    def __contains__(self, node_id: int) -> bool:
        return node_id < len(self._colors) and bool(self._colors[node_id])

    def has(self, state: int) -> bool:
        """Whether a state of `Graph` was reached: a node, flat or whole."""
        node_id = state >> 1
        bit = _FLAT if state & 1 else _WHOLE
        return node_id < len(self._colors) and bool(self._colors[node_id] & bit)

    def unmark(self, state: int) -> None:
        """Take a color from a node again: it cannot be reached so any more."""
        self._colors[state >> 1] &= ~(_FLAT if state & 1 else _WHOLE)

    def unreached(self) -> Iterator[int]:
        """Iterate over the nodes that were not reached."""
        for start in range(0, len(self._colors), _IDS_AT_ONCE):
            some = self._colors[start : start + _IDS_AT_ONCE].translate(_IS_WHITE)
            yield from compress(range(start, start + len(some)), some)

    def reach(self, node_ids: Iterable[int]) -> None:
        """Mark nodes, whole, and all that can be reached from them."""
        self._mark_states([node_id << 1 for node_id in node_ids])

    def extend(self, affected: Iterable[int]) -> None:
        """Mark the nodes that became reachable through nodes with new references."""
        node_ids, graph, now = list(affected), self._graph, self.now
        self.reach([node_id for node_id in node_ids if graph.is_root(node_id, now)])
        grey: list[int] = []
        for node_id in node_ids:
            for state in (node_id << 1, node_id << 1 | 1):
                # It is black already, and would not be expanded again.
                if self.has(state):
                    grey += graph.following(state, now)
        self._mark_states(grey)

    def reach_resources(self, sessions: Mapping[str, CheckedSession]) -> None:
        """Ask plug-ins for the references of reached resources that they did not list; mark those.

        A resource need not be listed to refer to something. Its plug-in is called once the
        resource is reached, and its targets may again be such resources.

        Raises:
            ResourceError: a plug-in failed.
        """
        while sessions:
            reached = [one for one in self._graph.unasked(sessions) if one in self]
            if not reached:
                break
            for node_id in reached:
                node = self._graph.node(node_id)
                self._graph.add_references(node_id, sessions[node.type].references(node))
            self.extend(reached)

    def _mark_states(self, grey: list[int]) -> None:
        """Mark states and all that can be reached from them."""
        self._colors.extend(bytes(len(self._graph) - len(self._colors)))
        colors, following, now = self._colors, self._graph.following, self.now
        # Most nodes of a large database are layers, which refer to nothing, and need no call.
        counts, asks_all = self._graph.counts, self._graph.has_other_references
        marked = 0
        while grey:
            state = grey.pop()
            node_id = state >> 1
            bit = _FLAT if state & 1 else _WHOLE
            if colors[node_id] & bit:
                continue
            colors[node_id] |= bit
            if asks_all or counts[node_id]:
                grey += following(state, now)
            marked += 1
            if not marked % _NODES_AT_ONCE:
                # Compiled code lets no other thread run unless it is told to.
                time.sleep(0)
                self._yield_to_writers()


def unmark_unreachable(
    graph: Graph,
    mark: Mark,
    candidates: Iterable[int],
    budget: int,
    yield_to_writers: Callable[[], None],
) -> set[int]:
    """Take the mark from nodes that cannot be reached any more, and return them.

    After a change only the candidates can have become garbage: nodes that lost a reference or
    were roots. From each of them a search goes backward, from referrer to referrer, until it
    finds a root. If it finds none, all nodes that it visited are unreachable, cycles included,
    and the nodes that these refer to are the next candidates.

    Args:
        graph: the references as they are now.
        mark: it contains at least all reachable nodes.
        candidates: nodes that lost a reference or are no roots any more.
        budget: the maximum number of nodes to visit.
        yield_to_writers: is called periodically, so that updates can proceed.

    Raises:
        OverBudgetError: a full mark is cheaper; this one is of no use any more.
    """
    search = _BackwardSearch(graph, mark, budget, yield_to_writers)
    waiting = [node_id << 1 | form for node_id in candidates for form in (0, 1)]
    found: set[int] = set()
    while waiting:
        state = waiting.pop()
        if not mark.has(state):
            continue
        for lost in search.unreachable_from(state):
            mark.unmark(lost)
            found.add(lost >> 1)
            # It held these, perhaps alone.
            waiting += [
                target << 1 | form for target in graph.mentioned(lost >> 1) for form in (0, 1)
            ]
    return found


class _BackwardSearch:
    """A search for roots from referrer to referrer; states that lead to one are remembered."""

    def __init__(
        self, graph: Graph, mark: Mark, budget: int, yield_to_writers: Callable[[], None]
    ) -> None:
        self._graph = graph
        self._mark = mark
        self._budget = budget
        self._yield_to_writers = yield_to_writers
        self._reachable: set[int] = set()

    def unreachable_from(self, start: int) -> set[int]:
        """Return all states that the search has seen; nothing where it has met a root."""
        now = self._mark.now
        if start in self._reachable:
            return set()
        path = [(start, self._graph.referrers(start, now))]
        seen = {start}
        while path:
            state, referrers = path[-1]
            is_root = not state & 1 and self._graph.is_root(state >> 1, now)
            if is_root or state in self._reachable:
                # Each on the way to here is referred to by the next one.
                self._reachable.update([one for one, _ in path])
                return set()
            for one, _ in referrers:
                # What is not marked cannot be reached itself: it is no way to a root.
                if one not in seen and self._mark.has(one):
                    seen.add(one)
                    path.append((one, self._graph.referrers(one, now)))
                    break
            else:
                path.pop()
            self._spend()
        return seen

    def _spend(self) -> None:
        self._budget -= 1
        if self._budget < 0:
            raise OverBudgetError
        if not self._budget % _STEPS_AT_ONCE:
            self._yield_to_writers()
