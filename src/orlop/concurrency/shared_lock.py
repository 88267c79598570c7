"""A readers-writer lock that starves neither side, between updates and the sweep.

A thread that waits for exclusive access goes before threads that come later, so that a stream of
updates cannot starve the collector. Threads that waited for a share meanwhile go before the next
exclusive access, so that the collector cannot starve them. A thread that has a share gets another
one at once: its work may pass the same lock several times.

A share belongs to its object, and ends with it, or with its block, even if an exception kept
`__exit__` from running.

Source: phase-fair locks (Brandenburg and Anderson, 2009).
"""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import TYPE_CHECKING, Final, TypeVar

from orlop.concurrency.ownership import Hold, Mutex, discard_entry, living, wake

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

_POLL_SECONDS: Final = 0.02
"""How long one waits before looking whether those who are waited for are still there."""

_SEARCH_SECONDS: Final = 2.0
"""How long one waits before looking for them among what Python may collect."""


class SharedLock:
    """A readers-writer lock. Thread-safe."""

    def __init__(
        self,
        name: str,
        *,
        timeout_error: Callable[[str], Exception] = TimeoutError,
        deadlock_error: Callable[[str], Exception] = RuntimeError,
    ) -> None:
        """Begin free.

        Args:
            name: of the lock, in messages.
            timeout_error: makes the exception of a thread that waited too long.
            deadlock_error: makes the exception of a thread that would wait for itself.
        """
        self._name = name
        self._timeout_error = timeout_error
        self._deadlock_error = deadlock_error
        self._mutex = Mutex()
        self._shares: list[weakref.ref[Share]] = []
        self._exclusive: weakref.ref[Exclusive] | None = None
        self._waiting_for_share: list[weakref.ref[Share]] = []
        self._waiting_alone: list[weakref.ref[Exclusive]] = []
        self._wakers: list[threading.Lock] = []
        self._before_waiting: Callable[[], None] | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether a thread waits for a share."""
        return bool(self._waiting_for_share and living(self._waiting_for_share))

    @property
    def is_shared(self) -> bool:
        """Whether a thread has a share."""
        return bool(self._shares and living(self._shares))

    @property
    def is_exclusive(self) -> bool:
        """Whether a thread has the lock exclusively."""
        return self._owner() is not None

    def before_waiting(self, function: Callable[[], None]) -> None:
        """Set a function to call periodically while threads wait; it ends abandoned holds."""
        self._before_waiting = function

    def shared(self, timeout: float | None = None) -> AbstractContextManager[None]:
        """Lock a share while the block runs.

        Args:
            timeout: how many seconds to wait at most; `None`: without end.

        Raises:
            Exception: it took longer; see `timeout_error`.
        """
        return Share(self, timeout)

    def exclusive(
        self, timeout: float | None = None, *, owner: weakref.ref[Hold] | None = None
    ) -> Exclusive:
        """Have the lock alone while the block runs; the thread may take shares of it meanwhile.

        Args:
            timeout: how many seconds to wait at most; `None`: without end.
            owner: with whose block this ends, too; `None`: it has a block of its own.

        Raises:
            Exception: it took longer; see `timeout_error`.
            Exception: this thread holds the lock already; see `deadlock_error`.
        """
        return Exclusive(self, timeout, owner)

    def refuse_holder(self) -> None:
        """Refuse a thread that could not have the lock alone.

        Raises:
            Exception: this thread holds the lock already; see `deadlock_error`.
        """
        thread = threading.get_ident()
        if not self._is_free_for(thread) and self._before_waiting is not None:
            self._before_waiting()
        if not self._is_free_for(thread):
            gc.collect()  # what has it may be gone, but for a circle of references
        if not self._is_free_for(thread):
            raise self._deadlock_error(
                f"{self._name} is held by this thread, which would wait for itself: "
                "end the update first"
            )

    def begin_share(self, share: Share, timeout: float | None) -> None:
        """Acquire a share, waiting for it; see `shared`."""
        with self._mutex:
            if self._may_share(share):
                self._shares.append(share.entry)
                return
            self._waiting_for_share.append(share.entry)
        try:
            self._wait(lambda: self._try_share(share), timeout)
        finally:
            self._forget(self._waiting_for_share, share.entry)

    def end_share(self, share: Share) -> None:
        """Release a share, if it is locked; any thread may do so."""
        self._forget(self._shares, share.entry)

    def begin_exclusive(self, owner: Exclusive, timeout: float | None) -> None:
        """Acquire the lock exclusively, waiting for it; see `exclusive`."""
        self.refuse_holder()
        with self._mutex:
            self._waiting_alone.append(owner.entry)
        try:
            self._wait(lambda: self._try_alone(owner), timeout)
        finally:
            self._forget(self._waiting_alone, owner.entry)

    def end_exclusive(self, owner: Exclusive) -> None:
        """Release the exclusive lock, if this owner has it."""
        with self._mutex:
            if self._exclusive is owner.entry:
                self._exclusive = None
                # Threads that wait now precede the next one that wants it exclusively.
                for share in living(self._waiting_for_share):
                    share.is_owed = True
        self._wake_all()

    def _owner(self) -> Exclusive | None:
        owner = None if self._exclusive is None else self._exclusive()
        return None if owner is None or owner.is_left else owner

    def _is_free_for(self, thread: int) -> bool:
        with self._mutex:
            owner = self._owner()
            return (owner is None or owner.thread != thread) and all(
                share.thread != thread for share in living(self._shares)
            )

    def _may_share(self, share: Share) -> bool:
        owner = self._owner()
        if owner is not None:
            return owner.thread == share.thread
        if share.is_owed or not self._waiting_alone or not living(self._waiting_alone):
            return True
        return any(other.thread == share.thread for other in living(self._shares))

    def _try_share(self, share: Share) -> bool:
        with self._mutex:
            if not self._may_share(share):
                return False
            self._shares.append(share.entry)
        return True

    def _try_alone(self, owner: Exclusive) -> bool:
        with self._mutex:
            is_owed = any(share.is_owed for share in living(self._waiting_for_share))
            if living(self._shares) or self._owner() is not None or is_owed:
                return False
            self._exclusive = owner.entry
        return True

    def _wait(self, attempt: Callable[[], bool], timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        waker = threading.Lock()
        begun = time.monotonic()
        while True:
            waker.acquire(blocking=False)
            self._wakers.append(waker)  # before the attempt: what happens after it wakes this
            if attempt():
                return
            left = _POLL_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise self._timeout_error(
                    f"{self._name} was not free within {timeout} seconds: try again later"
                )
            if not waker.acquire(timeout=min(left, _POLL_SECONDS)) and self._before_waiting:
                self._before_waiting()
                if time.monotonic() > begun + _SEARCH_SECONDS:
                    gc.collect()  # as above
                    begun = time.monotonic()

    def _forget(self, entries: list[weakref.ref[_HeldT]], entry: weakref.ref[_HeldT]) -> None:
        with self._mutex:
            discard_entry(entries, entry)
        if self._wakers:
            self._wake_all()

    def _wake_all(self) -> None:
        wakers, self._wakers = self._wakers, []
        for waker in wakers:
            wake(waker)


class _Held(Hold):
    """A thread's share or exclusive ownership of a lock, or its wait for that, in a block."""

    __slots__ = ("lock", "owner", "thread", "timeout")

    def __init__(
        self, lock: SharedLock, timeout: float | None, owner: weakref.ref[Hold] | None = None
    ) -> None:
        """Prepare to take it; it is over with the block of `owner`, if there is one."""
        super().__init__()
        self.lock = lock
        self.timeout = timeout
        self.owner = owner
        self.thread = threading.get_ident()

    @property
    def is_left(self) -> bool:
        """Whether the block was left that this was taken for."""
        if self.owner is None:
            return super().is_left
        owner = self.owner()
        return owner is None or owner.is_left


