"""Which backends a run cleans, and what becomes of each cleanup.

Each has a thread of its own: one that fails or hangs does not stop the others. It is tried
again by the next run, of this process or of a later one.
"""

from __future__ import annotations

import contextvars
import logging
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from orlop.gc.cleanup import Cleaned, Order, clean
from orlop.gc.dirt import CONTENT_BACKEND, shown
from orlop.gc.resources import reason_of
from orlop.model.errors import AbortedError, OrlopError
from orlop.ownership import Flag, Mutex, start_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.gc.dirt import Dirt
    from orlop.gc.domain import Domain

_PATIENCE_SECONDS: Final = 60.0
"""How long a run waits for a backend that makes no step."""

_CLOSING_SECONDS: Final = 5.0

_ALL: Final = Order()

_logger = logging.getLogger(__name__)


class Cleaning:
    """The cleanups of one run, with what became of each.

    Attributes:
        durations: how long each took, in nanoseconds, by the name of the backend.
        failures: which failed, and why.
        deleted: how many blobs, ingests and snapshots were deleted.
        freed_bytes: what those took on disk.
        set_aside: how much was left because the metadata is or was in doubt.
        set_aside_bytes: what that takes on disk.
    """

    def __init__(self) -> None:
        self.durations: dict[str, int] = {}
        self.failures: dict[str, str] = {}
        self.deleted = 0
        self.freed_bytes = 0
        self.set_aside = 0
        self.set_aside_bytes = 0


class Cleaner:
    """Cleans the backends of a database. Every thread may use it."""

    def __init__(
        self, domain: Domain, dirt: Dirt, *, patience_seconds: float = _PATIENCE_SECONDS
    ) -> None:
        """Make a cleaner.

        Args:
            domain: the database.
            dirt: which of its backends are to be cleaned.
            patience_seconds: how long to wait for a backend that makes no step.
        """
        self._domain = domain
        self._dirt = dirt
        self._patience_seconds = patience_seconds
        self._mutex = Mutex()
        self._working: dict[str, _Worker] = {}
        self._is_closed = False

    def run(self, order: Order = _ALL) -> Cleaning:
        """Clean all backends that need it, all at the same time.

        What a backend that hangs does later, if it ever does, is not in what this returns.

        Args:
            order: what may be deleted.
        """
        if order.release:
            names = [CONTENT_BACKEND, *self._domain.snapshotters]
        elif order.only is None:
            names = self._dirt.names()
        else:
            # A plan does not clean all that is dirty: what it leaves stays so.
            names = sorted({datum.snapshotter for datum in order.only})
        cleaning = Cleaning()
        workers = []
        for name in names:
            if name in self._domain.snapshotters or (
                name == CONTENT_BACKEND and self._domain.content is not None
            ):
                worker = self._start(name, order)
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
        """Count all backends as dirty: nobody knows what was left in them."""
        for name in (CONTENT_BACKEND, *self._domain.snapshotters):
            self._dirt.put_back(name)

    def close(self) -> None:
        """Let cleanups end before their next deletion; do not wait for one that hangs.

        What may still go on after that deletes what nothing can get the name of.
        """
        with self._mutex:
            self._is_closed = True
            workers = list(self._working.values())
            for worker in workers:
                worker.stop()
        for worker in workers:
            worker.wait(_CLOSING_SECONDS)

    def _start(self, name: str, order: Order) -> _Worker | None:
        with self._mutex:
            if name in self._working or self._is_closed:
                return None
            worker = self._working[name] = _Worker(self._domain, self._dirt, name, order)
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


class _Worker:
    """The cleanup of one backend, in a thread of its own."""

    def __init__(self, domain: Domain, dirt: Dirt, name: str, order: Order) -> None:
        self.name = name
        self._domain = domain
        self._dirt = dirt
        self._order = order
        self._has_ended = Flag()
        self._is_stopped = False
        self._steps = 0
        self._cleaned = Cleaned()
        self._nanoseconds = 0
        self._error: BaseException | None = None

    def start(self, ended: Callable[[_Worker], None]) -> None:
        """Begin; `ended` is called at the end."""
        # A thread must not see the transaction of this context, whatever threads inherit. It
        # dies with the process, which a backend that hangs so does not keep from ending.
        start_thread(partial(contextvars.Context().run, self._run, ended))

    def stop(self) -> None:
        """Let it end before its next step."""
        self._is_stopped = True

    def wait(self, patience_seconds: float) -> None:
        """Return when it has ended, or has made no step for that long."""
        steps = -1
        while steps != self._steps:
            steps = self._steps
            if self._has_ended.wait(patience_seconds):
                return

    def report(self, cleaning: Cleaning) -> BaseException | None:
        """Add the outcome to the result of the run; return an interrupt of the thread."""
        if not self._has_ended.is_set:
            self._dirt.put_back(self.name)
            cleaning.failures[shown(self.name)] = "it does not answer: its cleanup still goes on"
            return None
        cleaning.durations[self.name] = self._nanoseconds
        cleaning.deleted += self._cleaned.deleted
        cleaning.freed_bytes += self._cleaned.freed_bytes
        cleaning.set_aside += self._cleaned.set_aside
        cleaning.set_aside_bytes += self._cleaned.set_aside_bytes
        if isinstance(self._error, Exception):
            # A backend may be a plug-in, which raises whatever it likes.
            cleaning.failures[shown(self.name)] = reason_of(self._error)
        elif self._error is not None:
            return self._error
        elif self._cleaned.warning:
            cleaning.failures[shown(self.name)] = self._cleaned.warning
        return None

    def _run(self, ended: Callable[[_Worker], None]) -> None:
        begun = perf_counter_ns()
        if self._order.only is None:
            self._dirt.take(self.name)
        try:
            clean(self._domain, self.name, self._cleaned, self._order, self._advance)
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
            self._dirt.put_back(self.name)
        self._nanoseconds = perf_counter_ns() - begun
        ended(self)
        self._has_ended.set()

    def _advance(self) -> None:
        self._steps += 1
        if self._is_stopped:
            raise AbortedError("the database is being closed")
