"""Transactions that are simply there: whoever asks inside a block gets the one of the block.

The transaction of a block is kept in a context variable. It belongs to the thread, the task
and the process that began it and is refused elsewhere: tasks (and in newer Pythons threads)
inherit context variables, and a forked process inherits everything.

A store checks before it writes, so after an error of `orlop.model.errors` the transaction is
what it was, and the caller may catch the error and go on. Any other exception that leaves an
inner block may have left half a change behind: it dooms the transaction, whose commit raises.

Errors of the engine become errors of the model here, and nowhere else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from orlop.kv import errors as engine_errors
from orlop.model.errors import (
    AbortedError,
    DataLossError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    OrlopError,
    ResourceExhaustedError,
    UnavailableError,
)
from orlop.stores.scope import Changes, Update

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from orlop.kv import Engine, Transaction
    from orlop.kv import Path as BucketPath
    from orlop.model.clock import Clock
    from orlop.model.events import Event
    from orlop.stores.locks import SharedLock

_T = TypeVar("_T")

_READ_ATTEMPTS: Final = 6
_READ_PAUSE_SECONDS: Final = 0.005

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_KINDS: Final[Mapping[type[engine_errors.EngineError], type[OrlopError]]] = {
    engine_errors.KeyRequiredError: InvalidArgumentError,
    engine_errors.KeyTooLargeError: InvalidArgumentError,
    engine_errors.ValueTooLargeError: InvalidArgumentError,
    # The stores refuse names that clash; what is left is a file whose shape is damaged.
    engine_errors.IncompatibleValueError: DataLossError,
    engine_errors.CorruptError: DataLossError,
    engine_errors.LockedError: UnavailableError,
    engine_errors.StaleReadError: UnavailableError,
    engine_errors.EnginePoisonedError: UnavailableError,
    engine_errors.ReadOnlyError: FailedPreconditionError,
    engine_errors.EngineClosedError: FailedPreconditionError,
    engine_errors.TransactionClosedError: FailedPreconditionError,
}


def translated(error: engine_errors.EngineError, path: Path) -> OrlopError:
    """Return what an error of the engine is to a user of the database at `path`."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in _NO_SPACE:
        return ResourceExhaustedError(f"{path}: {error}")
    kind = next((kind for base, kind in _KINDS.items() if isinstance(error, base)), InternalError)
    text = str(error)
    return kind(text if text.startswith(str(path)) else f"{path}: {text}")


@dataclass(eq=False, slots=True)
class _Ambient:
    """A transaction that is open in a context."""

    owner: Transactions
    transaction: Transaction
    update: Update | None
    outer: _Ambient | None
    home: tuple[int, int, int | None]
    doom: BaseException | None = None
    ended: bool = False


_open: ContextVar[_Ambient | None] = ContextVar("orlop_transaction", default=None)
_leases: ContextVar[Mapping[tuple[object, str], str] | None] = ContextVar(
    "orlop_lease", default=None
)


