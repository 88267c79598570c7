"""The garbage collector: deletes unreachable records, and explains why the rest is kept."""

from __future__ import annotations

import contextvars
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from orlop.concurrency.forks import HomeProcess
from orlop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)
from orlop.gc.cleanup import BackendCleaner, settle_at_opening
from orlop.gc.confirmation import refuse_large_release, refuse_large_removal
from orlop.gc.dirty_backends import DirtyBackends
from orlop.gc.explain import reasons
from orlop.gc.faults import find_faults
from orlop.gc.forecast import forecast, forecast_of_waste
from orlop.gc.inventory import list_backends, owners
from orlop.gc.items import read_named
from orlop.gc.journal import COLLECTED, FAILED, Entry
from orlop.gc.marked import mark, mark_in
from orlop.gc.metrics import Metrics, measured
from orlop.gc.omissions import Omission, Omissions
from orlop.gc.plan import Plan, orphans, removals, take_inventory, uncertain, with_set_aside
from orlop.gc.resources import RegisteredResource, ResourceError, begin_sessions, cancelled_at_end
from orlop.gc.run import Runner
from orlop.gc.schedule_policy import Settings
from orlop.gc.scheduler import Scheduler
from orlop.schema.codec.timestamps import require_instant
from orlop.storage.contract import CONTENT_BACKEND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from whenever import Instant

    from orlop.changes import Changes
    from orlop.gc.context import CollectionContext
    from orlop.gc.explain.paths import HoldingPath
    from orlop.gc.forecast import Forecast
    from orlop.gc.items import BackendItem
    from orlop.gc.journal import Journal
    from orlop.gc.marked import Marked
    from orlop.gc.metrics import Sample
    from orlop.gc.node import Node
    from orlop.gc.plan import Inventory, Statistics
    from orlop.gc.quarantine import SetAside
    from orlop.gc.resources import CheckedSession, Resource
    from orlop.gc.scheduler import Timer
    from orlop.kv import Transaction


