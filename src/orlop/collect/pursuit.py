"""The pursuit: a graph and a mark that follow what others write meanwhile.

The graph is read in many short transactions, so that no old version of the database is kept
for long. What updates touch is read again: after the last catch-up, with updates held, the
graph is that of the newest version. The mark is extended by what has become reachable; it
never shrinks. What was touched since it began counts as held until the next collection, with
all that it refers to: a record that was made anew, or changed, is not what the mark has seen.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from orlop.collect.colors import Colors
from orlop.collect.compact import CompactGraph
from orlop.collect.reading import read_again, read_beside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from orlop.collect.domain import Domain
    from orlop.collect.facts import Facts
    from orlop.collect.node import Node
    from orlop.collect.reports import Listener
    from orlop.collect.resources import Collection
    from orlop.collect.rules import RuleBook

_ROUNDS: Final = 5
_FEW_TOUCHED: Final = 64
_BREATH_SECONDS: Final = 0.0005


class Pursuit:
    """A graph in pursuit of the newest version, with the mark of one collection.

    Attributes:
        graph: what the records refer to, as of the last catch-up.
    """

    def __init__(self, domain: Domain, book: RuleBook) -> None:
        self.graph = CompactGraph()
        self._domain = domain
        self._book = book
        self._listener: Listener | None = None
        self._colors: Colors | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Be told of what updates touch while the block runs; all else belongs inside."""
        with self._domain.reports.listening() as self._listener:
            yield

    def begin(self) -> None:
        """Read the graph, mark it for the present, and come close to the newest version."""
        for facts in read_beside(self._domain.transactor, self._book, self.breathe):
            self.graph.add(facts)
        self._come_close()
        now = self._domain.transactor.clock.now()
        self._colors = Colors(self.graph, now, self.breathe)
        self._colors.reach(self.graph.roots(now))
        self._come_close()

    def breathe(self) -> None:
        """Let updates go first that are at work: Python runs one thread at a time."""
        if self._domain.gate.is_shared:
            time.sleep(_BREATH_SECONDS)

    def holds(self, node: Node) -> bool:
        """Tell whether the mark has reached a node."""
        number = self.graph.find(node)
        return number is not None and self.has_reached(number)

    def has_reached(self, number: int) -> bool:
        """Tell whether the mark has reached the node of a number."""
        return self._colors is not None and number in self._colors

    def catch_up(self) -> None:
        """Read again what was touched, and extend the mark."""
        self._follow(self._read_again(), hold=True)

    def add_collections(
        self, collections: Mapping[str, Collection], namespaces: Iterable[str]
    ) -> None:
        """Add what other resources say, and extend the mark."""
        self._extend(self.graph.add_collections(collections, namespaces))

    def follow_sweep(self, garbage: Iterable[Node]) -> None:
        """Take over that garbage was removed, before any other update."""
        self._follow({**self._read_again(), **dict.fromkeys(garbage)}, hold=False)

    def _come_close(self) -> None:
        """Catch up while updates go on, until little is left for when they wait."""
        for _ in range(_ROUNDS):
            touched = self._read_again()
            self._follow(touched, hold=True)
            if len(touched) <= _FEW_TOUCHED:
                break

    def _read_again(self) -> dict[Node, Facts | None]:
        touched = set() if self._listener is None else self._listener.take()
        if not touched:
            return {}
        return self._domain.transactor.read(
            lambda transaction: read_again(transaction, self._book, touched, self.graph)
        )

    def _follow(self, changed: Mapping[Node, Facts | None], *, hold: bool) -> None:
        affected: set[int] = set()
        for node, facts in changed.items():
            affected |= self.graph.replace(node, facts)
        if self._colors is None:
            return
        if hold:
            numbers = (self.graph.find(node) for node, facts in changed.items() if facts)
            self._colors.reach(number for number in numbers if number is not None)
        self._extend(affected)

    def _extend(self, affected: Iterable[int]) -> None:
        """Mark what has become reachable through nodes that may refer to more than before."""
        if self._colors is None:
            return
        numbers, now = list(affected), self._colors.now
        self._colors.reach(number for number in numbers if self.graph.is_root(number, now))
        self._colors.expand(numbers)
