"""A collection: mark beside writers, sweep in batches, clean up.

Writers wait for one batch of the sweep at a time, in which the mark is brought to the newest
version and some garbage is deleted. How long that takes depends on the changes since the last
batch and on the size of a batch, not on the size of the database.

Source: containerd, core/metadata/db.go (GarbageCollect); spec/metadata.md 3.8. There updates
wait for all of mark and sweep.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from orlop.concurrency.shared_lock import SharedLock
from orlop.errors import FailedPreconditionError, OrlopError, UnavailableError
from orlop.gc.change_feed import MissedChangeError
from orlop.gc.cleanup import CleanupScope
from orlop.gc.next_expiry import read_next_expiry
from orlop.gc.plan import Statistics, check_again, check_orphans
from orlop.gc.resources import ResourceError, begin_sessions, cancelled_at_end, end_sessions
from orlop.gc.rules import RuleBook
from orlop.gc.sweep import BATCH_RECORDS, SweepBatches, sweep_batches
from orlop.gc.tracker import GraphTracker
from orlop.storage.contract import CONTENT_BACKEND

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from whenever import Instant

    from orlop.gc.cleanup import BackendCleaner
    from orlop.gc.context import CollectionContext
    from orlop.gc.explain.reasons import Reasons
    from orlop.gc.node import Node
    from orlop.gc.plan import Plan
    from orlop.gc.resources import CheckedSession, RegisteredResource

_ATTEMPTS: Final = 4
"""So many times a run begins anew where others write past the stores, before it gives up."""

_EVENTS: Final = "events"
"""The name of the event subscribers among the failures of a run."""

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Swept:
    """Results of mark and sweep; durations are in nanoseconds."""

    kept: int = 0
    mark_nanoseconds: int = 0
    sweep_nanoseconds: int = 0


class Runner:
    """Runs collections, one at a time, and keeps graph and mark for the next. Thread-safe."""

    def __init__(self, context: CollectionContext, cleaner: BackendCleaner) -> None:
        """Begin without a graph.

        Args:
            context: the database.
            cleaner: cleans the backends after each run.
        """
        self._context = context
        self._cleaner = cleaner
        self._turn = SharedLock(
            "the lock of collections",
            timeout_error=UnavailableError,
            deadlock_error=FailedPreconditionError,
        )
        self._tracker: GraphTracker | None = None

    def run(
        self,
        plan: Plan | None = None,
        *,
        release: bool = False,
        verify: bool = False,
        failures: dict[str, str] | None = None,
    ) -> Statistics:
        """Delete unreachable records, then clean up the backends.

        Args:
            plan: the limit of what may be deleted; `None`: all that is unreachable.
            release: whether data that is set aside, or would be, is deleted too.
            verify: whether to compare the graph that was kept with the database first.
            failures: which kinds of resources failed before: where any did, no record is removed.

        Raises:
            FailedPreconditionError: the plan is out of date, or this thread has an update open.
            InternalError: the graph that was kept is not that of the database.
            UnavailableError: the database is changed all the time without reports.
        """
        self._context.gate.refuse_holder()
        with self._turn.exclusive():
            run = self._collect(plan, failures or {}, verify=verify)
            if not run.resources:  # what they say changes without a report
                self._tracker = run.tracker
        # What was removed is durably gone from here on; a failure only leaves data behind.
        only = None if plan is None else {one for removal in plan.nodes for one in removal.data}
        return _clean_up(self._cleaner, run, CleanupScope(only, release))

    def _collect(self, plan: Plan | None, failures: dict[str, str], *, verify: bool) -> _Run:
        """Mark and sweep, with retries; return the run that completed."""
        removed: list[Node] = []
        pauses: list[int] = []
        kept: set[str] = set()
        missed = 0
        must_keep_all = bool(failures)
        while missed < _ATTEMPTS:
            resources = dict(self._context.resources)  # others may be registered meanwhile
            batches = SweepBatches(self._context, self._tracker_for_run(resources), removed, pauses)
            run = _Run(self._context, batches, plan, resources, failures, kept)
            if must_keep_all:
                run.was_called_off = True
                return run
            try:
                run.collect(verify=verify)
            except MissedChangeError:
                _logger.info("the database was changed past its stores: it is read afresh")
                self._begin_anew()
                missed += 1
            except ResourceError as error:
                failures[error.kind] = str(error)
                if not error.is_removal or error.kind in kept:
                    _logger.warning("nothing is removed in this collection: %s", error)
                    run.was_called_off = True
                    return run
                kept.add(error.kind)
            else:
                return run
        raise UnavailableError(
            "the database is changed all the time by what does not report it: nothing "
            "more was removed; collect when that has ended"
        )

    def nearest(self, now: Instant) -> Instant | None:
        """Return the next moment at which something expires; `None` if nothing does.

        Raises:
            UnavailableError: the file changes all the time.
            DataLossError: the database is damaged.
        """
        with self._turn.exclusive():
            tracker, self._tracker = self._tracker, None
            if tracker is None or tracker.should_rebuild or not tracker.is_current:
                return read_next_expiry(self._context.transactor, now)
            nearest = tracker.nearest(now)
            self._tracker = tracker
            return nearest

    def forget(self) -> None:
        """Read everything from the database again next time."""
        self._tracker = None

    def _tracker_for_run(self, resources: Mapping[str, RegisteredResource]) -> GraphTracker:
        """Return the tracker that was kept, or a new one; it is kept again once all is well.

        So whatever fails, or interrupts a run, leaves none that may have missed something.
        """
        tracker, self._tracker = self._tracker, None
        if tracker is None or resources or tracker.should_rebuild:
            labels = [(kind, one.reference_label) for kind, one in sorted(resources.items())]
            book = RuleBook(labels, self._context.transactor.clock.lasting)
            tracker = GraphTracker(self._context, book)
        return tracker

    def _begin_anew(self) -> None:
        """Prepare for reading everything afresh, after a change that was not reported."""
        self._context.wait_for_disk()
        # Nor was reported which backends it has left data in.
        self._cleaner.suspect_all()


class _Run:
    """One collection of the metadata.

    Attributes:
        swept: what it did.
        batches: the batches of its sweep.
        tracker: its graph and mark.
        resources: the kinds of resources that take part, by type.
        failures: which of them failed, and why.
        kept_kinds: the kinds of resources of which nothing is removed.
        was_called_off: whether nothing is removed, because a kind of resources failed.
    """

    def __init__(
        self,
        context: CollectionContext,
        batches: SweepBatches,
        plan: Plan | None,
        resources: Mapping[str, RegisteredResource],
        failures: dict[str, str],
        kept_kinds: set[str],
    ) -> None:
        self.swept = Swept()
        self.batches = batches
        self.tracker = batches.tracker
        self.resources = resources
        self.failures = failures
        self.kept_kinds = kept_kinds
        self.was_called_off = False
        self._context = context
        self._plan = plan

    def collect(self, *, verify: bool) -> None:
        """Mark, then sweep."""
        self.mark(verify=verify)
        self.sweep()

    def mark(self, *, verify: bool) -> None:
        """Bring graph and mark up to date while updates continue."""
        if self._plan is not None:
            planned = self._plan.nodes
            self._context.transactor.read(lambda transaction: check_orphans(transaction, planned))
        begun = perf_counter_ns()
        self.tracker.begin()
        if verify:
            with self.batches.gate():
                self.tracker.verify()
        self.swept.mark_nanoseconds = perf_counter_ns() - begun

    def sweep(self) -> None:
        """Delete unmarked records, batch by batch."""
        begun = perf_counter_ns()
        with cancelled_at_end(self.failures) as sessions:
            before = len(self.batches.removed)
            try:
                self._sweep(sessions)
            except BaseException:
                if len(self.batches.removed) > before:  # durably, if there are sessions
                    end_sessions(sessions, self.failures, has_succeeded=True)
                # What is gone is told of all the same, if it becomes durable.
                with suppress(OrlopError):
                    self.batches.make_durable()
                raise
        self.batches.make_durable()
        self.swept.kept = self.tracker.graph.swept_count - len(self.tracker.garbage())
        self.swept.sweep_nanoseconds = perf_counter_ns() - begun

    def _sweep(self, sessions: dict[str, CheckedSession]) -> None:
        if self.resources:
            self._sweep_with_sessions(sessions)
            return
        remaining, reasons = self._remaining()
        check = self._check
        while remaining:
            self.batches.run_batch(remaining, reasons, check)
            check = _no_check

    def _sweep_with_sessions(self, sessions: dict[str, CheckedSession]) -> None:
        """Ask resources of other kinds, and remove all garbage, while updates wait."""
        with self.batches.gate() as pause:
            self.tracker.catch_up()
            begin_sessions(self.resources, sessions, self.kept_kinds)
            self.tracker.add_sessions(sessions)
            remaining, reasons = self._remaining()
            if remaining:
                self.batches.run_with_sessions(pause, remaining, reasons, sessions, self._check)
        end_sessions(sessions, self.failures, has_succeeded=True)

    def _remaining(self) -> tuple[deque[list[int]], Reasons | None]:
        """Return the garbage, in batches, and why it goes, for the journal."""
        garbage = self._garbage()
        reasons = None if self._context.journal is None else self.tracker.reasons(garbage)
        return self._batches(garbage), reasons

    def _garbage(self) -> list[int]:
        if self._plan is None:
            return self.tracker.garbage()
        graph = self.tracker.graph
        planned = (graph.find(one.node) for one in self._plan.nodes if one.node in graph)
        return [node_id for node_id in planned if node_id is not None]

    def _batches(self, garbage: Sequence[int]) -> deque[list[int]]:
        # A resource that is not asked any more could begin to refer to what is in a later piece.
        first = set(garbage) if self.resources else set()
        references = self.tracker.mentioned
        return deque(sweep_batches(garbage, references, size=BATCH_RECORDS, first=first))

    def _check(self) -> None:
        """Check a plan again, if there is one."""
        if self._plan is not None:
            planned = self._plan.nodes
            self._context.transactor.read(
                lambda transaction: check_again(
                    transaction, planned, self.tracker.graph.__contains__, self.tracker.holds
                )
            )


def _no_check() -> None:
    """Check nothing: a plan is checked with the first batch."""


def _clean_up(cleaner: BackendCleaner, run: _Run, order: CleanupScope) -> Statistics:
    cleaning = cleaner.run(order)
    content_nanoseconds = cleaning.durations.pop(CONTENT_BACKEND, 0)
    return Statistics(
        pause_nanoseconds=sum(run.batches.pauses),
        longest_pause_nanoseconds=max(run.batches.pauses, default=0),
        mark_nanoseconds=run.swept.mark_nanoseconds,
        sweep_nanoseconds=run.swept.sweep_nanoseconds,
        content_nanoseconds=content_nanoseconds,
        snapshot_nanoseconds=cleaning.durations,
        removed=dict(Counter(node.type for node in run.batches.removed)),
        kept=run.swept.kept,
        deleted=cleaning.deleted,
        freed_bytes=cleaning.freed_bytes,
        set_aside=cleaning.set_aside,
        set_aside_bytes=cleaning.set_aside_bytes,
        failures={**run.failures, **_event_failures(run), **cleaning.failures},
        errors=cleaning.errors,
        was_called_off=run.was_called_off,
    )


def _event_failures(run: _Run) -> dict[str, str]:
    failures = run.batches.event_failures
    return {_EVENTS: "; ".join(dict.fromkeys(failures))} if failures else {}
