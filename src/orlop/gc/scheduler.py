"""The scheduler: a thread that collects when it is due, until the database closes.

`schedule_policy` has the rules. This adds the thread, the callers that wait for a collection,
and the timer for the next moment at which an expiry changes what is reachable.

A signal handler may raise in any call of the main thread. So the state has a lock that is
released with its owner (`orlop.concurrency.ownership`), and the thread is woken before the state
changes: it waits for the lock then, and sees the change even if the call was interrupted after it.

Source: containerd, plugins/gc/scheduler.go; spec/metadata.md 3.9.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from orlop.clock import require_timeout
from orlop.concurrency.ownership import Flag, Mutex, start_thread
from orlop.errors import AbortedError, OrlopError, UnavailableError
from orlop.gc.schedule_policy import SchedulePolicy, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from whenever import Instant

    from orlop.changes import Changes
    from orlop.clock import ObservedClock
    from orlop.concurrency.shared_lock import SharedLock
    from orlop.gc.plan import Statistics

_SECOND: Final = 10**9
_NAP_SECONDS_MAX: Final = 60.0
"""The system's clock may be set while a moment is waited for."""
_CLOSING_SECONDS: Final = 5.0
_LOOKING_SHARE: Final = 20
"""To look for the nearest moment takes at most this part of the time."""

_logger = logging.getLogger(__name__)


class Timer(Protocol):
    """Time as the scheduler waits for it. Tests own it."""

    def now(self) -> int:
        """Return the nanoseconds of a monotonic clock, since an arbitrary moment."""

    def wait(self, changed: Flag, seconds: float | None) -> None:
        """Wait until the flag is set, at most that long; `None`: without end."""


class SystemTimer:
    """The time of this machine."""

    def now(self) -> int:
        """Return the system's monotonic time, in nanoseconds."""
        return time.monotonic_ns()

    def wait(self, changed: Flag, seconds: float | None) -> None:
        """Wait until the flag is set, at most that long."""
        changed.wait(seconds)


