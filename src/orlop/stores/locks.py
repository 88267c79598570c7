"""A lock that many share or one has alone.

The gate between updates and the collector's sweep is one. Whoever waits to have it alone goes
before newcomers, so that a stream of updates cannot starve the collector; and whoever waited
for a share meanwhile goes before the next one who wants it alone, so that the collector cannot
starve them. A thread that holds a share gets another one at once: its work may pass the same
lock several times.

Source: phase-fair locks (Brandenburg and Anderson, 2009).
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orlop.model.errors import FailedPreconditionError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType


class SharedLock:
    """A readers-writer lock that belongs to threads; `name` is for messages."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._condition = threading.Condition(threading.Lock())
        self._shares: dict[int, int] = {}
        self._exclusive_thread: int | None = None
        self._exclusive_waiting = 0
        self._shares_waiting = 0
        self._phase = 0
        # How many still wait for a share who did so when the last phase ended.
        self._owed = 0

    @property
    def is_wanted(self) -> bool:
        """Whether anybody waits for a share just now."""
        return self._shares_waiting > 0

    @property
    def is_shared(self) -> bool:
        """Whether anybody holds a share just now."""
        return bool(self._shares)

    def shared(self, timeout: float | None = None) -> AbstractContextManager[None]:
        """Hold a share while the block runs.

        Args:
            timeout: how many seconds to wait at most; `None`: without end.

        Raises:
            UnavailableError: it took longer.
        """
        return _Share(self, timeout)

    def acquire_share(self, timeout: float | None = None) -> int:
        """Take a share as `shared` does; return the thread that has it now."""
        me = threading.get_ident()
        with self._condition:
            if not self._may_share(me):
                self._wait_for_share(me, timeout)
            self._shares[me] = self._shares.get(me, 0) + 1
        return me

    def release_share(self, thread: int) -> None:
        """Give back a share that a thread has; any thread may do so."""
        with self._condition:
            left = self._shares[thread] - 1
            if left:
                self._shares[thread] = left
                return
            del self._shares[thread]
            if self._exclusive_waiting:
                self._condition.notify_all()

    @contextmanager
    def exclusive(self, timeout: float | None = None) -> Iterator[None]:
        """Have the lock alone while the block runs; the thread may take shares of it meanwhile.

        Args:
            timeout: how many seconds to wait at most; `None`: without end.

        Raises:
            UnavailableError: it took longer.
            FailedPreconditionError: this thread holds the lock already; it would wait for itself.
        """
        me = threading.get_ident()
        with self._condition:
            self._refuse(me)
            self._exclusive_waiting += 1
            try:
                self._wait(self._is_free, timeout)
                self._exclusive_thread = me
            finally:
                self._exclusive_waiting -= 1
                self._condition.notify_all()
        try:
            yield
        finally:
            with self._condition:
                self._exclusive_thread = None
                self._phase += 1
                self._owed = self._shares_waiting
                self._condition.notify_all()

    def refuse_holder(self) -> None:
        """Refuse a thread that could not have the lock alone.

        Raises:
            FailedPreconditionError: this thread holds the lock already; it would wait for itself.
        """
        with self._condition:
            self._refuse(threading.get_ident())

    def _refuse(self, thread: int) -> None:
        if thread in self._shares or self._exclusive_thread == thread:
            raise FailedPreconditionError(
                f"{self._name} is held by this thread, which would wait for itself: "
                "end the update first"
            )

    def _may_share(self, thread: int) -> bool:
        if self._exclusive_thread is not None:
            return self._exclusive_thread == thread
        return thread in self._shares or not self._exclusive_waiting

    def _is_free(self) -> bool:
        return not self._shares and self._exclusive_thread is None and not self._owed

    def _wait_for_share(self, thread: int, timeout: float | None) -> None:
        phase = self._phase
        self._shares_waiting += 1
        try:
            self._wait(
                lambda: (
                    self._may_share(thread)
                    or (self._exclusive_thread is None and phase < self._phase)
                ),
                timeout,
            )
        finally:
            self._shares_waiting -= 1
            if phase < self._phase:
                self._owed -= 1
                self._condition.notify_all()

    def _wait(self, ready: Callable[[], bool], timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not ready():
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                raise UnavailableError(
                    f"{self._name} was not free within {timeout} seconds: try again later"
                )
            self._condition.wait(remaining)


class _Share:
    """A share that is held while a block runs."""

    __slots__ = ("_lock", "_own_thread", "_timeout")

    def __init__(self, lock: SharedLock, timeout: float | None) -> None:
        self._lock = lock
        self._timeout = timeout

    def __enter__(self) -> None:
        self._own_thread = self._lock.acquire_share(self._timeout)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release_share(self._own_thread)
