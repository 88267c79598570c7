"""In which order garbage goes: in pieces, between which others may write.

What refers to something goes before it, and what refers to each other goes together. So a
writer that gives a record a new life between two pieces finds all that it refers to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence


def pieces(
    garbage: Sequence[int],
    references: Callable[[int], Iterable[int]],
    *,
    size: int,
    first: Collection[int] = (),
) -> Iterator[list[int]]:
    """Cut garbage into pieces; within each, the order is that of `garbage`.

    Args:
        garbage: what goes, by number.
        references: tells what a node refers to.
        size: how many nodes a piece has; more only where they refer to each other.
        first: what must go with the first piece, which has also all that refers to it then.
    """
    components = _Components(garbage, references)
    places = {node: place for place, node in enumerate(garbage)}
    early, late = components.split(first)
    piece = [node for component in early for node in component]
    if early:
        yield sorted(piece, key=places.__getitem__)
        piece = []
    for component in late:
        if piece and len(piece) + len(component) > size:
            yield sorted(piece, key=places.__getitem__)
            piece = []
        piece.extend(component)
    if piece:
        yield sorted(piece, key=places.__getitem__)


@dataclass(slots=True)
class _Visit:
    """A node whose references are gone through."""

    node: int
    onward: Iterator[int]
    lowest: int


@dataclass(slots=True)
class _Components:
    """What refers to each other, found by Tarjan's algorithm, without recursion."""

    garbage: Sequence[int]
    references: Callable[[int], Iterable[int]]
    found: list[list[int]] = field(default_factory=list)
    _order: dict[int, int] = field(default_factory=dict)
    _component: dict[int, int] = field(default_factory=dict)
    _open: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._order = dict.fromkeys(self.garbage, -1)
        visited = 0
        for start in self.garbage:
            if self._order[start] < 0:
                visited = self._visit(start, visited)

    def split(self, first: Collection[int]) -> tuple[list[list[int]], list[list[int]]]:
        """Return the components that reach any of `first`, and the others; referrers first."""
        reaching: set[int] = set()
        if first:
            # Components come out with what they refer to before them.
            for place, component in enumerate(self.found):
                if any(node in first or self._goes_to(node, reaching) for node in component):
                    reaching.add(place)
        backward = range(len(self.found) - 1, -1, -1)
        return (
            [self.found[place] for place in backward if place in reaching],
            [self.found[place] for place in backward if place not in reaching],
        )

    def _goes_to(self, node: int, components: set[int]) -> bool:
        return any(self._component.get(one) in components for one in self.references(node))

    def _visit(self, start: int, visited: int) -> int:
        path = [self._enter(start, visited)]
        while path:
            visit = path[-1]
            for target in visit.onward:
                order = self._order.get(target)
                if order is None:
                    continue  # it stays
                if order < 0:
                    visited += 1
                    path.append(self._enter(target, visited))
                    break
                if target not in self._component:
                    visit.lowest = min(visit.lowest, order)
            else:
                path.pop()
                if path:
                    path[-1].lowest = min(path[-1].lowest, visit.lowest)
                if visit.lowest == self._order[visit.node]:
                    self._close(visit.node)
        return visited + 1

    def _enter(self, node: int, order: int) -> _Visit:
        self._order[node] = order
        self._open.append(node)
        return _Visit(node, iter(self.references(node)), order)

    def _close(self, node: int) -> None:
        component: list[int] = []
        while not component or component[-1] != node:
            member = self._open.pop()
            self._component[member] = len(self.found)
            component.append(member)
        self.found.append(component)