class Waiter:
    """A handle to wait for a requested collection."""

    def __init__(self, gate: SharedLock) -> None:
        """Begin before the collection.

        Args:
            gate: a collection needs it alone, so a thread that holds it must not wait.
        """
        self._gate = gate
        self._has_ended = Flag()
        self._statistics: Statistics | None = None
        self._error: BaseException | None = None

    def end(self, statistics: Statistics | None, error: BaseException | None = None) -> None:
        """Set the outcome of the collection: statistics, an error, or neither at the close."""
        self._statistics, self._error = statistics, error
        self._has_ended.set()

    def wait(self, timeout: float | None = None) -> Statistics:
        """Wait for the collection to end and return its statistics.

        Args:
            timeout: how many seconds to wait at most; `None`: without end.

        Raises:
            AbortedError: it failed, or the database was closed before.
            UnavailableError: it took longer.
            FailedPreconditionError: this thread has an update open, which the collection waits for.
            InvalidArgumentError: the timeout is negative, or no number.
        """
        require_timeout(timeout)
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
        """Prepare; `start` begins the thread, `stop` ends it.

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
        self._mutex = Mutex()
        # Set when the thread must look at the state again; a new one for each look.
        self._changed = Flag()
        self._agenda = SchedulePolicy(settings, self._timer.now())
        self._waiters: list[Waiter] = []
        self._deletions = 0
        self._nearest: Instant | None = None
        # The first collection finds it; where none is due yet, it is looked for now.
        self._look_at = self._timer.now() if self._agenda.due is None else None
        self._look_pause = _SECOND
        self._is_closed = False
        self._thread: int | None = None
        self._has_ended = Flag()

    def start(self) -> None:
        """Begin to collect, in a thread of its own."""
        # It must not see the transaction of this context, even if threads inherit it.
        start_thread(partial(contextvars.Context().run, self._run))

    @property
    def nearest(self) -> Instant | None:
        """The next moment at which something expires, if it is known."""
        return self._nearest

    def note(self, changes: Changes) -> None:
        """Take note of the changes of an update, or of data that a rollback left in backends."""
        with self._mutex:
            self._changed.set()
            # As containerd counts: with the first deletion every update is one that deletes.
            self._deletions += changes.deletions
            if changes.committed:
                has_deleted = self._deletions > 0
                self._agenda.note_update(self._timer.now(), has_deleted=has_deleted)
                if self._look_at is None:
                    self._look_at = self._timer.now() + self._look_pause
            else:
                self._agenda.retry_next_interval(self._timer.now())

    def request(self) -> Waiter:
        """Ask for a collection at once; one that already runs does not count.

        Returns:
            Its end, to wait for.
        """
        waiter = Waiter(self._gate)
        with self._mutex:
            if self._is_closed:
                waiter.end(None)
                return waiter
            self._changed.set()
            self._waiters.append(waiter)
            self._agenda.request(self._timer.now())
        return waiter

    def follow(self) -> Waiter:
        """Return the end of the next collection, whenever that is, to wait for."""
        waiter = Waiter(self._gate)
        with self._mutex:
            if self._is_closed:
                waiter.end(None)
            else:
                self._waiters.append(waiter)
        return waiter

    def stop(self) -> None:
        """Begin no more collections; end the waiting for one."""
        with self._mutex:
            self._is_closed = True
            self._changed.set()
        self._end_waiters()

    def join(self) -> None:
        """Wait for the thread, but not without end: a collection may wait for its caller."""
        if self._thread is not None and threading.get_ident() != self._thread:
            self._has_ended.wait(_CLOSING_SECONDS)

    def _run(self) -> None:
        self._thread = threading.get_ident()
        try:
            while self._wait():
                self._collect_once()
            self._end_waiters()  # those that came while this was closed
        finally:
            self._has_ended.set()

    def _end_waiters(self) -> None:
        with self._mutex:
            waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.end(None)

    def _wait(self) -> bool:
        """Wait until a collection is due; return false once this is closed."""
        while not self._is_closed:
            # Replaced before the state is read: a later change sets this one.
            changed = self._changed = Flag()
            with self._mutex:
                now = self._timer.now()
                if self._jumps != self._clock.jumps:
                    self._jumps, self._look_at = self._clock.jumps, now
                if self._nearest is not None and self._clock.now() >= self._nearest:
                    self._nearest = None
                    self._look_at = None  # the collection looks again
                    self._agenda.retry_next_interval(now)
                # After the expiry above, which may have made a collection due now.
                due = self._agenda.due
                if due is not None and due <= now:
                    self._agenda.begin()
                    return not self._is_closed
                must_look = self._look_at is not None and self._look_at <= now
                if must_look:
                    self._look_at = None
                seconds = self._nap(now, due)
            # Without the mutex: reading may take long, and updates note their changes meanwhile.
            if must_look:
                self._look()
            else:
                self._timer.wait(changed, seconds)
        return False

    def _nap(self, now: int, due: int | None) -> float | None:
        """Return for how many seconds nothing is to be done."""
        naps = [(at - now) / _SECOND for at in (due, self._look_at) if at is not None]
        if self._nearest is not None:
            until = (self._nearest - self._clock.now()).total("seconds")
            # Bounded, because the wall clock may be set while the thread sleeps.
            naps.append(min(max(until, 0), _NAP_SECONDS_MAX))
        return min(naps, default=None)

    def _look(self) -> None:
        """Find the nearest moment."""
        begun = self._timer.now()
        try:
            found = self._find_nearest(self._clock.now())
        except (OrlopError, OSError) as error:
            found = None
            _logger.warning("when something expires could not be read: %s", error)
        taken = self._timer.now() - begun
        with self._mutex:
            # A large database takes long to look through: looking must not become its main work.
            self._look_pause = max(_SECOND, taken * _LOOKING_SHARE)
            self._nearest = found

    def _collect_once(self) -> None:
        # Taken before the run: what is asked for or deleted while it runs may come too late for it,
        # and counts for the next one.
        with self._mutex:
            waiters, self._waiters = self._waiters, []
            deletions, self._deletions = self._deletions, 0
        statistics: Statistics | None = None
        failure: BaseException | None = None
        try:
            statistics = self._collect()
        except Exception as error:
            failure = error
            if not self._is_closed:
                _logger.exception("a collection failed, and is tried again")
        with self._mutex:
            now = self._timer.now()
            self._look_at = now
            if statistics is None:
                # They are still to be collected: a failed run must not make them count as done.
                self._deletions += deletions
                self._agenda.fail(now)
            else:
                is_complete = not statistics.failures
                self._agenda.succeed(now, statistics.pause_nanoseconds, is_complete=is_complete)
        for waiter in waiters:
            waiter.end(statistics, failure)