class Collector:
    """The collector of one database. Every thread may use it.

    Attributes:
        metrics: what its collections did since the database was opened.
    """

    def __init__(self, context: CollectionContext) -> None:
        self._context = context
        self._dirty = DirtyBackends(context.snapshotters)
        self._cleaner = BackendCleaner(context, self._dirty)
        self._runner = Runner(context, self._cleaner)
        self._scheduler: Scheduler | None = None
        self._home = HomeProcess()
        self.metrics = Metrics()

    def start(self) -> Callable[[Changes], None]:
        """Settle snapshot commits that an earlier process left unfinished.

        Returns:
            The callback for the database to call after each update.
        """
        if not self._context.read_only:
            for name in self._context.snapshotters:
                settle_at_opening(self._context, name)
        return self._note_changes

    def _note_changes(self, changes: Changes) -> None:
        self._dirty.note(changes)
        if self._scheduler is not None:
            self._scheduler.note(changes)

    def close(self) -> None:
        """Stop running collections and cleanups; the database calls it when it is closed."""
        if self._scheduler is not None:
            self._scheduler.stop()
        self._cleaner.close()
        if self._scheduler is not None:
            self._scheduler.join()
        self._runner.forget()

    @property
    def journal(self) -> Journal | None:
        """The journal of removed records; `None` for a bare database."""
        return self._context.journal

    @property
    def scheduler(self) -> Scheduler | None:
        """The scheduler of automatic collections; `None` if there are none."""
        return self._scheduler

    def samples(self) -> Iterator[Sample]:
        """Iterate over the counters, and over gauges that are measured on each call."""
        yield from self.metrics.samples()
        yield from measured(
            self._context, None if self._scheduler is None else self._scheduler.nearest
        )

    def schedule(self, settings: Settings | None = None, timer: Timer | None = None) -> Scheduler:
        """Collect from now on, in a thread, whenever it is due, until the database closes.

        Args:
            settings: when it is due; `None`: as by default in containerd.
            timer: what intervals are measured with; `None`: the system's.

        Raises:
            FailedPreconditionError: the database was opened for reading.
            AlreadyExistsError: this was called before.
        """
        self._refuse_to_read()
        if self._scheduler is not None:
            raise AlreadyExistsError("the scheduler of this database")
        transactor = self._context.transactor
        settings = settings or Settings()
        scheduler = self._scheduler = Scheduler(
            partial(self.run, confirmed=settings.confirm),
            self._runner.nearest,
            self._context.gate,
            transactor.clock,
            settings,
            timer,
        )
        try:
            scheduler.start()
        except BaseException:
            scheduler.stop()
            self._scheduler = None
            raise
        return scheduler

    def nearest(self, *, now: Instant | None = None) -> Instant | None:
        """Return the next moment at which something expires; `None` if nothing does.

        Args:
            now: after which moment; `None`: the present.

        Raises:
            UnavailableError: the file changes all the time.
            DataLossError: the database is damaged.
        """
        return self._runner.nearest(self._moment(now))

    def forget(self) -> None:
        """Read everything from the database again next time; it was changed past the stores."""
        self._runner.forget()

    def register(self, resource: Resource) -> None:
        """Register a kind of resource for collections from now on.

        Raises:
            InvalidArgumentError: its type or its label is no text, or the type is empty or one of
                the database's own.
            AlreadyExistsError: its type is registered.
        """
        registered = RegisteredResource(resource)
        if registered.type in self._context.resources:
            raise AlreadyExistsError(f'resources of type "{registered.type}"')
        self._context.resources[registered.type] = registered

    def run(
        self, *, release: bool = False, confirmed: bool = False, verify: bool = False
    ) -> Statistics:
        """Delete unreachable records, then the data in backends that no record names.

        What could not be deleted is in the statistics, and is tried again by the next run.
        Where the metadata may not be the newest (`Plan.doubt`), data is set aside instead.

        Args:
            release: also delete data that is set aside, or would be.
            confirmed: do so although a large share of the records goes while the metadata is in
                doubt, or set aside data that is a large share of a backend is released.
            verify: whether to compare what is kept in memory since the last run with the
                database first; updates wait while all of it is read.

        Raises:
            FailedPreconditionError: the database was opened for reading, or this thread has
                an update open, or what would go needs to be confirmed.
            UnavailableError: an earlier write failed, or a lock was not free in time.
            DataLossError: the database is damaged.
        """
        return self._collect(None, release=release, confirmed=confirmed, verify=verify)

    def quarantine(self) -> tuple[SetAside, ...]:
        """Return the data that the last collection set aside and that is still unnamed.

        Raises:
            DataLossError: the list is damaged.
        """
        listed = self._context.quarantine.listed()
        named = self._context.transactor.read(read_named) if listed else set()
        return tuple(one for item, one in listed.items() if item not in named)

    def plan(self, *, now: Instant | None = None, without: Iterable[Node | Omission] = ()) -> Plan:
        """Return the records and data that `run` would delete; changes nothing.

        A plan for another time, or without something, only answers questions: it cannot be
        applied.

        Args:
            now: as of when; `None`: the present.
            without: records, labels and fields to leave out, as if they were deleted. They are
                not in the plan themselves; their data is, as orphans.

        Raises:
            NotFoundError: something that is to be left out is not there.
            UnavailableError: the file changes all the time, or a plug-in failed.
            DataLossError: the database is damaged.
        """
        moment = self._moment(now)
        omissions = Omissions(
            one if isinstance(one, Omission) else Omission(one) for one in without
        )
        failures: dict[str, str] = {}
        with self._sessions(failures) as sessions:
            # First the backends: what is written after this is no orphan, but not seen yet.
            stored = list_backends(self._context)

            def read(transaction: Transaction) -> tuple[Marked, Inventory, set[BackendItem]]:
                marked = mark_in(self._context, transaction, sessions, moment, omissions)
                inventory = take_inventory(transaction, marked)
                return marked, inventory, uncertain(transaction, stored, inventory)

            marked, inventory, kept = self._context.transactor.read(read)
            deletable = stored.deletable(inventory.kept)
            nodes = removals(marked, inventory, stored, deletable)
            nodes += orphans(self._context, inventory, stored, deletable)
        quarantine = self._context.quarantine
        keeps = quarantine.keeper(stored.entries)
        faults = map(keeps.fault, (CONTENT_BACKEND, *self._context.snapshotters))
        doubt = quarantine.any_doubt or next(filter(None, faults), None)
        going = deletable.intersection(item for one in nodes for item in one.data)
        set_aside = frozenset(one for one in going if one in kept or keeps(one))
        return Plan(
            nodes=tuple(with_set_aside(nodes, set_aside)),
            set_aside=set_aside,
            marked=marked,
            is_hypothetical=now is not None or bool(omissions),
            failures={**failures, **stored.failures},
            errors=stored.errors,
            mounts=stored.mounts,
            _apply=self._collect,
            doubt=doubt,
            stored_bytes=0 if doubt is None else stored.total_bytes(),
            faults=find_faults(
                self._context.transactor,
                self._context.content if CONTENT_BACKEND in stored.inventories else None,
                {name: self._context.snapshotters[name] for name in stored.inventories if name},
                sizes=stored.blob_sizes(),
            ),
        )

    def held_by(self, node: Node, *, now: Instant | None = None) -> tuple[HoldingPath, ...]:
        """Return one shortest path from each root to a node, the shortest first.

        Args:
            node: the node; whether it is flat does not matter.
            now: as of when; `None`: the present.

        Raises: as `plan`.
        """
        return self.mark(now=now).paths(node)

    def explain(self, node: Node, *, now: Instant | None = None) -> str:
        """Explain which paths keep a node, or why it is unreachable.

        Args:
            node: the node; whether it is flat does not matter.
            now: as of when; `None`: the present.

        Raises:
            NotFoundError: there is no such record, and nothing refers to one.
        """
        marked = self.mark(now=now)
        paths = marked.paths(node)
        if paths:
            return reasons.describe(node, paths)
        if node not in marked.graph:
            raise NotFoundError(str(node))
        return f"nothing holds {node}: {reasons.reason_of(marked, node)}"

    def mark(self, *, now: Instant | None = None) -> Marked:
        """Return the graph of references and the set of reachable nodes, for queries.

        Args:
            now: as of when; `None`: the present.

        Raises:
            UnavailableError: the file changes all the time, or a plug-in failed.
            DataLossError: the database is damaged.
        """
        moment = self._moment(now)
        with self._sessions({}) as sessions:
            return mark(self._context, sessions, moment)

    @contextmanager
    def _sessions(self, failures: dict[str, str]) -> Iterator[dict[str, CheckedSession]]:
        """Begin the part of each other kind of resource, to read only; it is cancelled at the end.

        Raises:
            UnavailableError: a plug-in failed, so that it is not known what it holds.
        """
        try:
            with cancelled_at_end(failures) as sessions:
                begin_sessions(self._context.resources, sessions)
                yield sessions
        except ResourceError as error:
            raise UnavailableError(f"{error}: a collection would remove nothing") from error

    def naming(self, is_it: Callable[[BackendItem], bool]) -> list[Node]:
        """Return the records of all namespaces that name a backend item.

        Args:
            is_it: tells whether a piece of data is meant.

        Raises: as `mark`.
        """
        return self._context.transactor.read(lambda transaction: owners(transaction, is_it))

    def forecast(self, backend: str, is_it: Callable[[BackendItem], bool]) -> Forecast:
        """Return the forecast for a backend item that no record names.

        Args:
            backend: the snapshotter that has it; empty for content.
            is_it: tells whether a piece of data is meant.

        Raises: as `mark`, and OSError where the backend cannot be read.
        """
        return forecast(self._context, backend, is_it)

    def forecast_of_waste(self, backend: str) -> Forecast:
        """Return the future of data that cleanups or writers left half done.

        Args:
            backend: the snapshotter that has it; empty for content.
        """
        return forecast_of_waste(self._context, backend)

    def _collect(
        self,
        plan: Plan | None,
        *,
        release: bool = False,
        confirmed: bool = False,
        verify: bool = False,
    ) -> Statistics:
        self._refuse_to_read()

        def work() -> Statistics:
            failures = {} if confirmed else self._refuse_large(plan, release=release)
            return self._runner.run(plan, release=release, verify=verify, failures=failures)

        # A view that is open here must not be taken for the present, and an update that is
        # open here has the shared lock: its own error says so.
        try:
            statistics = contextvars.Context().run(work)
        except Exception as error:
            self.metrics.add_failure()
            self._note(FAILED, reason=str(error))
            raise
        self.metrics.add(statistics)
        if statistics.removed or statistics.deleted or statistics.failures:
            failures = "; ".join(f"{name}: {why}" for name, why in statistics.failures.items())
            event = FAILED if statistics.was_called_off else COLLECTED
            self._note(event, reason=failures, freed_bytes=statistics.freed_bytes)
        return statistics

    def _refuse_large(self, plan: Plan | None, *, release: bool) -> dict[str, str]:
        """Refuse an unconfirmed run that would delete a large share of the data.

        Returns:
            The kind of resources that does not answer, and why: no record may be removed.
        """
        is_doubtful = self._context.quarantine.initial_doubt(CONTENT_BACKEND) is not None
        if not is_doubtful and not release:
            return {}
        try:
            plan = plan or self.plan()
        except UnavailableError as error:
            # What a plug-in that does not answer holds could not be weighed.
            if not isinstance(error.__cause__, ResourceError):
                raise
            if release:
                raise UnavailableError(
                    f"{error.__cause__}: how much the release would delete is not known",
                    hint="confirm it if all that is set aside may go (orlop gc quarantine)",
                ) from error
            return {error.__cause__.kind: str(error.__cause__)}
        if is_doubtful:
            refuse_large_removal(plan)
        if release:
            refuse_large_release(self._context, plan)
        return {}

    def _note(self, event: str, *, reason: str, freed_bytes: int = 0) -> None:
        if self._context.journal is not None:
            at = self._context.transactor.clock.now()
            self._context.journal.add([Entry(at=at, event=event, reason=reason, bytes=freed_bytes)])

    def _moment(self, now: Instant | None) -> Instant:
        """Return the moment that a caller gave; the present for none."""
        if now is None:
            return self._context.transactor.clock.now()
        return require_instant(now, "now")

    def _refuse_to_read(self) -> None:
        if not self._home.is_here:
            raise FailedPreconditionError(self._home.refusal)
        if self._context.read_only:
            raise FailedPreconditionError(
                "the database was opened for reading: open it for writing to collect"
            )
