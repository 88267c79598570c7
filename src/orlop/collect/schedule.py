"""The scheduler: a thread that collects when it is due, until the database closes.

`agenda` has the rules. This adds the thread, those who wait for a collection, and the timer on
the nearest moment at which time alone changes what is held.

Source: containerd, plugins/gc/scheduler.go; spec/metadata.md 3.9.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

from orlop.collect.agenda import Agenda, Settings
from orlop.model.errors import AbortedError, OrlopError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from whenever import Instant

    from orlop.collect.statistics import Statistics
    from orlop.model.observed_clock import ObservedClock
    from orlop.stores.locks import SharedLock
    from orlop.stores.scope import Changes

_SECOND: Final = 10**9
_NAP_SECONDS_MAX: Final = 60.0
"""While a moment is waited for, somebody may set the system's clock."""
_CLOSING_SECONDS: Final = 5.0
_LOOKING_SHARE: Final = 20
"""To look for the nearest moment takes at most this part of the time."""

_logger = logging.getLogger(__name__)


class Timer(Protocol):
    """Time as the scheduler waits for it. Tests own it."""

    def now(self) -> int:
        """Return the nanoseconds since any moment, by a clock that only goes on."""

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait to be notified, at most that long; `None`: without end."""


class SystemTimer:
    """The time of this machine."""

    def now(self) -> int:
        """Return the system's monotonic time, in nanoseconds."""
        return time.monotonic_ns()

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait to be notified, at most that long."""
        condition.wait(seconds)


class Waiter:
    """Somebody who waits for the end of the next collection."""

    def __init__(self, gate: SharedLock) -> None:
        """Begin to wait.

        Args:
            gate: what a collection needs alone, and so nobody may hold who waits for one.
        """
        self._gate = gate
        self._has_ended = threading.Event()
        self._statistics: Statistics | None = None
        self._error: BaseException | None = None

    def end(self, statistics: Statistics | None, error: BaseException | None = None) -> None:
        """Say what became of the collection: statistics, or an error, or neither at the close."""
        self._statistics, self._error = statistics, error
        self._has_ended.set()

    def wait(self, timeout: float | None = None) -> Statistics:
        """Return what the collection did.

        Args:
            timeout: how many seconds to wait at most; `None`: without end.

        Raises:
            AbortedError: it failed, or the database was closed before.
            UnavailableError: it took longer.
            FailedPreconditionError: this thread has an update open, which the collection waits for.
        """
        self._gate.refuse_holder()
        if not self._has_ended.wait(timeout):
            raise UnavailableError(f"the collection did not end within {timeout} seconds")
        if self._statistics is None:
            reason = self._error or "the database was closed before it ran"
            raise AbortedError(f"the collection failed: {reason}") from self._error
        return self._statistics


class Scheduler:
    """Collects when it is due. Every thread may use it."""

    def __init__(
        self,
        collect: Callable[[], Statistics],
        nearest: Callable[[Instant], Instant | None],
        gate: SharedLock,
        clock: ObservedClock,
        settings: Settings,
        timer: Timer | None = None,
    ) -> None:
        """Begin, in a thread of its own; `close` ends it.

        Args:
            collect: runs a collection.
            nearest: returns when time alone changes something after the given moment.
            gate: what a collection needs alone.
            clock: what expiries are compared with.
            settings: when collections run.
            timer: what intervals are measured with; `None`: the system's.
        """
        self.settings = settings
        self._collect = collect
        self._find_nearest = nearest
        self._gate = gate
        self._clock = clock
        self._jumps = clock.jumps
        self._timer = timer or SystemTimer()
        self._changed = threading.Condition()
        self._agenda = Agenda(settings, self._timer.now())
        self._waiters: list[Waiter] = []
        self._deletions = 0
        self._nearest: Instant | None = None
        # The first collection finds it; where none is due yet, it is looked for now.
        self._look_at = self._timer.now() if self._agenda.due is None else None
        self._look_pause = _SECOND
        self._is_closed = False
        # The thread must not see the transaction of this context, whatever threads inherit.
        self._thread = threading.Thread(
            target=contextvars.Context().run, args=(self._run,), name="collections", daemon=True
        )
        self._thread.start()

    @property
    def nearest(self) -> Instant | None:
        """When time alone changes what is held next, as far as it is known."""
        return self._nearest

    def note(self, changes: Changes) -> None:
        """Take note of what an update has done, or of what a rollback left in backends."""
        with self._changed:
            # As containerd counts: with the first deletion every update is one that deletes.
            self._deletions += changes.deletions
            if changes.committed:
                has_deleted = self._deletions > 0
                self._agenda.note_update(self._timer.now(), has_deleted=has_deleted)
                if self._look_at is None:
                    self._look_at = self._timer.now() + self._look_pause
            else:
                self._agenda.owe(self._timer.now())
            self._changed.notify_all()

    def request(self) -> Waiter:
        """Ask for a collection at once; one that already runs does not count.

        Returns:
            What waits for its end.
        """
        waiter = Waiter(self._gate)
        with self._changed:
            if self._is_closed:
                waiter.end(None)
                return waiter
            self._waiters.append(waiter)
            self._agenda.request(self._timer.now())
            self._changed.notify_all()
        return waiter

    def follow(self) -> Waiter:
        """Return what waits for the end of the next collection, whenever that is."""
        waiter = Waiter(self._gate)
        with self._changed:
            if self._is_closed:
                waiter.end(None)
            else:
                self._waiters.append(waiter)
        return waiter

    def stop(self) -> None:
        """Begin no more collections; whoever waits for one is told."""
        with self._changed:
            self._is_closed = True
            waiters, self._waiters = self._waiters, []
            self._changed.notify_all()
        for waiter in waiters:
            waiter.end(None)

    def join(self) -> None:
        """Wait for the thread, but not without end: a collection may wait for its caller."""
        if threading.current_thread() is not self._thread:
            self._thread.join(_CLOSING_SECONDS)

    def _run(self) -> None:
        while (waiters := self._wait()) is not None:
            self._collect_once(waiters)

    def _wait(self) -> list[Waiter] | None:
        """Return who waits for the collection that is due now; `None`: this is closed."""
        with self._changed:
            while not self._is_closed:
                now = self._timer.now()
                if self._jumps != self._clock.jumps:
                    self._jumps, self._look_at = self._clock.jumps, now
                if self._nearest is not None and self._clock.now() >= self._nearest:
                    self._nearest = None
                    self._look_at = None  # the collection looks again
                    self._agenda.owe(now)
                due = self._agenda.due
                if due is not None and due <= now:
                    self._agenda.begin()
                    waiters, self._waiters = self._waiters, []
                    return waiters
                if self._look_at is not None and self._look_at <= now:
                    self._look()
                else:
                    self._timer.wait(self._changed, self._nap(now, due))
        return None

    def _nap(self, now: int, due: int | None) -> float | None:
        """Return for how many seconds nothing is to be done."""
        naps = [(at - now) / _SECOND for at in (due, self._look_at) if at is not None]
        if self._nearest is not None:
            until = (self._nearest - self._clock.now()).total("seconds")
            naps.append(min(max(until, 0), _NAP_SECONDS_MAX))
        return min(naps, default=None)

    def _look(self) -> None:
        """Find the nearest moment, with the lock left meanwhile."""
        self._look_at = None
        begun = self._timer.now()
        self._changed.release()
        try:
            found = self._find_nearest(self._clock.now())
        except (OrlopError, OSError) as error:
            found = None
            _logger.warning("when something expires could not be read: %s", error)
        finally:
            self._changed.acquire()
        taken = self._timer.now() - begun
        self._look_pause = max(_SECOND, taken * _LOOKING_SHARE)
        self._nearest = found

    def _collect_once(self, waiters: list[Waiter]) -> None:
        with self._changed:
            deletions, self._deletions = self._deletions, 0
        statistics: Statistics | None = None
        failure: BaseException | None = None
        try:
            statistics = self._collect()
        except Exception as error:
            failure = error
            if not self._is_closed:
                _logger.exception("a collection failed, and is tried again")
        with self._changed:
            now = self._timer.now()
            self._look_at = now
            if statistics is None:
                self._deletions += deletions
                self._agenda.fail(now)
            else:
                is_complete = not statistics.failures
                self._agenda.succeed(now, statistics.pause_nanoseconds, is_complete=is_complete)
        for waiter in waiters:
            waiter.end(statistics, failure)
