"""Locks and files with an owner: they are released when the owner is gone.

A signal handler may raise between any two instructions: after a lock was acquired and before the
`try` block that would release it, or before the first instruction of `__exit__`. So each lock
records its owner, and a waiting thread checks whether that owner still exists: a `Mutex` is owned
by the running call that entered its block, a `Turn` by an object (its `Ticket`), a `Hold` by the
`with` statement around it. A lock whose owner is gone counts as released.
"""

from __future__ import annotations

import _thread
import gc
import inspect
import io
import os
import sys
import threading
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType, TracebackType
    from typing import Any

_GENERATORS: Final = (
    inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
    | inspect.CO_ITERABLE_COROUTINE
)

_POLL_SECONDS: Final = 0.02
"""How long a thread waits between two checks whether the owner of a lock is gone."""

_LOOK_SECONDS: Final = 1.0
"""How long a thread sleeps at most where it is woken in nearly every case."""

_SEARCH_SECONDS: Final = 2.0
"""How long a thread waits for another one before it runs Python's garbage collector."""


class ReentryError(RuntimeError):
    """A signal handler called the function that it had interrupted, and would deadlock."""


def is_running(frame: FrameType) -> bool:
    """Return whether a call has not ended yet, in any thread; clear the frame of one that has.

    A generator counts as running. (Walking the stack of another thread is not safe: Python 3.11
    may collect garbage between two steps, and let that thread run.)
    """
    if frame.f_code.co_flags & _GENERATORS:
        return True
    try:
        frame.clear()
    except RuntimeError:
        return True  # an executing frame cannot be cleared
    return False


def is_below(top: FrameType | None, frame: FrameType) -> bool:
    """Return whether `frame` is `top` or one of its callers. Only for stacks of this thread."""
    while top is not None:
        if top is frame:
            return True
        top = top.f_back
    return False


def wake(waker: threading.Lock) -> None:
    """Release a lock that a thread waits for, unless another thread has released it."""
    if waker.locked():
        try:
            waker.release()
        except RuntimeError:
            return  # by another thread, just now


class Mutex:
    """A lock for a block of a function, owned by the running call of that function.

    First come, first served. It is not reentrant, and no `yield` may be inside the block.
    """

    __slots__ = ("_callers", "_wakers")

    def __init__(self) -> None:
        # The first owns the lock, the rest wait. Each access is one atomic step of the list.
        self._callers: list[FrameType] = []
        self._wakers: dict[FrameType, threading.Lock] = {}

    def __enter__(self) -> None:
        caller = sys._getframe(1)  # noqa: SLF001 (the call that a block belongs to)
        self._callers.append(caller)
        if self._callers[0] is not caller:
            self._wait(caller)

    def __exit__(self, *_: object) -> None:
        callers = self._callers
        callers.remove(sys._getframe(1))  # noqa: SLF001 (as above)
        if callers:
            self._wake_first()

    @property
    def is_locked(self) -> bool:
        """Whether a call owns it or waits for it."""
        return bool(self._callers)

    def _wait(self, caller: FrameType) -> None:
        waker = self._wakers[caller] = threading.Lock()
        try:
            waker.acquire()
            while self._callers[0] is not caller:
                if not waker.acquire(timeout=_POLL_SECONDS):
                    self._pass_over(caller)
        except BaseException:
            _discard(self._callers, caller)
            raise
        finally:
            self._wakers.pop(caller, None)

    def _pass_over(self, caller: FrameType) -> None:
        """Remove the owner if its call has ended."""
        first = self._callers[0]
        if not is_running(first):
            _discard(self._callers, first)
            self._wake_first()
        elif first is not caller and is_below(caller, first):
            raise ReentryError(
                "a signal handler called the function that it had interrupted, and would wait for "
                "itself. Let the handler raise or set a flag, and call from outside of it"
            )

    def _wake_first(self) -> None:
        """Wake the next in line. If that is missed, it finds out at its next poll."""
        try:
            waker = self._wakers.get(self._callers[0])
        except IndexError:
            return  # it has left the line
        if waker is not None:
            wake(waker)


