"""Why a collection removes what it removes, from the graph that it has: for the journal.

`reasons` says the same with more words to whoever asks before, from all that records say. This
must be found out before anything is removed: with a piece of the sweep go the references in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.gc.explain.reasons import NOTHING
from orlop.gc.journal import REMOVED, Entry
from orlop.gc.node import IMAGE, INGEST, LEASE
from orlop.schema.codec.timestamps import format_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from whenever import Instant

    from orlop.gc.graph import Graph
    from orlop.gc.node import Node


class Causes:
    """For each node that goes the one that tells most about it, by number."""

    def __init__(
        self,
        graph: Graph,
        garbage: Iterable[int],
        now: Instant,
        has_reached: Callable[[int], bool],
    ) -> None:
        """Find them.

        Args:
            graph: what refers to what, before anything is removed.
            garbage: the numbers of what goes.
            now: the moment for which the graph was marked.
            has_reached: tells what is held.
        """
        self._graph = graph
        self._has_reached = has_reached
        self._sources: dict[int, int] = {}
        self._unmet: set[int] = set()
        self._expired = {
            number: expires_at
            for number, expires_at in graph.expiries()
            if graph.has_expired(number, now)
        }
        self._find_time()
        for number in garbage:
            if number not in self._sources:
                source = next(graph.referrers(number, now, is_flat=False), None)
                if source is not None:
                    self._sources[number] = source[0]

    def _find_time(self) -> None:
        """Find what a lease held until it expired, and what a condition does not hold now."""
        for number in self._expired:
            if self._graph.node(number).type == LEASE:
                for target in self._graph.mentioned(number):
                    self._sources.setdefault(target, number)
        for number in self._graph.conditional():
            if self._has_reached(number):
                targets = set(self._graph.mentioned(number)).difference(self._sources)
                self._unmet |= targets
                self._sources.update(dict.fromkeys(targets, number))

    def entries(self, nodes: Iterable[Node], at: Instant) -> Iterator[Entry]:
        """Iterate over what the journal is to say of nodes that go now."""
        for node in nodes:
            number = self._graph.find(node)
            yield Entry(
                at=at,
                event=REMOVED,
                type=node.type,
                namespace=node.namespace,
                key=node.key,
                reason=NOTHING if number is None else self.reason(number),
            )

    def reason(self, number: int) -> str:
        """Say why a node goes."""
        node = self._graph.node(number)
        if number in self._expired:
            own = f"it expired at {format_rfc3339(self._expired[number])}"
            return f"{own}, and {self._blamed(number)}" if node.type == IMAGE else own
        if number not in self._sources and node.type == INGEST:
            return "it has no expiry of its own, and no lease holds it"
        return self._blamed(number)

    def _blamed(self, number: int) -> str:
        if number not in self._sources:
            return NOTHING
        source = self._sources[number]
        node = self._graph.node(source)
        name = f"{node.type} {node.key}"
        if source in self._expired and node.type == LEASE:
            at = format_rfc3339(self._expired[source])
            return f'{LEASE} "{node.key}", which held it, expired at {at}'
        if number in self._unmet:
            return f"the condition under which {name} refers to it does not hold"
        if self._has_reached(source):
            return f"{name} refers to it, but is itself held flat"
        return f"only what goes too refers to it: {name}"
