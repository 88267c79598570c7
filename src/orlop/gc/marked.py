"""A marked graph: the nodes that are held at one moment, the garbage, and the reasons."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

from orlop.gc.explain.paths import paths
from orlop.gc.fast_load import load_version
from orlop.gc.graph import Graph
from orlop.gc.mark import Mark
from orlop.gc.rules import RuleBook
from orlop.gc.scan import in_use
from orlop.schema import namespaces

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from whenever import Instant

    from orlop.gc.context import CollectionContext
    from orlop.gc.explain.paths import HoldingPath
    from orlop.gc.node import Node
    from orlop.gc.omissions import Omissions
    from orlop.gc.resources import CheckedSession
    from orlop.kv import Transaction


@dataclass(frozen=True)
class Marked:
    """A graph with its mark.

    Attributes:
        graph: the references of the records.
        mark: the nodes that can be reached.
    """

    graph: Graph
    mark: Mark

    @property
    def now(self) -> Instant:
        """The moment for which it was marked."""
        return self.mark.now

    def holds(self, node: Node) -> bool:
        """Whether a node is reachable, whole or flat."""
        node_id = self.graph.find(node)
        return node_id is not None and node_id in self.mark

    @cached_property
    def garbage(self) -> list[Node]:
        """The unreachable records, in the order of a sweep."""
        return [self.graph.node(node_id) for node_id in self.garbage_ids]

    @cached_property
    def garbage_ids(self) -> list[int]:
        """The ids of the unreachable records, in the order of a sweep."""
        unreached = (one for one in self.graph.swept_ids() if one not in self.mark)
        return self.graph.in_scan_order(unreached)

    @property
    def kept(self) -> int:
        """The number of collectable records that are reachable."""
        return self.graph.swept_count - len(self.garbage_ids)

    def paths(self, node: Node, limit: int | None = None) -> tuple[HoldingPath, ...]:
        """Return the paths that keep a node, the shortest first.

        For each root that holds it, and each label or field that refers to it, that is one
        shortest path; the path up to what refers to it does not go through the node. Where
        none of these last edges is left, the next collection takes it.

        Args:
            node: the node; whether it is flat does not matter.
            limit: how many paths to return at most; `None`: all.
        """
        return tuple(sorted(islice(paths(self.graph, self.mark, node), limit), key=len))

    @cached_property
    def roots(self) -> dict[Node, str]:
        """The root nodes, with the type or the first label that makes each a root."""
        graph = self.graph
        found = graph.in_scan_order(graph.roots(self.now))
        return {graph.node(node_id): graph.root_rules(node_id)[0] for node_id in found}


def mark_in(
    context: CollectionContext,
    transaction: Transaction,
    sessions: Mapping[str, CheckedSession],
    now: Instant,
    without: Omissions | None = None,
) -> Marked:
    """Return the graph of the version of a transaction, marked for `now`.

    Args:
        context: the database.
        transaction: the version to read.
        sessions: the part of each other kind of resource, by type.
        now: the moment.
        without: what to leave out; `None`: nothing.

    Raises:
        NotFoundError: something that is to be left out is not there.
        ResourceError: a plug-in failed.
    """
    labels = [(kind, context.resources[kind].reference_label) for kind in sessions]
    book = RuleBook(labels, context.transactor.clock.lasting)
    graph = Graph()
    load_version(graph, transaction, book)
    if without is not None:
        without.leave_out(graph, transaction, book)
    graph.kept = _present(graph, in_use(context.transactor))
    graph.add_sessions(sessions, namespaces.all_names(transaction))
    marking = Mark(graph, now, _no_writers)
    marking.reach(graph.roots(now))
    # Plug-ins cannot be asked later.
    marking.reach_resources(sessions)
    return Marked(graph, marking)


def mark(
    context: CollectionContext, sessions: Mapping[str, CheckedSession], now: Instant
) -> Marked:
    """Return the graph of the newest version, marked for `now`.

    Raises:
        ResourceError: a plug-in failed.
    """
    return context.transactor.read(lambda transaction: mark_in(context, transaction, sessions, now))


def _present(graph: Graph, nodes: Iterable[Node]) -> set[int]:
    found = map(graph.find, nodes)
    return {node_id for node_id in found if node_id is not None}


def _no_writers() -> None:
    """Do not yield: this mark is made of one version, without the shared lock."""