class Audience:
    """Who is told what an update has done, once it has ended. Every thread may use it."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._subscribers: list[Callable[[Event], None]] = []
        self._followers: list[Callable[[Changes], None]] = []

    def subscribe(self, subscriber: Callable[[Event], None]) -> Callable[[], None]:
        """Have every event delivered; return what ends it."""
        return self._register(self._subscribers, subscriber)

    def follow(self, follower: Callable[[Changes], None]) -> Callable[[], None]:
        """Be told of each outermost update; return what ends it."""
        return self._register(self._followers, follower)

    def tell(self, changes: Changes) -> None:
        """Tell of an update that has ended. A rollback is told of if it left data in backends.

        All are told, even if one raises: what is told has happened. The first error is raised
        then.
        """
        if not (changes.committed or changes.content or changes.snapshotters):
            return
        with self._mutex:
            calls = [partial(follower, changes) for follower in self._followers]
            subscribers = list(self._subscribers)
        calls += [partial(one, event) for event in changes.events for one in subscribers]
        with ExitStack() as remaining:
            for call in reversed(calls):
                remaining.callback(call)

    def _register(self, registry: list[_T], entry: _T) -> Callable[[], None]:
        with self._mutex:
            registry.append(entry)

        def end() -> None:
            with self._mutex:
                if entry in registry:
                    registry.remove(entry)

        return end


class Transactions:
    """The transactions of one database: what the stores stand on."""

    def __init__(
        self,
        engine: Engine,
        path: Path,
        *,
        clock: Clock,
        gate: SharedLock,
        timeout: float | None,
        committed: Callable[[AbstractSet[BucketPath]], None],
        ended: Callable[[Changes], None],
    ) -> None:
        """Make the transactions of `engine`.

        Args:
            engine: the open database.
            path: its file, for messages.
            clock: where the time comes from.
            gate: updates hold a share of it, the collector's sweep has it alone.
            timeout: seconds that an update waits for the gate and for the writer before it;
                `None`: without end.
            committed: is told what each outermost update has touched, once it is durable and
                before it leaves the gate.
            ended: is told what each outermost update has done, once it is durable, and what
                is left of one that was rolled back.
        """
        self._engine = engine
        self._path = path
        self._clock = clock
        self._gate = gate
        self._timeout = timeout
        self._committed = committed
        self._ended = ended
        self._writing_thread: int | None = None

    @property
    def clock(self) -> Clock:
        """Where the time comes from."""
        return self._clock

    def lease(self, namespace: str) -> str | None:
        """Return the lease that is in force here for `namespace`, if one is."""
        return (_leases.get() or {}).get((self, namespace))

    @contextmanager
    def leased(self, namespace: str, lease_id: str) -> Iterator[None]:
        """Let a lease be in force for `namespace` while the block runs."""
        token = _leases.set({**(_leases.get() or {}), (self, namespace): lease_id})
        try:
            yield
        finally:
            _leases.reset(token)

    @contextmanager
    def view(self) -> Iterator[Transaction]:
        """Read: in the transaction of this context where there is one, else in a new one.

        Raises:
            UnavailableError: the file was changed by another process while it was read.
            DataLossError: it is damaged.
        """
        current = self._current()
        with self._translation():
            if current is not None:
                yield current.transaction
                return
            transaction = self._engine.begin()
            try:
                with self._opened(transaction, None):
                    yield transaction
            except BaseException:
                # What was read may be what led to this: if it does not count, say so.
                transaction.rollback()
                raise
            transaction.rollback()

    def read(self, function: Callable[[Transaction], _T]) -> _T:
        """Return what `function` reads; it is called again where the file changed meanwhile.

        Raises:
            UnavailableError: the file changes all the time.
            DataLossError: it is damaged.
        """
        attempts = 1 if self._current() is not None else _READ_ATTEMPTS
        pause = _READ_PAUSE_SECONDS
        while True:
            attempts -= 1
            try:
                with self.view() as transaction:
                    return function(transaction)
            except UnavailableError as error:
                if not attempts or not isinstance(error.__cause__, engine_errors.StaleReadError):
                    raise
            time.sleep(pause)
            pause *= 2

    @contextmanager
    def update(self) -> Iterator[Update]:
        """Write: joins the update of this context, else commits when the block ends.

        Raises:
            FailedPreconditionError: this context has a reading transaction open, or the
                database was opened for reading.
            UnavailableError: gate or writer were not free in time, or an earlier write failed.
            AbortedError: an inner block failed half-way, and everything was rolled back.
        """
        current = self._current()
        if current is None:
            with self._translation():
                changes = Changes()
                try:
                    with self._outermost(changes) as update:
                        yield update
                except BaseException:
                    self._ended(changes.undone())
                    raise
            self._ended(changes)
            return
        if current.update is None:
            raise FailedPreconditionError(
                "an update cannot begin inside a view: the view would not see it. "
                "End the view first, or begin with an update"
            )
        with self._translation(), self._dooming(current):
            yield current.update

    @contextmanager
    def _outermost(self, changes: Changes) -> Iterator[Update]:
        if self._writing_thread == threading.get_ident():
            raise FailedPreconditionError(
                "this thread has an update open in another task or context, and would wait for "
                "itself: end that one first, and await nothing inside of its block"
            )
        with ExitStack() as held:
            held.enter_context(self._gate.shared(self._timeout))
            transaction = self._engine.begin(writable=True, timeout=self._timeout)
            update = Update(transaction, changes, held)
            try:
                with self._writing(), self._opened(transaction, update) as ambient:
                    yield update
            except BaseException:
                transaction.rollback()
                raise
            if ambient.home != _whereabouts():
                transaction.rollback()
                raise _elsewhere()
            if ambient.doom is not None:
                transaction.rollback()
                raise AbortedError(
                    "the update was rolled back, because a call inside it failed half-way "
                    f"({type(ambient.doom).__name__}: {ambient.doom})"
                ) from ambient.doom
            transaction.commit()
            self._committed(transaction.touched)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._writing_thread = threading.get_ident()
        try:
            yield
        finally:
            self._writing_thread = None  # while the turn is still ours

    @contextmanager
    def _opened(self, transaction: Transaction, update: Update | None) -> Iterator[_Ambient]:
        ambient = _Ambient(
            owner=self,
            transaction=transaction,
            update=update,
            outer=_open.get(),
            home=_whereabouts(),
        )
        token = _open.set(ambient)
        try:
            yield ambient
        finally:
            ambient.ended = True
            _open.reset(token)

    @contextmanager
    def _translation(self) -> Iterator[None]:
        try:
            yield
        except engine_errors.EngineError as error:
            raise translated(error, self._path) from error

    @staticmethod
    @contextmanager
    def _dooming(ambient: _Ambient) -> Iterator[None]:
        try:
            yield
        except OrlopError:
            raise
        except BaseException as error:
            ambient.doom = ambient.doom or error
            raise

    def _current(self) -> _Ambient | None:
        ambient = _open.get()
        while ambient is not None and (ambient.owner is not self or ambient.ended):
            ambient = ambient.outer
        if ambient is not None and ambient.home != _whereabouts():
            raise _elsewhere()
        return ambient


def _whereabouts() -> tuple[int, int, int | None]:
    """Return which process, thread and asyncio task this is."""
    # Where nobody has imported asyncio there is no task; to import it here would cost time.
    asyncio = sys.modules.get("asyncio")
    task = None
    if asyncio is not None:
        with contextlib.suppress(RuntimeError):  # no event loop runs in this thread
            task = asyncio.current_task()
    return os.getpid(), threading.get_ident(), None if task is None else id(task)


def _elsewhere() -> FailedPreconditionError:
    return FailedPreconditionError(
        "a transaction belongs to the thread, task and process that began it, and is open in "
        "this context from another one: run this outside of its block, or in an empty context"
    )
