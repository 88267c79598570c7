"""Cleanup of backends: data that no record names is deleted.

It runs after the sweep, beside readers and writers. Garbage is listed without a lock. Then, a
batch at a time, its names are claimed (`orlop.concurrency.claims`), looked up in the metadata once
more, and the data is renamed out of sight; it is deleted after the claims are released, so that
no writer waits for the disk. Names that a writer has claimed are skipped. A process that is
killed at any point leaves what the next cleanup finds.

`BackendCleaner` runs one thread for each backend: one that fails or hangs does not stop the
others, and is tried again by the next run, of this process or of a later one.

Source: containerd, core/metadata/content.go and snapshot.go (garbageCollect); spec/metadata.md
3.8. There the whole backend is locked meanwhile.
"""

from __future__ import annotations

import contextvars
import logging
import weakref
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from orlop.concurrency.ownership import Flag, Mutex, start_thread
from orlop.errors import AbortedError, FailedPreconditionError, OrlopError
from orlop.gc.dirty_backends import shown
from orlop.gc.inventory import descendants, list_backend
from orlop.gc.items import SNAPSHOT_ITEM, BackendItem, still_named
from orlop.gc.journal import DELETED, Entry
from orlop.gc.missing import Uncertain, settle_commits
from orlop.gc.resources import reason_of
from orlop.storage.contract import CONTENT_BACKEND

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from orlop.gc.context import CollectionContext
    from orlop.gc.dirty_backends import DirtyBackends
    from orlop.gc.inventory import BackendInventory

_NAMED_MAX: Final = 5
"""So many mounts are named in one message."""

_AT_ONCE: Final = 64
"""How many names are taken at once: whoever needs one of them waits that long."""

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class BackendResult:
    """The outcome of one backend's cleanup.

    Attributes:
        deleted: how many blobs, ingests or snapshots it deleted.
        freed_bytes: their size on disk.
        set_aside: how much is left because the metadata is or was in doubt.
        set_aside_bytes: its size on disk.
        passed_over: how many it left because they were being created or referenced.
        warning: why something is kept for snapshots that have no data; empty: nothing is.
    """

    deleted: int = 0
    freed_bytes: int = 0
    set_aside: int = 0
    set_aside_bytes: int = 0
    passed_over: int = 0
    warning: str = ""


@dataclass(frozen=True, slots=True)
class CleanupScope:
    """The data that a cleanup may delete.

    Attributes:
        only: the items it is limited to; `None`: all items that no record names.
        release: also what is set aside, or would be.
    """

    only: Collection[BackendItem] | None = None
    release: bool = False


