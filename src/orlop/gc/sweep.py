"""The sweep: unreachable records are deleted from the metadata, in batches.

The data is deleted afterwards, by the cleanup of the backends.

While a batch runs, updates wait: it brings the mark to the newest version, and deletes what is
still unreachable. It commits in memory only, so that updates do not wait for the disk: its
deletions become durable with the next update, or with `make_durable`, and are reported only
then. A batch ends soon after a writer starts to wait, and grows while none does.

A record is deleted before those it refers to, and records that refer to each other are deleted
together (`sweep_batches`). So a writer that makes a record reachable again between two batches
finds all that the record refers to.

Source: containerd, core/metadata/gc.go (remove); spec/metadata.md 3.7. Unlike containerd's,
this sweep also takes a removed snapshot out of its parent's list of children, so that a
surviving parent can be removed later.
"""

from __future__ import annotations

import logging
import weakref
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from orlop.changes import Changes
from orlop.concurrency.ownership import Hold
from orlop.gc.node import SNAPSHOT, SWEPT
from orlop.gc.record_types import RECORD_TYPES, locate
from orlop.gc.resources import told
from orlop.schema import snapshots

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from typing import Self

    from orlop.changes import Update
    from orlop.concurrency.shared_lock import SharedLock
    from orlop.gc.context import CollectionContext
    from orlop.gc.explain.reasons import Reasons
    from orlop.gc.node import Node
    from orlop.gc.record_types import RecordGroup, RecordType
    from orlop.gc.resources import CheckedSession
    from orlop.gc.tracker import GraphTracker
    from orlop.kv import Bucket, Path
    from orlop.transactions import Transactions


class Sweep:
    """Deletes records in one update; keeps their buckets open."""

    def __init__(
        self, transactor: Transactions, update: Update, sessions: Mapping[str, CheckedSession]
    ) -> None:
        """Begin with nothing removed.

        Args:
            transactor: the source of `update`, for the time of events.
            update: where to remove records; it notes which backends hold garbage then, and the
                events that are due once it is durable.
            sessions: remove resources of other kinds, by type.
        """
        self._transactor = transactor
        self._update = update
        self._sessions = sessions
        self._buckets: dict[RecordGroup, Bucket | None] = {}
        # Deleted snapshots, by group and key, each with the key of its parent or an empty text.
        self._parents: dict[tuple[RecordGroup, str], str] = {}

    def remove(self, nodes: Sequence[Node]) -> None:
        """Delete the records of nodes; missing ones are skipped.

        Raises:
            ResourceError: a plug-in failed: the update is to be rolled back.
        """
        for node in nodes:
            if node.type in SWEPT:
                self._delete(node, RECORD_TYPES[node.type])
            elif node.type in self._sessions:
                self._sessions[node.type].remove(node)

    def finish(self) -> None:
        """Remove deleted snapshots from the child lists of remaining parents; the last step."""
        # At the end of a batch and not with each snapshot: whole chains go together, and then no
        # list needs to be mended at all, because the parents that have them go, too.
        for (group, key), parent in self._parents.items():
            # The list of a parent that is gone went with it.
            if parent and (group, parent) not in self._parents:
                snapshots.remove_child(self._bucket(group), parent, key)

    def _delete(self, node: Node, record_type: RecordType) -> None:
        group, key = locate(node)
        bucket = self._bucket(group)
        if node.type == SNAPSHOT:
            # Read before the record is deleted, which is the only place that names the parent.
            self._parents[group, key] = snapshots.parent(bucket, key)
        record_type.table.delete(bucket, key)
        if record_type.note_deletion is not None:
            record_type.note_deletion(self._update, self._transactor, node)

    def _bucket(self, group: RecordGroup) -> Bucket | None:
        # Opened once for a batch: its records share a few buckets, and to find one costs as much
        # as to delete a record.
        if group not in self._buckets:
            self._buckets[group] = group.find(self._update.transaction)
        return self._buckets[group]


BATCH_RECORDS: Final = 8
"""The number of records in one batch: about a millisecond of work."""

_BATCH_RECORDS_MAX: Final = 512
"""Records per lock acquisition while no update waits; a new one waits for one batch."""

_BATCH_NANOSECONDS: Final = 4_000_000
"""Time limit of one lock acquisition while an update waits; it may last a batch longer."""

_UNDURABLE_RECORDS: Final = 4_096
"""After so many a sweep waits for the disk: what is not durable takes memory."""

_logger = logging.getLogger(__name__)


