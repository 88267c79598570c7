"""Locks and files that end with what has them, at whatever instruction an exception arrives.

A handler of signals may raise between any two instructions: after a lock was acquired and
before the block begins that would release it, or before the first instruction of `__exit__`.
So what has a lock is known, and whoever waits asks whether it still is what it was: a
`Mutex` belongs to the call that entered its block, a `Turn` to an object, a `Hold` to the
`with` statement around it. What is gone is passed over.
"""

from __future__ import annotations

import _thread
import gc
import inspect
import io
import sys
import threading
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any

_GENERATORS: Final = (
    inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
    | inspect.CO_ITERABLE_COROUTINE
)

_POLL_SECONDS: Final = 0.02
"""How long one waits before looking whether what has the lock is gone."""

_LOOK_SECONDS: Final = 1.0
"""How long one sleeps at most who waits for what wakes it in any case."""

_SEARCH_SECONDS: Final = 2.0
"""How long one waits for another thread before looking for it among what Python may collect."""


class ReentryError(RuntimeError):
    """A handler of signals has called what it has interrupted, and would wait for itself."""


def is_running(frame: FrameType) -> bool:
    """Return whether a call has not ended yet, in whatever thread; of one that has, forget all.

    A generator counts as running. (To walk over the stack of another thread is not safe: Python
    3.11 may collect garbage amid a step, and let that thread go on.)
    """
    if frame.f_code.co_flags & _GENERATORS:
        return True
    try:
        frame.clear()
    except RuntimeError:
        return True  # an executing frame cannot be cleared
    return False


def is_below(top: FrameType | None, frame: FrameType) -> bool:
    """Return whether a call of this thread is among those that led to another one."""
    while top is not None:
        if top is frame:
            return True
        top = top.f_back
    return False


class Mutex:
    """A lock for a block of a function; it belongs to the running call of that function.

    Whoever comes first goes first. It cannot be entered twice, and not around a `yield`.
    """

    __slots__ = ("_callers", "_wakers")

    def __init__(self) -> None:
        # The first has it, the others wait. To append, to remove and to look are one step each.
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
        """Whether anybody has it, or is on the way to it."""
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
        """Take out of the way who has this, if that call has ended."""
        first = self._callers[0]
        if not is_running(first):
            _discard(self._callers, first)
            self._wake_first()
        elif first is not caller and is_below(caller, first):
            raise ReentryError(
                "a handler of signals called what it has interrupted: it cannot wait for itself. "
                "Let the handler raise or set a flag, and call from outside of it"
            )

    def _wake_first(self) -> None:
        """Wake the next one; where that is missed, it looks by itself soon."""
        try:
            waker = self._wakers.get(self._callers[0])
            if waker is not None and waker.locked():
                waker.release()
        except (IndexError, RuntimeError):
            return  # it is gone, or awake


def _discard(entries: list[Any], entry: object) -> None:
    try:
        entries.remove(entry)
    except ValueError:
        return  # somebody else was faster


class Turn:
    """A lock that belongs to an object, for as long as that lives.

    Whoever comes first goes first.
    """

    def __init__(self) -> None:
        self._entries: list[weakref.ref[Ticket]] = []

    def acquire(self, ticket: Ticket, timeout: float | None) -> bool:
        """Let a ticket have the turn; return whether it got it within `timeout` seconds."""
        ticket.handing = [(sys._getframe(1), None)]  # noqa: SLF001 (the call that takes the turn)
        self._join(ticket)
        if self._entries[0] is ticket.entry:
            return True
        try:
            return self._wait(ticket, timeout)
        except BaseException:
            self.release(ticket)
            raise

    def release(self, ticket: Ticket) -> None:
        """Take a ticket out; it need not have the turn."""
        entry, ticket.entry = ticket.entry, None
        if entry is not None:
            _discard(self._entries, entry)
        if self._entries:
            self._wake_first()

    @property
    def holder(self) -> Ticket | None:
        """The ticket that has the turn; `None` where none has."""
        while entries := self._entries[:1]:
            ticket = entries[0]()
            # What was released is gone, though an interrupt may have left it in the line.
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
                # What has the turn may be gone, but for a circle of references.
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
        if holder is not None and holder.waker is not None and holder.waker.locked():
            try:
                holder.waker.release()
            except RuntimeError:
                return  # somebody else was faster


class Ticket:
    """What has, or waits for, a turn.

    Attributes:
        thread: the thread that made it.
        entry: its place in the line.
        waker: is released when it gets its turn.
        handing: the call that takes the turn, with what it hands on; empty when it has.
    """

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.entry: weakref.ref[Ticket] | None = None
        self.waker: threading.Lock | None = None
        self.handing: list[Any] = []

    def hand(self, what: object) -> list[Any]:
        """Prepare to hand on the turn with something: whoever pops the pair has done it."""
        self.handing[0] = self.handing[0][0], what
        return self.handing

    @property
    def is_abandoned(self) -> bool:
        """Whether the call that took the turn has ended before it could hand it on."""
        return any(not is_running(caller) for caller, _ in tuple(self.handing))

    def roll_back(self) -> None:
        """Undo what was done in the turn, which ends."""


class _Leaving:
    """The way out of a hold. A `with` statement keeps what it gets here until it is left."""

    def __get__(self, hold: Hold | None, kind: type[Hold]) -> Callable[..., None]:
        if hold is None:
            # `ExitStack` asks the class, and keeps the hold itself.
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
    """Something that is held while a block runs: each object for one block.

    Attributes:
        statement: is dead when the `with` statement was left, even if nothing of its way out
            could run; `None` where there is no such statement.
    """

    __slots__ = ("__weakref__", "statement")

    __exit__ = _Leaving()

    def __init__(self) -> None:
        self.statement: weakref.ref[partial[None]] | None = None

    @property
    def is_left(self) -> bool:
        """Whether the block is over. Of a block without a statement only `leave` knows."""
        return self.statement is not None and self.statement() is None

    def __enter__(self) -> Any:
        raise NotImplementedError

    def leave(self, error: BaseException | None) -> None:
        """Let go of what is held; called when the block ends, by what leaves it or by `None`."""
        raise NotImplementedError


class Flag:
    """Something that happens once, and that threads may wait for."""

    __slots__ = ("_wakers", "is_set")

    def __init__(self) -> None:
        """Begin before it has happened."""
        self.is_set = False
        self._wakers: list[threading.Lock] = []

    def set(self) -> None:
        """Let it have happened."""
        self.is_set = True
        wakers, self._wakers = self._wakers, []
        for waker in wakers:
            waker.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Return whether it has happened, after `timeout` seconds at most; `None`: after it has."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.is_set:
            left = _LOOK_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                break
            waker = threading.Lock()
            waker.acquire()
            self._wakers.append(waker)
            if not self.is_set:  # else nobody may see the waker any more
                waker.acquire(timeout=min(left, _LOOK_SECONDS))
        return self.is_set


def start_thread(function: Callable[[], None]) -> None:
    """Run a function in a thread that dies with the process; it begins, or this raises.

    `threading.Thread` waits for the beginning: where that is interrupted, it may never come.
    """
    _thread.start_new_thread(function, ())


class OwnedFile(io.FileIO):
    """An open file, which is closed when nobody has it any more, whatever interrupts its user."""

    def __del__(self) -> None:
        """Close it; without a warning, since that is what this is for."""
        self.close()
