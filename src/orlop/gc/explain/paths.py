"""The paths by which roots hold a node: for each root and each last edge one shortest path.

A last edge is what refers to the node: the label or field of one record. Only such count as
are reached without the node itself, so that the last edges of all paths together are all that
holds it: without them the next collection would take it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from orlop.gc.graph import Graph
    from orlop.gc.mark import Mark
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


HoldingPath: TypeAlias = "tuple[Step, ...]"
"""A path from a root to a node: the root first, the node last."""


class _Hop(NamedTuple):
    """A step in numbers: a state of the graph, and the rule by which it is reached."""

    state: int
    rule: int


class _LastEdge(NamedTuple):
    """One label or field that refers to the node.

    Attributes:
        rule: that label or field, by number.
        sources: the record that refers to it, as it was reached (flat and whole are two), each
            with the form in which it holds the node.
    """

    rule: int
    sources: dict[int, int]


def paths(graph: Graph, mark: Mark, node: Node) -> Iterator[HoldingPath]:
    """Iterate over the paths to a node, in no order that matters."""
    node_id = graph.find(node)
    if node_id is None:
        return
    if graph.is_root(node_id, mark.now):
        for rule in graph.root_rules(node_id):
            yield (Step(node.whole, rule),)
    cone = _Cone(graph, mark, node_id)
    # There are as many paths as roots times last edges, at most. One search for each of the
    # smaller number finds them all.
    if len(cone.last_edges) <= len(cone.roots):
        for last in cone.last_edges:
            yield from cone.backward(last)
    else:
        for root in cone.roots:
            yield from cone.forward(root)


class _Cone:
    """All that leads to a node without going through it.

    Attributes:
        last_edges: the labels and fields that refer to the node.
        roots: the roots from which it can be reached, as states.
    """

    def __init__(self, graph: Graph, mark: Mark, node_id: int) -> None:
        self._graph = graph
        self._mark = mark
        self._node_id = node_id
        self.last_edges = self._find_last_edges()
        members = dict.fromkeys(one for last in self.last_edges for one in last.sources)
        pending = list(members)
        for member in pending:
            for source, _ in self._before(member):
                if source not in members:
                    members[source] = None
                    pending.append(source)
        self.roots = [one for one in members if self._is_root(one)]
        self._members = members
        self._onward: dict[int, list[_Hop]] = {}

    def _find_last_edges(self) -> list[_LastEdge]:
        found: dict[tuple[int, int], dict[int, int]] = {}
        for form in (self._node_id << 1, self._node_id << 1 | 1):
            for source, rule in self._before(form):
                # The same label may hold the node flat and whole: that is one last edge.
                found.setdefault((source >> 1, rule), {}).setdefault(source, form)
        return [_LastEdge(rule, sources) for (_, rule), sources in found.items()]

    def backward(self, last: _LastEdge) -> Iterator[HoldingPath]:
        """Iterate over the shortest paths that end with an edge, one for each root."""
        onward = {source: _Hop(form, last.rule) for source, form in last.sources.items()}
        pending = list(onward)
        for reached in pending:
            if self._is_root(reached):
                yield tuple(self._from(reached, onward))
            for source, rule in self._before(reached):
                if source not in onward:
                    onward[source] = _Hop(reached, rule)
                    pending.append(source)

    def forward(self, root: int) -> Iterator[HoldingPath]:
        """Iterate over the shortest paths that begin with a root, one for each last edge."""
        if not self._onward:
            for member in self._members:
                for source, rule in self._before(member):
                    self._onward.setdefault(source, []).append(_Hop(member, rule))
        depths = {root: 0}
        came: dict[int, _Hop] = {}
        pending = [root]
        for reached in pending:
            for state, rule in self._onward.get(reached, ()):
                if state not in depths:
                    depths[state] = depths[reached] + 1
                    came[state] = _Hop(reached, rule)
                    pending.append(state)
        for last in self.last_edges:
            ends = [one for one in last.sources if one in depths]
            if ends:
                end = min(ends, key=depths.__getitem__)
                yield (*self._to(end, came), self._step(_Hop(last.sources[end], last.rule)))

    def _before(self, state: int) -> list[tuple[int, int]]:
        """Return the reached states that refer to a state, but for those of the node itself."""
        found = [
            (source, rule)
            for source, rule in self._graph.referrers(state, self._mark.now)
            if source >> 1 != self._node_id and self._mark.has(source)
        ]
        if len(found) > 1:
            # Ids depend on what was read first, and the same question must get the same answer.
            found.sort(key=lambda one: (self._graph.node_of(one[0]), self._graph.rule(one[1])))
        return found

    def _is_root(self, state: int) -> bool:
        return not state & 1 and self._graph.is_root(state >> 1, self._mark.now)

    def _from(self, root: int, onward: Mapping[int, _Hop]) -> Iterable[Step]:
        yield self._root_step(root)
        state = root
        while state in onward:
            hop = onward[state]
            yield self._step(hop)
            state = hop.state

    def _to(self, state: int, came: Mapping[int, _Hop]) -> list[Step]:
        steps = []
        while state in came:
            source, rule = came[state]
            steps.append(self._step(_Hop(state, rule)))
            state = source
        steps.append(self._root_step(state))
        return steps[::-1]

    def _step(self, hop: _Hop) -> Step:
        return Step(self._graph.node_of(hop.state), self._graph.rule(hop.rule))

    def _root_step(self, root: int) -> Step:
        return Step(self._graph.node_of(root), self._graph.root_rules(root >> 1)[0])
