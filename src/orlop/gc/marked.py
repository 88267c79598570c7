"""A graph that was marked for one moment: what is held then, what is garbage, and why."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

from orlop.gc.explain.paths import paths, referrers
from orlop.gc.facts_graph import FactsMark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whenever import Instant

    from orlop.gc.explain.paths import Path, Referrers
    from orlop.gc.facts_graph import FactsGraph
    from orlop.gc.node import Node


@dataclass(frozen=True)
class Marked:
    """A graph, marked.

    Attributes:
        graph: what the records say.
        now: for when it was marked.
    """

    graph: FactsGraph
    now: Instant

    @cached_property
    def mark(self) -> FactsMark:
        """What can be reached from the roots."""

        def references(node: Node) -> Iterator[Node]:
            return (edge.target for edge in self.graph.references(node, self.now))

        mark = FactsMark(references)
        mark.reach(self.roots)
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

    def paths(self, node: Node, limit: int | None = None) -> tuple[Path, ...]:
        """Return how a node is held, the shortest path first.

        For each root that holds it, and each label or field that refers to it, that is one
        shortest path; the path up to what refers to it does not go through the node. Where
        none of these last edges is left, the next collection takes it.

        Args:
            node: the node; whether it is flat does not matter.
            limit: how many paths to return at most; `None`: all.
        """
        return tuple(sorted(islice(paths(self, node), limit), key=len))

    @cached_property
    def roots(self) -> dict[Node, str]:
        """The nodes that hold themselves, and the type or label that says so."""
        return dict(self.graph.roots(self.now))

    @cached_property
    def referrers(self) -> Referrers:
        """Who refers to each node that was reached, and by which label or field."""
        return referrers(self)
