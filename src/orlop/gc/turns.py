"""The turns of a sweep: some garbage goes at a time, and between two of them others may write.

In a turn updates wait: it brings the mark to the newest version, and removes what is garbage
still. It ends in memory, so that nobody waits for the disk of it: what it removed becomes
durable with the next update of anybody, or with `make_durable`. Only then it is told of.

A turn ends soon after somebody wants to write, and takes more where nobody does.
"""

from __future__ import annotations

import logging
import weakref
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from orlop.gc.resources import told
from orlop.gc.sweep import Sweep
from orlop.ownership import Hold
from orlop.stores.scope import Changes

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

    from orlop.gc.causes import Causes
    from orlop.gc.domain import Domain
    from orlop.gc.node import Node
    from orlop.gc.resources import ResourceSession
    from orlop.gc.tracker import GraphTracker
    from orlop.stores.locks import SharedLock

PIECE_RECORDS: Final = 8
"""How many records go together in any case: about a millisecond of work."""

_TURN_RECORDS: Final = 512
"""How many go in one turn where nobody waits: whoever comes then waits for the piece at hand."""

_TURN_NANOSECONDS: Final = 4_000_000
"""How long a turn is where somebody waits; it may last one piece longer."""

_UNDURABLE_RECORDS: Final = 4_096
"""After so many a sweep waits for the disk: what is not durable takes memory."""

_logger = logging.getLogger(__name__)


class Pause(Hold):
    """The gate, had alone for a block that ends it, at the latest, and with the block.

    Attributes:
        begun: when updates began to wait.
    """

    __slots__ = ("_exclusive", "_pauses", "begun")

    def __init__(self, gate: SharedLock, pauses: list[int]) -> None:
        """Prepare to have `gate`; how long that was is added to `pauses`, in nanoseconds."""
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
        """Let updates go on; it may be called again."""
        if self.begun:
            self._pauses.append(self.nanoseconds)
            self.begun = 0
        self._exclusive.leave(None)

    def leave(self, error: BaseException | None) -> None:
        """Let updates go on, if they do not yet."""
        del error
        self.end()


class Turns:
    """The turns of one sweep.

    Attributes:
        removed: what is gone, in this order.
        pauses: how long updates waited each time, in nanoseconds.
        tracker: the graph and mark that it brings to the newest version.
        event_failures: the exceptions of subscribers that were told of removals.
    """

    def __init__(
        self, domain: Domain, tracker: GraphTracker, removed: list[Node], pauses: list[int]
    ) -> None:
        """Begin without one.

        Args:
            domain: the database.
            tracker: follows it, and knows what is garbage.
            removed: what is gone already; this adds to it.
            pauses: how long updates have waited already; this adds to it.
        """
        self.removed = removed
        self.pauses = pauses
        self.event_failures: list[str] = []
        self._domain = domain
        self.tracker = tracker
        self._pause = self.gate()
        self._undurable = 0
        self._untold = Changes()

    def gate(self) -> Pause:
        """Have no updates while the block runs, and measure how long that was."""
        return Pause(self._domain.gate, self.pauses)

    def take(
        self,
        remaining: deque[list[int]],
        causes: Causes | None,
        sessions: Mapping[str, ResourceSession],
        check: Callable[[], None],
    ) -> None:
        """Remove what is garbage still of the next pieces.

        Args:
            remaining: the pieces; those that were looked at are taken from it.
            causes: why they go, for the journal; `None`: there is none.
            sessions: remove resources of other kinds, by type.
            check: is called when the mark is that of the newest version; what it raises ends
                the sweep.
        """
        with self.gate() as self._pause:
            # With the gate held no update can commit, so after this the mark is that of the newest
            # version: what is unmarked now is garbage for certain.
            self.tracker.catch_up()
            self.tracker.require_all_seen()
            if sessions:
                self.tracker.add_sessions(sessions)
            check()
            # Not synced: what a crash takes back are removals, and the garbage is found again.
            # But their events may not be delivered before they are durable.
            with self._domain.transactor.update(later=True) as update:
                # Left when the changes are there for the next writer, and before they are told of.
                update.held.callback(self._pause.end)
                update.held.enter_context(self.tracker.sweeping())
                self.tracker.require_all_seen()
                sweep = Sweep(self._domain.transactor, update, sessions)
                removed = self._remove(remaining, sweep)
                self._note(removed, causes)
                untold = _kept_back(update.changes)
                # Records change in a sweep only where other resources change them.
                touched = set(update.transaction.touched) if sessions else set()
        self.removed += removed
        self._undurable += len(removed)
        self.tracker.is_ahead = True
        _add(self._untold, untold)
        if touched or self._undurable >= _UNDURABLE_RECORDS:
            self.make_durable()
        self.tracker.follow_sweep(removed, touched)
        self.tracker.catch_up_until_close()

    @property
    def is_durable(self) -> bool:
        """Whether all that was removed is known to be durable."""
        return not self._undurable

    def make_durable(self) -> None:
        """Return when all that was removed is durable, and was told of.

        An exception of a subscriber of events ends no collection: it is logged, and noted.

        Raises:
            UnavailableError: this write, or one that it is built on, failed.
        """
        if not self._undurable:
            return
        errors: list[BaseException] = []
        # An update that changes nothing is over when what it has seen is durable.
        with self._domain.transactor.update() as update:
            _add(update.changes, self._untold)
            update.changes.errors = errors
            self._untold = Changes()
        self._undurable = 0
        self.tracker.is_ahead = False
        for error in errors:
            if not isinstance(error, Exception):
                raise error
            _logger.error("a subscriber of events failed in a collection", exc_info=error)
            self.event_failures.append(told(error))

    def _remove(self, remaining: deque[list[int]], sweep: Sweep) -> list[Node]:
        gate = self._domain.gate
        removed: list[Node] = []
        while remaining and len(removed) < _TURN_RECORDS:
            # A piece goes whole or not at all: its records refer to each other, and a writer
            # between two halves could find one whose references are gone.
            garbage = self.tracker.still_garbage(remaining.popleft())
            sweep.remove(garbage)
            removed += garbage
            # While no update waits, a longer turn delays none, and saves the next catching up.
            if gate.is_wanted and self._pause.nanoseconds > _TURN_NANOSECONDS:
                break
        sweep.finish()
        return removed

    def _note(self, garbage: Sequence[Node], causes: Causes | None) -> None:
        """Say in the journal what goes now: before it can be durable."""
        if self._domain.journal is not None and causes is not None:
            now = self._domain.transactor.clock.now()
            self._domain.journal.add(causes.entries(garbage, now))


def _kept_back(changes: Changes) -> Changes:
    """Let nobody be told yet of what an update did: it is not durable when it ends."""
    kept = Changes()
    _add(kept, changes)
    changes.events, changes.content, changes.snapshotters = [], False, set()
    changes.committed = False
    return kept


def _add(changes: Changes, more: Changes) -> None:
    changes.events += more.events
    changes.content |= more.content
    changes.snapshotters |= more.snapshotters
