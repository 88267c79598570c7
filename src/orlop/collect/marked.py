"""A graph that was marked for one moment: what is held then, what is garbage, and why."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from orlop.collect.mark import Mark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whenever import Instant

    from orlop.collect.graph import Graph
    from orlop.collect.node import Node


class Step(NamedTuple):
    """A node on a path, and how it is reached.

    Attributes:
        node: the node; flat where it is held so.
        edge: the label or field of the node before it, or for a root the type or label that
            makes it one.
    """

    node: Node
    edge: str


Path: TypeAlias = "tuple[Step, ...]"
"""How a root holds a node: the root first, the node last."""


@dataclass(frozen=True)
class Marked:
    """A graph, marked.

    Attributes:
        graph: what the records say.
        now: for when it was marked.
    """

    graph: Graph
    now: Instant

    @cached_property
    def mark(self) -> Mark:
        """What can be reached from the roots."""

        def references(node: Node) -> Iterator[Node]:
            return (edge.target for edge in self.graph.references(node, self.now))

        mark = Mark(references)
        mark.reach(self._roots)
        return mark

    def holds(self, node: Node) -> bool:
        """Tell whether a node can be reached, whole or flat."""
        return node.whole in self.mark.reachable

    @cached_property
    def garbage(self) -> list[Node]:
        """The records that nothing holds, in the order of a sweep."""
        return [node for node in self.graph.swept() if not self.holds(node)]

    @cached_property
    def kept(self) -> int:
        """How many records that a collection might remove are held."""
        return sum(1 for _ in self.graph.swept()) - len(self.garbage)

    def paths(self, node: Node) -> tuple[Path, ...]:
        """Return for each root that holds a node one shortest path, the shortest first."""
        found = []
        # Backward from the node, breadth first: `onward` is the next step on a shortest path.
        start = [one for one in dict.fromkeys((node.whole, node.flat)) if one in self.mark.seen]
        onward: dict[Node, Step | None] = dict.fromkeys(start)
        layer = start
        while layer:
            before = []
            for reached in layer:
                if reached in self._roots:
                    found.append(self._path(reached, onward))
                for source, rule in self._referrers.get(reached, ()):
                    if source not in onward:
                        onward[source] = Step(reached, rule)
                        before.append(source)
            layer = before
        return tuple(found)

    def _path(self, root: Node, onward: dict[Node, Step | None]) -> Path:
        steps = [Step(root, self._roots[root])]
        following = onward[root]
        while following is not None:
            steps.append(following)
            following = onward[following.node]
        return tuple(steps)

    @cached_property
    def _roots(self) -> dict[Node, str]:
        return dict(self.graph.roots(self.now))

    @cached_property
    def _referrers(self) -> dict[Node, list[tuple[Node, str]]]:
        """Who refers to each node that was reached, and by which label or field."""
        referrers: dict[Node, list[tuple[Node, str]]] = {}
        for node in self.mark.seen:
            for edge in self.graph.references(node, self.now):
                referrers.setdefault(edge.target, []).append((node, edge.rule))
        for sources in referrers.values():
            sources.sort()  # sets have no order, and the same question must get the same answer
        return referrers
