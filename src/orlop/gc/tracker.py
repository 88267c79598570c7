"""The tracker: a graph and a mark that follow the changes of writers.

The graph is read in many short transactions, so that no old version of the database is kept
for long. Records that updates touch are read again: after the last catch-up, with updates
blocked, the graph is that of the newest version. The mark is extended by newly reachable nodes;
while a collection runs it never shrinks. A record touched since the collection began counts as
reachable until the next one, with all its references: it may be a new record of the same name,
which the mark has not seen.

Between collections graph and mark are kept. The next one reads only touched records again, and
checks the nodes that these changes, or an expiry, may have made unreachable.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from orlop.errors import InternalError, UnavailableError
from orlop.gc.change_feed import MissedChangeError
from orlop.gc.explain.reasons import Reasons
from orlop.gc.fast_load import load_beside_writers
from orlop.gc.graph import Graph
from orlop.gc.mark import Mark, OverBudgetError, unmark_unreachable
from orlop.gc.next_expiry import next_expiry
from orlop.gc.scan import in_use, read_all, read_touched
from orlop.schema import namespaces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from whenever import Instant

    from orlop.gc.context import CollectionContext
    from orlop.gc.facts import Facts
    from orlop.gc.node import Node
    from orlop.gc.resources import CheckedSession
    from orlop.gc.rules import RuleBook
    from orlop.kv import Path

_ROUNDS: Final = 5
_FEW_TOUCHED: Final = 64
_YIELD_SECONDS: Final = 0.0005
_NODES_AT_ONCE: Final = 2_000
_STEPS_AT_ONCE: Final = 32
_NAMES_MIN: Final = 200_000
_BUDGET_SHARE: Final = 4
_BUDGET_MIN: Final = 1_000
_SHOWN: Final = 5


class GraphTracker:
    """A graph that follows the newest version, with the mark of one collection after another.

    Attributes:
        graph: what the records refer to, as of the last catch-up.
        is_ahead: whether a sweep has removed records from it that may not be durably gone.
    """

    def __init__(self, context: CollectionContext, book: RuleBook) -> None:
        """Begin to listen, for as long as this is kept."""
        self.graph = Graph()
        self.is_ahead = False
        self._context = context
        self._book = book
        self._listener = context.reports.listen()
        self._mark: Mark | None = None
        self._let_go: set[int] = set()
        self._steps = 0
        self._jumps = context.transactor.clock.jumps
        self._suspects: set[int] = set()

    @property
    def should_rebuild(self) -> bool:
        """Whether to begin anew is better: too much was touched, or too many names are gone."""
        graph = self.graph
        has_spare_names = len(graph) > _NAMES_MIN + _BUDGET_SHARE * graph.swept_count
        return self._listener.is_full or has_spare_names or graph.is_mostly_unused

    def begin(self) -> None:
        """Bring graph and mark to the present; the first time, read all records."""
        clock = self._context.transactor.clock
        now = clock.now()
        if self._jumps != clock.jumps:
            # Expiries were understood by the clock of then.
            self.graph, self._mark = Graph(), None
            self._jumps = clock.jumps
        if self._mark is None:
            load_beside_writers(
                self.graph, self._context.transactor, self._book, self.yield_to_writers
            )
            self.catch_up_until_close()
            self.graph.kept = self._in_use()
            self._mark_all(now)
        else:
            self._follow(self._read_again(self._take()), hold=False)
            self.graph.tidy(self.yield_to_writers)
            self._update_mark(self._mark, now)
        self.catch_up_until_close()

    def yield_to_writers(self) -> None:
        """Yield to updates that are under way: Python runs one thread at a time."""
        if self._context.gate.is_shared:
            time.sleep(_YIELD_SECONDS)

    def garbage(self) -> list[int]:
        """Return the ids of the records that were not reached and may be removed."""
        self._suspects = {
            node_id
            for node_id in self._suspects
            if self.graph.is_swept(node_id) and not self.has_reached(node_id)
        }
        return sorted(self._suspects)

    def reasons(self, garbage: Iterable[int]) -> Reasons:
        """Return why these records are deleted; to be called before the first deletion."""
        mark = self._mark
        if mark is None:
            mark = Mark(self.graph, self._context.transactor.clock.now(), self.yield_to_writers)
        return Reasons(self.graph, mark, garbage)

    def mentioned(self, node_id: int) -> Iterator[int]:
        """Iterate over the nodes that a node may refer to; yield to writers now and then."""
        self._step()
        return self.graph.mentioned(node_id)

    def still_garbage(self, node_ids: Iterable[int]) -> list[Node]:
        """Return the records among these that are there and were not reached."""
        graph = self.graph
        return [
            graph.node(node_id)
            for node_id in node_ids
            if graph.is_swept(node_id) and not self.has_reached(node_id)
        ]

    def holds(self, node: Node) -> bool:
        """Whether the mark has reached a node."""
        node_id = self.graph.find(node)
        return node_id is not None and self.has_reached(node_id)

    def has_reached(self, node_id: int) -> bool:
        """Whether the mark has reached the node with this id."""
        return self._mark is not None and node_id in self._mark

    def catch_up(self) -> int:
        """Read touched records again, and extend the mark; return how many paths were touched.

        Raises:
            UnavailableError: more was touched at once than the listener remembers.
            ResourceError: a plug-in failed.
        """
        touched = self._take()
        self._follow(self._read_again(touched), hold=True)
        begun = self._in_use() - self.graph.kept
        if begun:
            self.graph.kept |= begun
            self._extend(begun)
        return len(touched)

    def _in_use(self) -> set[int]:
        """Return the ids of the leases and ingests that this process uses."""
        found = map(self.graph.find, in_use(self._context.transactor))
        return {node_id for node_id in found if node_id is not None}

    @property
    def is_current(self) -> bool:
        """Whether every change was reported, but for updates under way, and no clock jumped."""
        has_jumped = self._jumps != self._context.transactor.clock.jumps
        return self._listener.is_complete and not has_jumped

    def require_all_seen(self) -> None:
        """Prove that nothing was changed that graph and mark do not know of.

        To be asked after a catch-up with the gate held, and once more in the writer's turn, which
        a writer past the gate may have had in between.

        Raises:
            MissedChangeError: something was: neither is to be used again.
        """
        if not self._listener.is_complete:
            raise MissedChangeError

    def nearest(self, now: Instant) -> Instant | None:
        """Return when time alone changes something next; between collections only."""
        self._follow(self._read_again(self._take()), hold=False)
        return next_expiry(self.graph, now)

    def verify(self) -> None:
        """Compare graph and mark with those of the database, while updates wait.

        Raises:
            InternalError: they differ; nothing was removed.
        """
        self.catch_up()
        self.require_all_seen()
        if self._mark is None:
            return
        fresh = Graph()
        for facts in self._context.transactor.read(lambda one: list(read_all(one, self._book))):
            fresh.add(facts)
        found = map(fresh.find, map(self.graph.node, self.graph.kept))
        fresh.kept = {node_id for node_id in found if node_id is not None}
        mark = Mark(fresh, self._mark.now, self.yield_to_writers)
        mark.reach(fresh.roots(self._mark.now))
        held = (fresh.node(node_id) for node_id in fresh.swept_ids() if node_id in mark)
        lost = [node for node in held if not self.holds(node)]
        ours = {self.graph.node(node_id) for node_id in self.graph.swept_ids()}
        different = ours.symmetric_difference(map(fresh.node, fresh.swept_ids()))
        if lost or different:
            raise InternalError(
                "the graph that the collector keeps in memory is not that of the database: "
                + ", ".join(str(node) for node in [*lost, *sorted(different)][:_SHOWN])
            )

    def add_sessions(self, sessions: Mapping[str, CheckedSession]) -> None:
        """Add the resources of other kinds, and extend the mark. The graph cannot be kept then.

        Raises:
            ResourceError: a plug-in failed.
        """
        existing = self._context.transactor.read(namespaces.all_names)
        affected = self.graph.add_sessions(sessions, existing)
        self._suspects |= affected
        self._extend(affected)
        if self._mark is not None:
            self._mark.reach_resources(sessions)

    def sweeping(self) -> AbstractContextManager[None]:
        """Do not track the changes of this thread in the block: they are those of a sweep."""
        return self._listener.deaf()

    def follow_sweep(self, removed: Iterable[Node], touched: set[Path]) -> None:
        """Apply the removals of a sweep, before any later change of writers.

        Args:
            removed: unreachable records: their deletion makes nothing else unreachable.
            touched: where else records were changed.
        """
        for node in removed:
            self.graph.replace(node, None)
        self._follow(self._read_again(touched), hold=False)

    def catch_up_until_close(self) -> None:
        """Catch up while updates continue, until little is left for the exclusive lock."""
        for _ in range(_ROUNDS):
            if self.catch_up() <= _FEW_TOUCHED:
                break

    def _mark_all(self, now: Instant) -> None:
        """Mark everything from the roots."""
        self._mark = Mark(self.graph, now, self.yield_to_writers)
        self._mark.reach(self._yielding(self.graph.roots(now)))
        unreached = self._mark.unreached()
        self._suspects = {node_id for node_id in unreached if self.graph.is_swept(node_id)}
        self._let_go = set()

    def _step(self) -> None:
        """Count a step of a long task, and yield to writers now and then."""
        self._steps += 1
        if not self._steps % _STEPS_AT_ONCE:
            self.yield_to_writers()

    def _yielding(self, node_ids: Iterable[int]) -> Iterator[int]:
        for turn, node_id in enumerate(node_ids, 1):
            if not turn % _NODES_AT_ONCE:
                self.yield_to_writers()
            yield node_id

    def _update_mark(self, mark: Mark, now: Instant) -> None:
        """Bring the mark of the last collection to the present."""
        let_go, self._let_go = self._let_go, set()
        affected = set()
        kept, self.graph.kept = self.graph.kept, self._in_use()
        for node_id in (*self._changed_by_time(mark.now, now), *(kept ^ self.graph.kept)):
            let_go.add(node_id)
            let_go.update(self.graph.mentioned(node_id))
            affected.add(node_id)
        mark.now = now
        self._extend(affected)
        budget = _BUDGET_MIN + len(self.graph) // _BUDGET_SHARE
        try:
            unreached = unmark_unreachable(self.graph, mark, let_go, budget, self.yield_to_writers)
        except OverBudgetError:
            self._mark_all(now)
        else:
            self._suspects |= unreached

    def _changed_by_time(self, before: Instant, now: Instant) -> Iterator[int]:
        for node_id, moment in self.graph.expiries():
            if (before > moment) != (now > moment):
                yield node_id
        yield from self.graph.conditional()

    def _take(self) -> set[Path]:
        touched = self._listener.take()
        if self._listener.is_full:
            raise UnavailableError(
                "others changed so much at once during the collection that it cannot follow: "
                "run it again"
            )
        return touched

    def _read_again(self, touched: set[Path]) -> dict[Node, Facts | None]:
        if not touched:
            return {}
        if self.is_ahead:
            # Else what was removed might be read, as if it were there.
            self._context.wait_for_disk()
            self.is_ahead = False
        return self._context.transactor.read(
            lambda transaction: read_touched(
                transaction, self._book, touched, self.graph, self._step
            )
        )

    def _follow(self, changed: Mapping[Node, Facts | None], *, hold: bool) -> None:
        affected: set[int] = set()
        for node, facts in changed.items():
            self._step()
            node_id = self.graph.find(node)
            if node_id is not None:
                self._let_go.add(node_id)
                self._let_go.update(self.graph.mentioned(node_id))
            affected |= self.graph.replace(node, facts)
        if self._mark is None:
            return
        found = (self.graph.find(node) for node, facts in changed.items() if facts is not None)
        present = {node_id for node_id in found if node_id is not None}
        self._suspects |= present
        if hold:
            self._let_go |= present
            self._mark.reach(present)
        self._extend(affected)

    def _extend(self, affected: Iterable[int]) -> None:
        """Mark the nodes that became reachable through nodes with new references."""
        if self._mark is not None:
            self._mark.extend(affected)