_HeldT = TypeVar("_HeldT", bound=_Held)


class Share(_Held):
    """A share; see `SharedLock.shared`.

    Attributes:
        is_owed: whether it goes before the next one who wants the lock alone.
    """

    __slots__ = ("entry", "is_owed")

    def __init__(
        self, lock: SharedLock, timeout: float | None, owner: weakref.ref[Hold] | None = None
    ) -> None:
        """Prepare to take a share, for the block of `owner` or for a block of its own."""
        super().__init__(lock, timeout, owner)
        self.entry = weakref.ref(self)
        self.is_owed = False

    def __enter__(self) -> None:
        self.lock.begin_share(self, self.timeout)

    def leave(self, error: BaseException | None) -> None:
        """Give it back."""
        del error
        self.lock.end_share(self)


class Exclusive(_Held):
    """The lock, had alone; see `SharedLock.exclusive`."""

    __slots__ = ("entry",)

    def __init__(
        self, lock: SharedLock, timeout: float | None, owner: weakref.ref[Hold] | None = None
    ) -> None:
        """Prepare to have the lock, for the block of `owner` or for a block of its own."""
        super().__init__(lock, timeout, owner)
        self.entry = weakref.ref(self)

    def __enter__(self) -> None:
        self.lock.begin_exclusive(self, self.timeout)

    def leave(self, error: BaseException | None) -> None:
        """Release the exclusive lock."""
        del error
        self.lock.end_exclusive(self)
