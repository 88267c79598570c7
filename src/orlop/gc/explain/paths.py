"""The paths by which roots hold a node: for each root and each last edge one shortest path.

A last edge is what refers to the node: the label or field of one record. Only such count as
are reached without the node itself, so that the last edges of all paths together are all that
holds it: without them the next collection would take it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from orlop.gc.node import IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from whenever import Instant

    from orlop.gc.facts_graph import FactsGraph, FactsMark
    from orlop.gc.node import Node


class Step(NamedTuple):
    """A node on a path, and how it is reached.

    Attributes:
        node: the node; flat where it is held so.
        edge: the label or field of the node before it, or for a root the type or label that
            makes it one. Where the node before it is named by a back reference, it is the
            label of the node itself.
    """

    node: Node
    edge: str


Path: TypeAlias = "tuple[Step, ...]"
"""How a root holds a node: the root first, the node last."""

Referrers: TypeAlias = "Mapping[Node, list[tuple[Node, str]]]"
"""Who refers to each node that was reached, and by which label or field."""


class MarkedGraph(Protocol):
    """A graph that was marked for one moment; see `orlop.gc.marked.Marked`."""

    @property
    def graph(self) -> FactsGraph:
        """What the records say."""

    @property
    def now(self) -> Instant:
        """For when it was marked."""

    @property
    def mark(self) -> FactsMark:
        """What can be reached from the roots."""

    @property
    def roots(self) -> Mapping[Node, str]:
        """The nodes that hold themselves, and the type or label that says so."""

    @property
    def referrers(self) -> Referrers:
        """The records that refer to each node, and the label or field of each that does."""


class _LastEdge(NamedTuple):
    """One label or field that refers to the node.

    Attributes:
        rule: that label or field.
        sources: the record that refers to it, as it was reached (flat and whole are two), each
            with the form in which it holds the node.
    """

    rule: str
    sources: dict[Node, Node]


def referrers(marked: MarkedGraph) -> Referrers:
    """Return who refers to each node that was reached."""
    found: dict[Node, list[tuple[Node, str]]] = {}
    for node in marked.mark.seen:
        for edge in marked.graph.references(node, marked.now):
            found.setdefault(edge.target, []).append((node, edge.rule))
    for facts in marked.graph.all_facts():
        # An image that is a root needs no back reference, and the graph has none for it. But
        # once it expires, that is what goes on holding it.
        if facts.node.type == IMAGE and facts.parents and not facts.has_expired(marked.now):
            for parent in facts.parents:
                if parent.target in marked.mark.seen:
                    found.setdefault(facts.node, []).append((parent.target, parent.rule))
    for sources in found.values():
        sources.sort()  # sets have no order, and the same question must get the same answer
    return found


def paths(marked: MarkedGraph, node: Node) -> Iterator[Path]:
    """Iterate over the paths to a node, in no order that matters."""
    facts = marked.graph.facts(node)
    if node.whole in marked.roots and facts is not None:
        for rule in (facts.root, *facts.other_roots):
            yield (Step(node.whole, rule),)
    last_edges = _last_edges(marked, node)
    cone = _Cone(marked, node, [one for last in last_edges for one in last.sources])
    # There are as many paths as roots times last edges, at most. One search for each of the
    # smaller number finds them all.
    if len(last_edges) <= len(cone.roots):
        for last in last_edges:
            yield from cone.backward(last)
    else:
        for root in cone.roots:
            yield from cone.forward(root, last_edges)


def _last_edges(marked: MarkedGraph, node: Node) -> list[_LastEdge]:
    found: dict[tuple[Node, str], dict[Node, Node]] = {}
    for form in dict.fromkeys((node.whole, node.flat)):
        for source, rule in marked.referrers.get(form, ()):
            if source.whole != node.whole:
                found.setdefault((source.whole, rule), {}).setdefault(source, form)
    return [_LastEdge(rule, sources) for (_, rule), sources in found.items()]


class _Cone:
    """All that leads to a node without going through it."""

    def __init__(self, marked: MarkedGraph, node: Node, sources: Iterable[Node]) -> None:
        self._marked = marked
        self._node = node.whole
        members = dict.fromkeys(sources)
        pending = list(members)
        for member in pending:
            for source, _ in self._before(member):
                if source not in members:
                    members[source] = None
                    pending.append(source)
        self.roots = [one for one in members if one in marked.roots]
        self._members = members
        self._onward: dict[Node, list[Step]] = {}

    def backward(self, last: _LastEdge) -> Iterator[Path]:
        """Iterate over the shortest paths that end with an edge, one for each root."""
        onward: dict[Node, Step] = {
            source: Step(form, last.rule) for source, form in last.sources.items()
        }
        pending = list(onward)
        for reached in pending:
            if reached in self._marked.roots:
                yield tuple(self._from(reached, onward))
            for source, rule in self._before(reached):
                if source not in onward:
                    onward[source] = Step(reached, rule)
                    pending.append(source)

    def forward(self, root: Node, last_edges: Iterable[_LastEdge]) -> Iterator[Path]:
        """Iterate over the shortest paths that begin with a root, one for each last edge."""
        if not self._onward:
            for member in self._members:
                for source, rule in self._before(member):
                    self._onward.setdefault(source, []).append(Step(member, rule))
        depths = {root: 0}
        came: dict[Node, tuple[Node, str]] = {}
        pending = [root]
        for reached in pending:
            for step in self._onward.get(reached, ()):
                if step.node not in depths:
                    depths[step.node] = depths[reached] + 1
                    came[step.node] = (reached, step.edge)
                    pending.append(step.node)
        for last in last_edges:
            ends = [one for one in last.sources if one in depths]
            if ends:
                end = min(ends, key=depths.__getitem__)
                yield (*self._to(end, came), Step(last.sources[end], last.rule))

    def _before(self, node: Node) -> Iterator[tuple[Node, str]]:
        for source, rule in self._marked.referrers.get(node, ()):
            if source.whole != self._node:
                yield source, rule

    def _from(self, root: Node, onward: Mapping[Node, Step]) -> Iterator[Step]:
        step = Step(root, self._marked.roots[root])
        yield step
        while step.node in onward:
            step = onward[step.node]
            yield step

    def _to(self, node: Node, came: Mapping[Node, tuple[Node, str]]) -> list[Step]:
        steps = []
        while node in came:
            source, rule = came[node]
            steps.append(Step(node, rule))
            node = source
        steps.append(Step(node, self._marked.roots[node]))
        return steps[::-1]