def _discard(entries: list[Any], entry: object) -> None:
    try:
        entries.remove(entry)
    except ValueError:
        return  # another thread has removed it


class Turn:
    """A lock owned by an object, at most for as long as that lives. First come, first served."""

    def __init__(self) -> None:
        self._entries: list[weakref.ref[Ticket]] = []

    def acquire(self, ticket: Ticket, timeout: float | None) -> bool:
        """Acquire the lock for a ticket; return whether that succeeded within `timeout` seconds."""
        ticket.handing = [(sys._getframe(1), None)]  # noqa: SLF001 (the call that acquires the lock)
        self._join(ticket)
        if self._entries[0] is ticket.entry:
            return True
        try:
            return self._wait(ticket, timeout)
        except BaseException:
            self.release(ticket)
            raise

    def release(self, ticket: Ticket) -> None:
        """Remove a ticket; it need not own the lock."""
        entry, ticket.entry = ticket.entry, None
        if entry is not None:
            _discard(self._entries, entry)
        if self._entries:
            self._wake_first()

    @property
    def holder(self) -> Ticket | None:
        """The ticket that owns the lock; `None` if it is free."""
        while entries := self._entries[:1]:
            ticket = entries[0]()
            # An interrupt may have left a released ticket in the line.
            if ticket is not None and ticket.entry is entries[0]:
                return ticket
            _discard(self._entries, entries[0])
        return None

    def _join(self, ticket: Ticket) -> None:
        ticket.entry = weakref.ref(ticket)
        self._entries.append(ticket.entry)

    def _wait(self, ticket: Ticket, timeout: float | None) -> bool:
        begun = time.monotonic()
        deadline = None if timeout is None else begun + timeout
        waker = threading.Lock()
        waker.acquire()
        ticket.waker = waker
        is_searched = False
        while (holder := self.holder) is not ticket:
            if holder is not None and holder.is_abandoned:
                self.release(holder)
                continue
            if ticket.entry is None:
                self._join(ticket)
            now = time.monotonic()
            if not is_searched and holder is not None:
                # The owner may be garbage that only a reference cycle keeps alive.
                is_own = holder.thread == ticket.thread
                is_searched = now > begun + (_POLL_SECONDS if is_own else _SEARCH_SECONDS)
                if is_searched:
                    del holder
                    gc.collect()
                    continue
            left = _POLL_SECONDS if deadline is None else deadline - now
            if left <= 0:
                self.release(ticket)
                return False
            del holder
            waker.acquire(timeout=min(left, _POLL_SECONDS))
        return True

    def _wake_first(self) -> None:
        holder = self.holder
        if holder is not None and holder.waker is not None:
            wake(holder.waker)


class Ticket:
    """An owner of a `Turn`, or one that waits for it.

    Attributes:
        thread: the thread that made it.
        entry: its place in the line.
        waker: is released when it acquires the lock.
        handing: the call that acquires the lock and the result that it returns; empty once the
            caller has taken that.
    """

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.entry: weakref.ref[Ticket] | None = None
        self.waker: threading.Lock | None = None
        self.handing: list[Any] = []

    def hand(self, what: object) -> list[Any]:
        """Return a list with `what`; the call that pops it takes over the ticket."""
        self.handing[0] = self.handing[0][0], what
        return self.handing

    def release_with_caller(self) -> None:
        """Hand the lock to the calling function, which releases it, at the latest with its end."""
        self.handing = [(sys._getframe(1), None)]  # noqa: SLF001 (the call that owns it now)

    @property
    def is_abandoned(self) -> bool:
        """Whether the call that was to hand on or to release the lock has ended before."""
        return any(not is_running(caller) for caller, _ in tuple(self.handing))

    def roll_back(self) -> None:
        """Undo the work that was done under the lock, which is released."""


