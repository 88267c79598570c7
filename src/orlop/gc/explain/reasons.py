"""Reasons: why nodes are held or not, in words.

Plans, the journal and `explain` give the same reason for the same record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.gc.explain.links import Standing, links_to, standing
from orlop.gc.explain.paths import Step
from orlop.gc.graph import BACK
from orlop.gc.journal import REMOVED, Entry
from orlop.gc.node import IMAGE, INGEST, LEASE
from orlop.gc.rules import FIELD_RULES, ROOTS_BY_TYPE
from orlop.schema.codec.timestamps import format_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from whenever import Instant

    from orlop.gc.explain.links import Link
    from orlop.gc.explain.paths import HoldingPath
    from orlop.gc.graph import Graph
    from orlop.gc.mark import Mark
    from orlop.gc.marked import Marked
    from orlop.gc.node import Node

_NOTHING: Final = "nothing refers to it"
_UNLEASED: Final = "it has no expiry of its own, and no lease holds it"

_FOLLOWED_FLAT: Final = frozenset(rule.name for rule in FIELD_RULES if rule.follows_flat)

_MOST_TELLING_FIRST: Final = (
    Standing.EXPIRED,
    Standing.UNMET,
    Standing.FLAT,
    Standing.UNREACHABLE,
    Standing.HOLDS,
)
_RANKS: Final = {standing: rank for rank, standing in enumerate(_MOST_TELLING_FIRST)}


class _Blame(NamedTuple):
    """The reference that tells most about why a node goes.

    Attributes:
        source: the node that refers to it.
        rule: by which label or field, by number.
        standing: why that does not hold it.
    """

    source: int
    rule: int
    standing: Standing


class Reasons:
    """Why nodes are not held.

    What refers to them is looked up at once: in a sweep that goes before them.
    """

    def __init__(self, graph: Graph, mark: Mark, node_ids: Iterable[int]) -> None:
        """Find the reasons.

        Args:
            graph: the references, before anything is removed.
            mark: what is held.
            node_ids: nodes that are not.
        """
        self._graph = graph
        self._now = mark.now
        self._blames: dict[int, _Blame] = {}
        for node_id in node_ids:
            blame = _most_telling(graph, mark, node_id)
            if blame is not None:
                self._blames[node_id] = blame

    def entries(self, nodes: Iterable[Node], at: Instant) -> Iterator[Entry]:
        """Iterate over the journal entries of nodes that a collection removes now."""
        for node in nodes:
            node_id = self._graph.find(node)
            yield Entry(
                at=at,
                event=REMOVED,
                type=node.type,
                namespace=node.namespace,
                key=node.key,
                reason=_NOTHING if node_id is None else self.of(node_id),
            )

    def of(self, node_id: int) -> str:
        """Return why a node is not held."""
        graph, blame = self._graph, self._blames.get(node_id)
        kind = graph.ids.type_of(node_id)
        if graph.has_expired(node_id, self._now):
            expired = f"it {_expired(graph, node_id)}"
            return f"{expired}, and {self._blamed(blame)}" if kind == IMAGE else expired
        if blame is None:
            parents = graph.parents(node_id)
            if parents:
                bound = ", ".join(_named(graph.node(parent)) for parent in parents)
                return f"nothing holds what it is bound to: {bound}"
            if kind == INGEST:
                return _UNLEASED
        return self._blamed(blame)

    def _blamed(self, blame: _Blame | None) -> str:
        """Return why the best reference to a node does not hold it."""
        if blame is None:
            return _NOTHING
        node = self._graph.node(blame.source)
        source = _named(node)
        if blame.standing is Standing.EXPIRED:
            expired = _expired(self._graph, blame.source)
            return f'{LEASE} "{node.key}", which held it, {expired}'
        if blame.standing is Standing.UNMET:
            label = self._graph.rule(blame.rule)
            return f"the condition under which {source} refers to it does not hold ({label})"
        if blame.standing is Standing.FLAT:
            return f"{source} refers to it, but is itself held flat"
        return f"only what goes too refers to it: {source}"


def reason_of(marked: Marked, node: Node) -> str:
    """Return why a node is not held."""
    node_id = marked.graph.find(node)
    if node_id is None:
        return _NOTHING
    return Reasons(marked.graph, marked.mark, (node_id,)).of(node_id)


def _most_telling(graph: Graph, mark: Mark, node_id: int) -> _Blame | None:
    """Return the reference that best explains why a node goes; `None`: there is none."""
    best: list[_Blame] = []
    best_rank = len(_RANKS)
    for mention in graph.mentions(node_id, mark.now):
        source = mention.source
        if mention.origin == BACK or source == node_id or not graph.exists(source):
            continue
        found = standing(graph, mark, mention)
        rank = _RANKS[found]
        if rank < best_rank:
            best, best_rank = [], rank
        if rank == best_rank:
            best.append(_Blame(source, mention.rule, found))
    if len(best) == 1:
        return best[0]
    # Ids depend on what was read first; a plan and a run must blame the same.
    return min(
        best,
        key=lambda one: (graph.ids.scan_order(one.source), graph.rule(one.rule)),
        default=None,
    )


class BrokenPath(NamedTuple):
    """A path by which a node would be held, and the fault that keeps it from that.

    Attributes:
        path: from the possible root, or from the broken step, to the node.
        reason: why its first step is not valid.
    """

    path: HoldingPath
    reason: str


def broken_paths(marked: Marked, node: Node) -> tuple[BrokenPath, ...]:
    """Return how a node that is not held would be: one shortest path for each cause."""
    onward: dict[Node, Step | None] = {node.whole: None}
    pending = [node.whole]
    found = []
    for reached in pending:
        incoming = [one for one in links_to(marked, (reached,)) if one.source != one.target]
        for link in sorted(incoming, key=lambda one: one[:3]):
            step = Step(reached, link.edge)
            if link.standing is Standing.UNREACHABLE:
                if link.source not in onward:
                    onward[link.source] = step
                    pending.append(link.source)
            else:
                steps = tuple(_steps(step, onward))
                if not link.is_flat or all(one.edge in _FOLLOWED_FLAT for one in steps[1:]):
                    path = (Step(link.source, ""), *steps)
                    found.append(BrokenPath(path, _said_of_source(marked, link)))
        own = _own_fault(marked.graph, marked.mark, reached)
        if own or (reached != node.whole and not incoming):
            path = tuple(_steps(Step(reached, ""), onward))
            found.append(BrokenPath(path, own or _NOTHING))
    return tuple(found)


def describe(node: Node, paths: Iterable[HoldingPath]) -> str:
    """Return the paths that hold a node as text, one line for each."""
    return "\n".join([f"{node} is held:", *(f"  {describe_path(path)}" for path in paths)])


def describe_path(path: HoldingPath) -> str:
    """Return a path as one line of text, from its root to its end."""
    root, *steps = path
    words = ROOTS_BY_TYPE.get(root.edge, f"a root by {root.edge}") if root.edge else ""
    held = "".join(f" --{step.edge}--> {_brief(step.node)}" for step in steps)
    return f"{_brief(root.node)}{f' ({words})' if words else ''}{held}"


def _brief(node: Node) -> str:
    return f"{node.type} {node.key}{' (flat)' if node.is_flat else ''}"


def _steps(step: Step, onward: Mapping[Node, Step | None]) -> Iterator[Step]:
    following: Step | None = step
    while following is not None:
        yield following
        following = onward[following.node]


def _own_fault(graph: Graph, mark: Mark, node: Node) -> str:
    """Return why a node is no root; empty where it never is one by itself."""
    node_id = graph.find(node)
    if node_id is None or not graph.exists(node_id):
        return "it does not exist"
    is_root = bool(graph.root_rules(node_id))
    if is_root and graph.has_expired(node_id, mark.now):
        return f"it {_expired(graph, node_id)}"
    return _UNLEASED if node.type == INGEST and not is_root else ""


def _said_of_source(marked: Marked, link: Link) -> str:
    source = marked.graph.find(link.source)
    if link.standing is Standing.EXPIRED and source is not None:
        return f"it {_expired(marked.graph, source)}"
    if link.standing is Standing.UNMET:
        return f"its condition does not hold ({link.edge})"
    return "it is itself held flat, without what it refers to"


def _expired(graph: Graph, node_id: int) -> str:
    expires_at = graph.expires_at(node_id)
    return "expired" if expires_at is None else f"expired at {format_rfc3339(expires_at)}"


def _named(node: Node) -> str:
    return f"{node.type} {node.key}"