class Steps:
    """The steps of one cleanup, which can be stopped before the next one.

    Attributes:
        count: how many it has begun.
        is_moving: whether data is being moved away that may be made again under its name.
    """

    def __init__(self) -> None:
        self.count = 0
        self.is_moving = False
        self._is_stopped = False

    def advance(self) -> None:
        """Begin a step.

        Raises:
            AbortedError: it was told to stop.
        """
        self.count += 1
        if self._is_stopped:
            raise AbortedError("the database is being closed")

    def stop(self) -> None:
        """Begin no more steps; a move that is under way ends first (`is_moving`)."""
        self._is_stopped = True

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Move data away in the block, unless told to stop."""
        self.is_moving = True  # before it is asked: who stops it looks the other way round
        try:
            self.advance()
            yield
        finally:
            self.is_moving = False


def clean(
    context: CollectionContext,
    name: str,
    result: BackendResult,
    scope: CleanupScope,
    steps: Steps | None = None,
) -> None:
    """Delete a backend's data that no namespace names, and remains of earlier removals.

    Where the metadata is in doubt, that is set aside instead.

    Args:
        context: the database.
        name: the snapshotter, or `CONTENT_BACKEND`.
        result: where to note what was done, also if this fails half-way.
        scope: what may be deleted.
        steps: its steps; `None`: nothing stops it.

    Raises:
        AbortedError: it was told to stop.
        FailedPreconditionError: something is mounted in what was to be deleted; all the rest was.
        OrlopError, OSError: something could not be read, noted or deleted.
    """
    steps = steps or Steps()
    context.quarantine.require_unchanged()
    # The claims are watched from before the backend is looked at: what was named after that
    # was claimed.
    with context.claims(name).watch() as claimed:
        unsettled = settle_commits(context, name)
        inventory = list_backend(context, name)
        data = list(inventory.data())
        steps.advance()
        named = context.transactor.read(inventory.named) if data else set()
        unnamed = {one for one in data if one not in named}
        kept = set() if scope.release else _kept(context, name, inventory, data, unnamed)
        idle = {one for one in unnamed - kept - unsettled if one.name not in claimed}
        uncertain = _uncertain(context, inventory, scope, idle, unsettled)
        # What is set aside is listed before anything is deleted beside it.
        steps.advance()
        still = [one for one in data if one in kept and one.name not in claimed]
        sizes = partial(_size, inventory)
        result.set_aside_bytes = context.quarantine.settle(name, still, sizes)
        result.set_aside = len(still)
        _note_uncertain(uncertain, sizes, result)
        deletable = unnamed - kept - uncertain.data - unsettled
        garbage = {one for one in deletable if scope.only is None or one in scope.only}
        mounted = inventory.mounted(garbage)
        garbage.difference_update(mounted)
        discarded: list[BackendItem] = []
        for batch in _batches(_removable(inventory, garbage)):
            steps.advance()
            discarded += _discard(context, inventory, batch, claimed, result, steps)
    if unsettled and settle_commits(context, name):  # what stood on them may be gone by now
        result.passed_over += len(unsettled)
    if scope.release or context.quarantine.doubt(name) is None:
        context.quarantine.require_unchanged()
        try:
            # Snapshotters move directories with their database locked: its close waits for that.
            with steps.moving() if name == CONTENT_BACKEND else nullcontext():
                inventory.cleanup({one for one in unnamed if one not in garbage}, steps.advance)
        except OSError:
            result.freed_bytes -= inventory.left(discarded)
            raise
    steps.advance()
    if scope.release and scope.only is None:
        context.quarantine.release(name)
    if mounted:
        raise FailedPreconditionError(_describe_mounts(mounted))


def settle_at_opening(context: CollectionContext, name: str) -> None:
    """Settle the commits of snapshots that an earlier process left in a backend.

    What stands on such a snapshot, and has no name, is deleted first: it keeps the snapshot from
    being active again. What fails is tried again by the next cleanup.
    """
    try:
        unsettled = settle_commits(context, name)
        if unsettled and context.quarantine.doubt(name) is None:
            infos = list(context.snapshotters[name].walk())
            above = descendants(infos, {item.name for item in unsettled})
            scope = CleanupScope({BackendItem(SNAPSHOT_ITEM, one, name) for one in above})
            clean(context, name, BackendResult(), scope)
    except Exception:
        _logger.exception("what was being committed in %s is settled by the next collection", name)


def _kept(
    context: CollectionContext,
    name: str,
    inventory: BackendInventory,
    data: Sequence[BackendItem],
    unnamed: set[BackendItem],
) -> set[BackendItem]:
    """Return the unnamed data that is suspect; in doubt all that is there becomes suspect first."""
    context.quarantine.suspect_all(
        name, {entry for one in data for entry in inventory.entries(one)}
    )
    suspects = context.quarantine.suspects(name)
    return {one for one in unnamed if not suspects.isdisjoint(inventory.entries(one))}


def _uncertain(
    context: CollectionContext,
    inventory: BackendInventory,
    scope: CleanupScope,
    unnamed: set[BackendItem],
    unsettled: set[BackendItem],
) -> Uncertain:
    """Return unnamed data that may belong to a record without data; none if it is released."""
    if scope.release or not unnamed:
        return Uncertain()
    return context.transactor.read(partial(inventory.uncertain, unnamed=unnamed, known=unsettled))


def _note_uncertain(
    uncertain: Uncertain, size: Callable[[BackendItem], int], result: BackendResult
) -> None:
    if uncertain.data:
        result.set_aside += len(uncertain.data)
        result.set_aside_bytes += sum(map(size, uncertain.data))
        result.warning = uncertain.describe()
        _logger.warning("%s", result.warning)


def _describe_mounts(mounted: Mapping[BackendItem, str]) -> str:
    places = sorted(mounted.values())
    more = f", and {len(places) - _NAMED_MAX} more" if len(places) > _NAMED_MAX else ""
    return (
        f"something is mounted at {', '.join(places[:_NAMED_MAX])}{more}: nothing is deleted "
        "there; unmount it, and collect again"
    )


def _removable(inventory: BackendInventory, garbage: set[BackendItem]) -> list[BackendItem]:
    """Return the items that can be deleted, in the order in which they must be."""
    removable = inventory.removable(garbage)
    for item in sorted(garbage.difference(removable)):
        _logger.info("%s stays: others stand on it", item.key)
    return removable


def _batches(data: Sequence[BackendItem]) -> list[Sequence[BackendItem]]:
    return [data[begin : begin + _AT_ONCE] for begin in range(0, len(data), _AT_ONCE)]


def _discard(
    context: CollectionContext,
    inventory: BackendInventory,
    batch: Sequence[BackendItem],
    claimed: AbstractSet[str],
    result: BackendResult,
    steps: Steps,
) -> list[BackendItem]:
    """Move data out of sight, unless it was claimed since it was found to be garbage.

    Returns:
        What was moved.
    """
    sizes = {one: _size(inventory, one) for one in batch}  # to count may take long
    gone: list[BackendItem] = []
    try:
        with inventory.claims.take(one.name for one in batch) as taken:
            free = [one for one in batch if one.name in taken and one.name not in claimed]
            if context.reports.has_unseen:
                context.wait_for_disk()  # a writer past the stores claims nothing
            named = context.transactor.read(partial(still_named, data=free))
            context.quarantine.require_unchanged()
            with steps.moving():
                for one in inventory.discard([one for one in free if one not in named]):
                    gone.append(one)
                    steps.advance()
    finally:
        _count(context, gone, sizes, result)
    result.passed_over += len(batch) - len(free)
    return gone


def _count(
    context: CollectionContext,
    gone: Sequence[BackendItem],
    sizes: Mapping[BackendItem, int],
    result: BackendResult,
) -> None:
    if context.journal is not None:
        now = context.transactor.clock.now()
        context.journal.add(
            Entry(at=now, event=DELETED, type=one.type, key=one.key, bytes=sizes[one])
            for one in gone
        )
    result.deleted += len(gone)
    result.freed_bytes += sum(sizes[one] for one in gone)


def _size(inventory: BackendInventory, item: BackendItem) -> int:
    try:
        return inventory.size(item)
    except Exception as error:  # noqa: BLE001 (a plug-in's may be any)
        _logger.info("what %s takes is not known: %s", item.key, reason_of(error))
        return 0


_PATIENCE_SECONDS: Final = 60.0
"""How long a run waits for a backend that makes no step."""

_CLOSING_SECONDS: Final = 5.0

_POLL_SECONDS: Final = 0.05

_ALL: Final = CleanupScope()

_logger = logging.getLogger(__name__)


class CleanupResult:
    """The outcomes of all cleanups of one run.

    Attributes:
        durations: how long each took, in nanoseconds, by the name of the backend.
        failures: which failed, and why.
        errors: the exceptions behind these failures, where there are any.
        deleted: how many blobs, ingests and snapshots were deleted.
        freed_bytes: their size on disk.
        set_aside: how much was left because the metadata is or was in doubt.
        set_aside_bytes: its size on disk.
    """

    def __init__(self) -> None:
        self.durations: dict[str, int] = {}
        self.failures: dict[str, str] = {}
        self.errors: dict[str, Exception] = {}
        self.deleted = 0
        self.freed_bytes = 0
        self.set_aside = 0
        self.set_aside_bytes = 0


class BackendCleaner:
    """Cleans the backends of a database. Every thread may use it."""

    def __init__(
        self,
        context: CollectionContext,
        dirty: DirtyBackends,
        *,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        """Make a cleaner.

        Args:
            context: the database.
            dirty: which of its backends are to be cleaned.
            patience_seconds: how long to wait for a backend that makes no step.
        """
        self._context = context
        self._dirty = dirty
        self._patience_seconds = patience_seconds
        self._mutex = Mutex()
        self._working: dict[str, _Worker] = {}
        self._is_closed = False

    def run(self, scope: CleanupScope = _ALL) -> CleanupResult:
        """Clean all backends that need it, all at the same time.

        What a backend that hangs does later, if it ever does, is not in what this returns.

        Args:
            scope: what may be deleted.
        """
        if scope.release:
            names = [CONTENT_BACKEND, *self._context.snapshotters]
        elif scope.only is None:
            names = self._dirty.names()
        else:
            # A plan does not clean all that is dirty: what it leaves stays so.
            names = sorted({item.snapshotter for item in scope.only})
        cleaning = CleanupResult()
        workers = []
        for name in names:
            if name in self._context.snapshotters or (
                name == CONTENT_BACKEND and self._context.content is not None
            ):
                worker = self._start(name, scope)
                if worker is None:
                    cleaning.failures[shown(name)] = "an earlier cleanup of it still goes on"
                else:
                    workers.append(worker)
        interrupt: BaseException | None = None
        for worker in workers:
            worker.wait(self._patience_seconds)
            interrupt = worker.report(cleaning) or interrupt
        if interrupt is not None:  # all others have ended by now
            raise interrupt
        return cleaning

    def suspect_all(self) -> None:
        """Mark all backends as dirty, because their state is unknown."""
        for name in (CONTENT_BACKEND, *self._context.snapshotters):
            self._dirty.put_back(name)

    def close(self) -> None:
        """Stop cleanups before their next deletion, without waiting for one that hangs.

        What may still go on after that deletes what nothing can get the name of. A move is waited
        for, however long the system takes: what gets that name later would be moved instead.
        """
        with self._mutex:
            self._is_closed = True
            workers = list(self._working.values())
            for worker in workers:
                worker.stop()
        for worker in workers:
            worker.wait(_CLOSING_SECONDS)
            worker.wait_for_move()

    def _start(self, name: str, scope: CleanupScope) -> _Worker | None:
        with self._mutex:
            working = self._working.get(name)
            if self._is_closed or (working is not None and working.is_running):
                return None
            worker = self._working[name] = _Worker(self._context, self._dirty, name, scope)
        try:
            worker.start(self._ended)
        except BaseException:
            # It did not begin, or ends before its first step.
            worker.stop()
            self._ended(worker)
            raise
        return worker

    def _ended(self, worker: _Worker) -> None:
        with self._mutex:
            if self._working.get(worker.name) is worker:
                del self._working[worker.name]


class _Thread:
    """Exists as long as the thread of a worker runs."""

    def run(self, function: Callable[..., None], *arguments: object) -> None:
        """Call a function in a context without transactions."""
        contextvars.Context().run(function, *arguments)


class _Worker:
    """The cleanup of one backend, in a thread of its own."""

    def __init__(
        self, context: CollectionContext, dirty: DirtyBackends, name: str, scope: CleanupScope
    ) -> None:
        self.name = name
        self._context = context
        self._dirty = dirty
        self._scope = scope
        self._has_ended = Flag()
        self._thread: weakref.ref[_Thread] | None = None
        self._steps = Steps()
        self._cleaned = BackendResult()
        self._nanoseconds = 0
        self._error: BaseException | None = None

    def start(self, ended: Callable[[_Worker], None]) -> None:
        """Begin; `ended` is called at the end."""
        # A thread must not see the transaction of this context, even if threads inherit it. It
        # dies with the process, which a backend that hangs so does not keep from ending.
        thread = _Thread()
        self._thread = weakref.ref(thread)
        start_thread(partial(thread.run, self._run, ended))

    def stop(self) -> None:
        """Stop the cleanup before its next step."""
        self._steps.stop()

    @property
    def is_running(self) -> bool:
        """Whether its thread is still running."""
        return self._thread is not None and self._thread() is not None

    def wait(self, patience_seconds: float) -> None:
        """Return when it has ended, or has made no step for that long."""
        steps = -1
        while steps != self._steps.count:
            steps = self._steps.count
            if self._has_ended.wait(patience_seconds):
                return

    def wait_for_move(self) -> None:
        """Return when it moves nothing; it is to be told to stop before."""
        while self._steps.is_moving and not self._has_ended.wait(_POLL_SECONDS):
            pass

    def report(self, cleaning: CleanupResult) -> BaseException | None:
        """Add the outcome to the result of the run; return an interrupt of the thread."""
        if not self._has_ended.is_set and self.is_running:
            self._dirty.put_back(self.name)
            cleaning.failures[shown(self.name)] = "it does not answer: its cleanup still goes on"
            return None
        cleaning.durations[self.name] = self._nanoseconds
        cleaning.deleted += self._cleaned.deleted
        cleaning.freed_bytes += self._cleaned.freed_bytes
        cleaning.set_aside += self._cleaned.set_aside
        cleaning.set_aside_bytes += self._cleaned.set_aside_bytes
        if isinstance(self._error, Exception):
            # A backend may be a plug-in, which may raise any exception.
            cleaning.failures[shown(self.name)] = reason_of(self._error)
            cleaning.errors[shown(self.name)] = self._error
        elif self._error is not None:
            return self._error
        elif self._cleaned.warning:
            cleaning.failures[shown(self.name)] = self._cleaned.warning
        return None

    def _run(self, ended: Callable[[_Worker], None]) -> None:
        try:
            self._clean()
        except BaseException as error:  # noqa: BLE001 -- as in `_clean`; memory ran out there
            self._error = error
        finally:
            try:
                ended(self)
            finally:
                self._has_ended.set()

    def _clean(self) -> None:
        begun = perf_counter_ns()
        if self._scope.only is None:
            self._dirty.take(self.name)
        try:
            clean(self._context, self.name, self._cleaned, self._scope, self._steps)
        except (OrlopError, OSError) as error:
            self._error = error
            _logger.warning(
                "the cleanup of %s failed, and is tried again: %s", shown(self.name), error
            )
        except Exception as error:
            self._error = error
            _logger.exception("the cleanup of %s failed, and is tried again", shown(self.name))
        except BaseException as error:  # noqa: BLE001 -- raised in the thread that waits for this
            self._error = error
        # What is set aside is looked at again: it may have a name by then, or may go.
        left = self._cleaned.passed_over or self._cleaned.set_aside
        if self._error is not None or left:
            self._dirty.put_back(self.name)
        self._nanoseconds = perf_counter_ns() - begun