class _Leaving:
    """The `__exit__` of a hold: a new object for each `with` statement, which keeps it alive."""

    def __get__(self, hold: Hold | None, kind: type[Hold]) -> Callable[..., None]:
        if hold is None:
            # `ExitStack` gets `__exit__` from the class, and keeps the hold itself.
            return _leave
        leaving = partial(_leave, hold)
        hold.statement = weakref.ref(leaving)
        return leaving


def _leave(
    hold: Hold,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    del kind, traceback
    hold.leave(error)


class Hold:
    """A one-use context manager that detects its end even if `__exit__` never runs.

    Attributes:
        statement: a dead reference once the `with` statement was left, also without `__exit__`;
            `None` if there is no such statement.
    """

    __slots__ = ("__weakref__", "statement")

    __exit__ = _Leaving()

    def __init__(self) -> None:
        self.statement: weakref.ref[partial[None]] | None = None

    @property
    def is_left(self) -> bool:
        """Whether the block was left. Without a `with` statement this is always false."""
        return self.statement is not None and self.statement() is None

    def __enter__(self) -> Any:
        raise NotImplementedError

    def leave(self, error: BaseException | None) -> None:
        """End the block, with the exception that left it or `None`."""
        raise NotImplementedError


_HoldT = TypeVar("_HoldT", bound=Hold)


def living(entries: list[weakref.ref[_HoldT]]) -> list[_HoldT]:
    """Return the holds that have not ended, and remove the entries of ended ones."""
    found = []
    for entry in tuple(entries):
        hold = entry()
        if hold is not None and not hold.is_left:
            found.append(hold)
        else:
            discard_entry(entries, entry)
    return found


def discard_entry(entries: list[weakref.ref[_HoldT]], entry: weakref.ref[_HoldT]) -> None:
    """Remove an entry; it may be missing."""
    _discard(entries, entry)


class Flag:
    """An event that is set once, and that threads can wait for."""

    __slots__ = ("_wakers", "is_set")

    def __init__(self) -> None:
        """Begin unset."""
        self.is_set = False
        self._wakers: list[threading.Lock] = []

    def set(self) -> None:
        """Set it, and wake the threads that wait."""
        self.is_set = True
        wakers, self._wakers = self._wakers, []
        for waker in wakers:
            waker.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, for at most `timeout` seconds; return whether it is."""
        if self.is_set:
            return True
        deadline = None if timeout is None else time.monotonic() + timeout
        waker = threading.Lock()
        waker.acquire()
        self._wakers.append(waker)
        # First a look: `set` may have come before it could see the waker.
        while not self.is_set:
            left = _LOOK_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                _discard(self._wakers, waker)
                break
            waker.acquire(timeout=min(left, _LOOK_SECONDS))
        return self.is_set


def start_thread(function: Callable[[], None]) -> None:
    """Run a function in a daemon thread.

    `threading.Thread.start` waits until the thread has begun; an interrupt of that wait can leave
    it unknown whether it ever will.
    """
    _thread.start_new_thread(function, ())


class TemporaryName:
    """The name of a new file beside `path`, deleted at the end of a block if it is still there.

    A fork of the process, which leaves the block as well, lets it be.
    """

    __slots__ = ("_path", "_process")

    def __init__(self, path: Path) -> None:
        self._process = os.getpid()
        self._path = path.with_name(f".{path.name}.{os.urandom(8).hex()}")

    def __enter__(self) -> Path:
        return self._path

    def __exit__(self, *_: object) -> None:
        if os.getpid() == self._process:
            self._path.unlink(missing_ok=True)


class OwnedFile(io.FileIO):
    """An open file that is closed when its last reference is gone, without a ResourceWarning."""

    def __del__(self) -> None:
        """Close it without a warning."""
        self.close()