class Pause(Hold):
    """The exclusive lock for a block; it is released at the end of the block, or earlier.

    Attributes:
        begun: when updates began to wait.
    """

    __slots__ = ("_exclusive", "_pauses", "begun")

    def __init__(self, gate: SharedLock, pauses: list[int]) -> None:
        """Prepare to lock `gate`; the time it is locked is added to `pauses`, in nanoseconds."""
        super().__init__()
        self._exclusive = gate.exclusive(owner=weakref.ref(self))
        self._pauses = pauses
        self.begun = 0

    @property
    def nanoseconds(self) -> int:
        """How long updates have waited so far."""
        return perf_counter_ns() - self.begun

    def __enter__(self) -> Self:
        self._exclusive.__enter__()
        self.begun = perf_counter_ns()
        return self

    def end(self) -> None:
        """Release the lock, so that updates continue; it may be called again."""
        if self.begun:
            self._pauses.append(self.nanoseconds)
            self.begun = 0
        self._exclusive.leave(None)

    def leave(self, error: BaseException | None) -> None:
        """Release the lock if it is still locked."""
        del error
        self.end()


class SweepBatches:
    """The batches of one sweep.

    Attributes:
        removed: what is gone, in this order.
        pauses: how long updates waited each time, in nanoseconds.
        tracker: the graph and mark that it brings to the newest version.
        event_failures: the exceptions of subscribers that were told of removals.
    """

    def __init__(
        self,
        context: CollectionContext,
        tracker: GraphTracker,
        removed: list[Node],
        pauses: list[int],
    ) -> None:
        """Begin without one.

        Args:
            context: the database.
            tracker: follows it, and knows what is garbage.
            removed: what is gone already; this adds to it.
            pauses: how long updates have waited already; this adds to it.
        """
        self.removed = removed
        self.pauses = pauses
        self.event_failures: list[str] = []
        self._context = context
        self.tracker = tracker
        self._pause = self.gate()
        self._undurable = 0
        self._untold: Changes | None = None

    def gate(self) -> Pause:
        """Have no updates while the block runs, and measure how long that was."""
        return Pause(self._context.gate, self.pauses)

    def run_batch(
        self,
        remaining: deque[list[int]],
        reasons: Reasons | None,
        check: Callable[[], None],
    ) -> None:
        """Delete the nodes of the next batch that are still garbage.

        Args:
            remaining: the batches; processed ones are removed from it.
            reasons: why they are deleted, for the journal; `None`: there is none.
            check: is called when the mark is that of the newest version; an exception from it
                ends the sweep.
        """
        with self.gate() as pause:
            # With the exclusive lock no update can commit, so the mark is now that of the newest
            # version: what is unmarked now is garbage for certain.
            self.tracker.catch_up()
            # Not synced: what a crash takes back are removals, and the garbage is found again.
            # But their events may not be delivered before they are durable.
            removed, _ = self._commit_batch(pause, remaining, reasons, {}, check, later=True)
        self._undurable += len(removed)
        self.tracker.is_ahead = True
        if self._undurable >= _UNDURABLE_RECORDS:
            self.make_durable()
        self.tracker.follow_sweep(removed, set())
        self.tracker.catch_up_until_close()

    def run_with_sessions(
        self,
        pause: Pause,
        remaining: deque[list[int]],
        reasons: Reasons | None,
        sessions: Mapping[str, CheckedSession],
        check: Callable[[], None],
    ) -> None:
        """Remove garbage durably while resources of other kinds take part.

        The shared lock is held since they began, until this is durable: an update, which might wait
        for a lock that a session has, would else keep the sweep from that lock or from writing.

        Args:
            pause: the shared lock, which is released when this is durable.
            remaining: as for `run_batch`.
            reasons: as for `run_batch`.
            sessions: remove resources of other kinds, by type.
            check: as for `run_batch`.
        """
        removed, touched = self._commit_batch(pause, remaining, reasons, sessions, check)
        self.tracker.follow_sweep(removed, touched)

    def _commit_batch(
        self,
        pause: Pause,
        remaining: deque[list[int]],
        reasons: Reasons | None,
        sessions: Mapping[str, CheckedSession],
        check: Callable[[], None],
        *,
        later: bool = False,
    ) -> tuple[list[Node], set[Path]]:
        """Delete garbage in one update; return the nodes, and paths of other changed records."""
        self._pause = pause
        self.tracker.require_all_seen()
        check()
        with self._context.transactor.update(later=later) as update:
            # Exited when the next writer sees the changes, and before they are reported.
            update.held.callback(pause.end)
            update.held.enter_context(self.tracker.sweeping())
            self.tracker.require_all_seen()
            sweep = Sweep(self._context.transactor, update, sessions)
            removed = self._remove(remaining, sweep)
            self._note(removed, reasons)
            untold = _deferred(update.changes)
            # Records change in a sweep only where other resources change them.
            touched = set(update.transaction.touched) if sessions else set()
        self.removed += removed
        if removed:
            self._untold = self._untold or Changes()
            _add(self._untold, untold)
        return removed, touched

    def make_durable(self) -> None:
        """Wait until all deletions are durable and reported. No session may be open.

        An exception of a subscriber of events ends no collection: it is logged, and noted.

        Raises:
            UnavailableError: this write, or one that it is built on, failed.
        """
        if self._untold is None:
            return
        errors: list[BaseException] = []
        # An update that changes nothing is over when what it has seen is durable.
        with self._context.transactor.update() as update:
            _add(update.changes, self._untold)
            update.changes.errors = errors
            self._untold = None
        self._undurable = 0
        self.tracker.is_ahead = False
        for error in errors:
            if not isinstance(error, Exception):
                raise error
            _logger.error("a subscriber of events failed in a collection", exc_info=error)
            self.event_failures.append(told(error))

    def _remove(self, remaining: deque[list[int]], sweep: Sweep) -> list[Node]:
        gate = self._context.gate
        removed: list[Node] = []
        while remaining and len(removed) < _BATCH_RECORDS_MAX:
            # A batch is deleted whole or not at all: its records refer to each other, and a writer
            # between two halves could find one whose references are gone.
            garbage = self.tracker.still_garbage(remaining.popleft())
            sweep.remove(garbage)
            removed += garbage
            # While no update waits, a larger batch delays none, and saves one catch-up.
            if gate.is_wanted and self._pause.nanoseconds > _BATCH_NANOSECONDS:
                break
        sweep.finish()
        return removed

    def _note(self, garbage: Sequence[Node], reasons: Reasons | None) -> None:
        """Write journal entries of the nodes to delete, before the deletion can be durable."""
        if self._context.journal is not None and reasons is not None:
            now = self._context.transactor.clock.now()
            self._context.journal.add(reasons.entries(garbage, now))


