"""A lock that many share or one has alone.

The gate between updates and the collector's sweep is one. Whoever waits to have it alone goes
before newcomers, so that a stream of updates cannot starve the collector. A thread that
holds a share gets another one at once: its work may pass the same lock several times.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orlop.model.errors import FailedPreconditionError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class SharedLock:
    """A readers-writer lock that belongs to threads; `name` is for messages."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._condition = threading.Condition()
        self._shares: dict[int, int] = {}
        self._exclusive_thread: int | None = None
        self._exclusive_waiting = 0

    @property
    def is_shared(self) -> bool:
        """Whether anybody holds a share just now."""
        return bool(self._shares)

    @contextmanager
    def shared(self, timeout: float | None = None) -> Iterator[None]:
        """Hold a share while the block runs.

        Args:
            timeout: how many seconds to wait at most; `None`: without end.

        Raises:
            UnavailableError: it took longer.
        """
        me = threading.get_ident()
        with self._condition:
            self._wait(lambda: self._may_share(me), timeout)
            self._shares[me] = self._shares.get(me, 0) + 1
        try:
            yield
        finally:
            with self._condition:
                self._shares[me] -= 1
                if not self._shares[me]:
                    del self._shares[me]
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
                self._wait(lambda: not self._shares and self._exclusive_thread is None, timeout)
                self._exclusive_thread = me
            finally:
                self._exclusive_waiting -= 1
                self._condition.notify_all()
        try:
            yield
        finally:
            with self._condition:
                self._exclusive_thread = None
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

    def _wait(self, ready: Callable[[], bool], timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not ready():
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                raise UnavailableError(
                    f"{self._name} was not free within {timeout} seconds: try again later"
                )
            self._condition.wait(remaining)
