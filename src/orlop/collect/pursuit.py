"""The pursuit: a graph and a mark that follow what others write meanwhile.

The graph is read in many short transactions, so that no old version of the database is kept
for long. What updates touch is read again: after the last catch-up, with updates held, the
graph is that of the newest version. The mark is extended by what has become reachable; it
never shrinks. What was touched since it began counts as held until the next collection, with
all that it refers to: a record that was made anew, or changed, is not what the mark has seen.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from orlop.collect.graph import Graph
from orlop.collect.mark import Mark
from orlop.collect.reading import read_again, read_beside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from orlop.collect.facts import Facts
    from orlop.collect.node import Node
    from orlop.collect.reports import Listener, Reports
    from orlop.collect.resources import Collection
    from orlop.collect.rules import RuleBook
    from orlop.kv import Path
    from orlop.stores.scope import Transactor

_ROUNDS: Final = 5
_FEW_TOUCHED: Final = 64


class Pursuit:
    """A graph in pursuit of the newest version, with the mark of one collection.

    Attributes:
        graph: what the records say, as of the last catch-up.
        now: the moment for which it is marked.
    """

    def __init__(self, transactor: Transactor, reports: Reports, book: RuleBook) -> None:
        self.graph = Graph()
        self.now = transactor.clock.now()
        self._mark = Mark(self._references)
        self._is_marked = False
        self._transactor = transactor
        self._reports = reports
        self._book = book
        self._listener: Listener | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Be told of what updates touch while the block runs; all else belongs inside."""
        with self._reports.listening() as self._listener:
            yield

    def begin(self) -> None:
        """Read the graph, mark it for the present, and come close to the newest version."""
        for facts in read_beside(self._transactor, self._book):
            self.graph.add(facts)
        self._come_close()
        self.now = self._transactor.clock.now()
        self._mark.reach(root.node for root in self.graph.roots(self.now))
        self._is_marked = True
        self._come_close()

    def holds(self, node: Node) -> bool:
        """Tell whether the mark has reached a node."""
        return node.whole in self._mark.reachable

    def catch_up(self) -> None:
        """Read again what was touched, and extend the mark."""
        touched = self._take()
        if touched:
            self._follow(self._read_again(touched), hold=True)

    def add_collections(
        self, collections: Mapping[str, Collection], namespaces: Iterable[str]
    ) -> None:
        """Add what other resources say, and extend the mark."""
        self._extend(self.graph.add_collections(collections, namespaces))

    def follow_sweep(self, garbage: Iterable[Node]) -> None:
        """Take over that garbage was removed, before any other update."""
        touched = self._read_again(self._take())
        self._follow({**touched, **dict.fromkeys(garbage)}, hold=False)

    def _references(self, node: Node) -> Iterator[Node]:
        return (edge.target for edge in self.graph.references(node, self.now))

    def _come_close(self) -> None:
        """Catch up while updates go on, until little is left for when they wait."""
        for _ in range(_ROUNDS):
            touched = self._take()
            self._follow(self._read_again(touched), hold=True)
            if len(touched) <= _FEW_TOUCHED:
                break

    def _take(self) -> set[Path]:
        return set() if self._listener is None else self._listener.take()

    def _read_again(self, touched: set[Path]) -> dict[Node, Facts | None]:
        if not touched:
            return {}
        return self._transactor.read(
            lambda transaction: read_again(transaction, self._book, touched, self.graph)
        )

    def _follow(self, changed: Mapping[Node, Facts | None], *, hold: bool) -> None:
        affected: set[Node] = set()
        for node, facts in changed.items():
            affected |= self.graph.replace(node, facts)
        if not self._is_marked:
            return
        if hold:
            self._mark.reach(node for node, facts in changed.items() if facts is not None)
        self._extend(affected)

    def _extend(self, affected: Iterable[Node]) -> None:
        """Mark what has become reachable through nodes that may refer to more than before."""
        nodes = list(affected)
        self._mark.reach(node for node in nodes if self.graph.is_root(node, self.now))
        self._mark.expand(node.flat for node in nodes)
        self._mark.expand(nodes)