def _deferred(changes: Changes) -> Changes:
    """Move an update's notifications into a copy, until the update is durable."""
    kept = Changes()
    _add(kept, changes)
    changes.events, changes.content, changes.snapshotters = [], False, set()
    changes.committed = False
    return kept


def _add(changes: Changes, more: Changes) -> None:
    changes.events += more.events
    changes.content |= more.content
    changes.snapshotters |= more.snapshotters


def sweep_batches(
    garbage: Sequence[int],
    references: Callable[[int], Iterable[int]],
    *,
    size: int,
    first: Collection[int] = (),
) -> Iterator[list[int]]:
    """Cut garbage into sweep_batches; within each, the order is that of `garbage`.

    Args:
        garbage: what goes, by number.
        references: tells what a node refers to.
        size: how many nodes a piece has; more only where they refer to each other.
        first: what must go with the first piece, which has also all that refers to it then.
    """
    components = _Components(garbage, references)
    places = {node: place for place, node in enumerate(garbage)}
    early, late = components.split(first)
    piece = [node for component in early for node in component]
    if early:
        yield sorted(piece, key=places.__getitem__)
        piece = []
    for component in late:
        if piece and len(piece) + len(component) > size:
            yield sorted(piece, key=places.__getitem__)
            piece = []
        piece.extend(component)
    if piece:
        yield sorted(piece, key=places.__getitem__)


@dataclass(slots=True)
class _Visit:
    """A node on the search stack, with its remaining references."""

    node: int
    onward: Iterator[int]
    lowest: int


@dataclass(slots=True)
class _Components:
    """Strongly connected garbage, by Tarjan's algorithm without recursion."""

    garbage: Sequence[int]
    references: Callable[[int], Iterable[int]]
    found: list[list[int]] = field(default_factory=list)
    _order: dict[int, int] = field(default_factory=dict)
    _component: dict[int, int] = field(default_factory=dict)
    _open: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._order = dict.fromkeys(self.garbage, -1)
        visited = 0
        for start in self.garbage:
            if self._order[start] < 0:
                visited = self._visit(start, visited)

    def split(self, first: Collection[int]) -> tuple[list[list[int]], list[list[int]]]:
        """Return the components that reach any of `first`, and the rest; referrers first."""
        reaching: set[int] = set()
        if first:
            # Components come out with what they refer to before them.
            for place, component in enumerate(self.found):
                if any(node in first or self._goes_to(node, reaching) for node in component):
                    reaching.add(place)
        backward = range(len(self.found) - 1, -1, -1)
        return (
            [self.found[place] for place in backward if place in reaching],
            [self.found[place] for place in backward if place not in reaching],
        )

    def _goes_to(self, node: int, components: set[int]) -> bool:
        return any(self._component.get(one) in components for one in self.references(node))

    def _visit(self, start: int, visited: int) -> int:
        path = [self._enter(start, visited)]
        while path:
            visit = path[-1]
            for target in visit.onward:
                order = self._order.get(target)
                if order is None:
                    continue  # it stays
                if order < 0:
                    visited += 1
                    path.append(self._enter(target, visited))
                    break
                if target not in self._component:
                    visit.lowest = min(visit.lowest, order)
            else:
                path.pop()
                if path:
                    path[-1].lowest = min(path[-1].lowest, visit.lowest)
                if visit.lowest == self._order[visit.node]:
                    self._close(visit.node)
        return visited + 1

    def _enter(self, node: int, order: int) -> _Visit:
        self._order[node] = order
        self._open.append(node)
        return _Visit(node, iter(self.references(node)), order)

    def _close(self, node: int) -> None:
        component: list[int] = []
        while not component or component[-1] != node:
            member = self._open.pop()
            self._component[member] = len(self.found)
            component.append(member)
        self.found.append(component)
