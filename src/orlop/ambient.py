"""Transactions that are simply there: whoever asks inside a block gets the one of the block.

The transaction of a block is kept in a context variable. It belongs to the thread, the task
and the process that began it and is refused elsewhere: tasks (and in newer Pythons threads)
inherit context variables, and a forked process inherits everything.

A store checks before it writes, so after an error of `orlop.model.errors` the transaction is
what it was, and the caller may catch the error and go on. Any other exception that leaves an
inner block may have left half a change behind: it dooms the transaction, whose commit raises.

Errors of the engine become errors of the model here (`orlop.translation`).
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from orlop.kv import errors as engine_errors
from orlop.kv import read_again
from orlop.model.errors import (
    AbortedError,
    FailedPreconditionError,
    OrlopError,
)
from orlop.stores.lease_blocks import LeaseBlocks
from orlop.stores.scope import Changes, Update
from orlop.translation import translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from orlop.kv import Engine, Transaction
    from orlop.kv import Path as BucketPath
    from orlop.model.observed_clock import ObservedClock
    from orlop.stores.locks import SharedLock

_T = TypeVar("_T")


class _Ambient:
    """A transaction that is open in a context while the block of this runs."""

    __slots__ = (
        "_token",
        "doom",
        "ended",
        "home",
        "is_left_to_next",
        "outer",
        "owner",
        "transaction",
        "update",
    )

    def __init__(
        self, owner: Transactions, transaction: Transaction, update: Update | None
    ) -> None:
        self.owner = owner
        self.transaction = transaction
        self.update = update
        self.outer = _open.get()
        self.home = _whereabouts()
        self.doom: BaseException | None = None
        self.ended = False
        self.is_left_to_next = False

    def __enter__(self) -> Self:
        self._token = _open.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = True
        _open.reset(self._token)


_open: ContextVar[_Ambient | None] = ContextVar("orlop_transaction", default=None)


class Transactions:
    """The transactions of one database: what the stores stand on."""

    def __init__(
        self,
        engine: Engine,
        path: Path,
        *,
        clock: ObservedClock,
        gate: SharedLock,
        timeout: float | None,
        committed: Callable[[int, AbstractSet[BucketPath]], None],
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
            committed: is told the number of the change that each outermost update was, and
                what it has touched, once it is durable and before it leaves the gate.
            ended: is told what each outermost update has done, once it is durable, and what
                is left of one that was rolled back.
        """
        self._engine = engine
        self._path = path
        self._clock = clock
        self._gate = gate
        self._timeout = timeout
        self._lease_blocks = LeaseBlocks()
        self._committed = committed
        self._ended = ended
        self._writing_thread: int | None = None

    @property
    def clock(self) -> ObservedClock:
        """Where the time comes from."""
        return self._clock

    def lease(self, namespace: str) -> str | None:
        """Return the lease that is in force here for `namespace`, if one is."""
        return self._lease_blocks.lease(namespace)

    @property
    def leases_in_force(self) -> frozenset[tuple[str, str]]:
        """Namespace and id of each lease that has an open block in this process."""
        return self._lease_blocks.in_force

    def leased(self, namespace: str, lease_id: str) -> AbstractContextManager[None]:
        """Let a lease be in force for `namespace` while the block runs."""
        return self._lease_blocks.block(namespace, lease_id)

    @contextmanager
    def view(self) -> Iterator[Transaction]:
        """Read: in the transaction of this context where there is one, else in a new one.

        Raises:
            UnavailableError: the file was changed by another process while it was read.
            DataLossError: it is damaged.
        """
        current = self._current()
        try:
            if current is not None:
                yield current.transaction
                return
            transaction = self._engine.begin()
            try:
                with _Ambient(self, transaction, None):
                    yield transaction
            except BaseException:
                # What was read may be what led to this: if it does not count, say so.
                transaction.rollback()
                raise
            transaction.rollback()
        except engine_errors.EngineError as error:
            raise translated(error, self._path) from error

    def read(self, function: Callable[[Transaction], _T]) -> _T:
        """Return what `function` reads; it is called again where the file changed meanwhile.

        Raises:
            UnavailableError: the file changes all the time.
            DataLossError: it is damaged.
        """
        current = self._current()
        if current is not None:
            try:
                return function(current.transaction)
            except engine_errors.EngineError as error:
                raise translated(error, self._path) from error
        try:
            return read_again(lambda: self._read_once(function))
        except engine_errors.EngineError as error:
            raise translated(error, self._path) from error

    def _read_once(self, function: Callable[[Transaction], _T]) -> _T:
        # As `view`, but without a generator for each of its parts: it is what a get costs.
        transaction = self._engine.begin()
        try:
            with _Ambient(self, transaction, None):
                found = function(transaction)
        except BaseException:
            transaction.rollback()
            raise
        transaction.rollback()
        return found

    def update(self, *, later: bool = False) -> AbstractContextManager[Update]:
        """Write: joins the update of this context, else commits when the block ends.

        Args:
            later: whether a block that joins none may leave it to the next update to make its
                changes durable; records may not be among them.

        Raises:
            FailedPreconditionError: this context has a reading transaction open, or the
                database was opened for reading.
            UnavailableError: gate or writer were not free in time, or an earlier write failed.
            AbortedError: an inner block failed half-way, and everything was rolled back.
        """
        return _Block(self, later)

    def joined(self) -> tuple[_Ambient, Update] | None:
        """Return the update that a block joins, if one is open in this context."""
        current = self._current()
        if current is None:
            return None
        if current.update is None:
            raise FailedPreconditionError(
                "an update cannot begin inside a view: the view would not see it. "
                "End the view first, or begin with an update"
            )
        return current, current.update

    def begin(self, later: bool) -> tuple[_Ambient, Update]:  # noqa: FBT001 (one caller)
        """Begin an update that joins none."""
        if self._writing_thread == threading.get_ident():
            raise FailedPreconditionError(
                "this thread has an update open in another task or context, and would wait for "
                "itself: end that one first, and await nothing inside of its block"
            )
        held = ExitStack()
        thread = self._gate.acquire_share(self._timeout)
        try:
            held.callback(self._gate.release_share, thread)
            transaction = self._engine.begin(writable=True, timeout=self._timeout)
            try:
                update = Update(transaction, Changes(), held)
                ambient = _Ambient(self, transaction, update)
                ambient.is_left_to_next = later
                ambient.__enter__()
            except BaseException:
                # An interrupt: there will be no block that ends the writer's turn.
                transaction.rollback()
                raise
            self._writing_thread = threading.get_ident()
        except BaseException as error:
            held.close()
            self._translate(error)
            raise
        return ambient, update

    def end_joined(self, ambient: _Ambient, error: BaseException) -> None:
        """End a block that joined an update, and that `error` leaves.

        What is no error of the model may have left half a change behind: it dooms the update.
        """
        if isinstance(error, OrlopError):
            return
        ambient.doom = ambient.doom or error
        self._translate(error)

    def end(self, ambient: _Ambient, update: Update, error: BaseException | None) -> None:
        """Commit an update, or roll it back where `error` leaves its block; tell of it."""
        try:
            with update.held:
                self._finish(ambient, update.transaction, error)
        except BaseException as failure:
            self._ended(update.changes.undone())
            self._translate(failure)
            raise
        if error is None:
            self._ended(update.changes)
        else:
            self._ended(update.changes.undone())
            self._translate(error)

    def _finish(
        self, ambient: _Ambient, transaction: Transaction, error: BaseException | None
    ) -> None:
        try:
            self._writing_thread = None  # while the turn is still ours
            ambient.__exit__()
            if error is None:
                self._refuse_commit(ambient)
        except BaseException:
            transaction.rollback()
            raise
        if error is not None:
            transaction.rollback()
            return
        if ambient.is_left_to_next:
            transaction.commit_with_next()  # and told of all the same: no record is among it
        else:
            transaction.commit()
        if transaction.serial:
            self._committed(transaction.serial, transaction.touched)

    @staticmethod
    def _refuse_commit(ambient: _Ambient) -> None:
        """Raise where an update cannot be committed: elsewhere, or after half a change."""
        if ambient.home != _whereabouts():
            raise _elsewhere()
        if ambient.doom is not None:
            raise AbortedError(
                "the update was rolled back, because a call inside it failed half-way "
                f"({type(ambient.doom).__name__}: {ambient.doom})"
            ) from ambient.doom

    def _translate(self, error: BaseException) -> None:
        """Raise an error of the engine as one of the model; return where it is another one."""
        if isinstance(error, engine_errors.EngineError):
            raise translated(error, self._path) from error

    def _current(self) -> _Ambient | None:
        ambient = _open.get()
        while ambient is not None and (ambient.owner is not self or ambient.ended):
            ambient = ambient.outer
        if ambient is not None and ambient.home != _whereabouts():
            raise _elsewhere()
        return ambient


class _Block:
    """The block of an update; a class, because a generator costs twice the time."""

    __slots__ = ("_ambient", "_is_joined", "_later", "_transactions", "_update")

    def __init__(self, transactions: Transactions, later: bool) -> None:  # noqa: FBT001
        self._transactions = transactions
        self._later = later

    def __enter__(self) -> Update:
        joined = self._transactions.joined()
        self._is_joined = joined is not None
        self._ambient, self._update = joined or self._transactions.begin(self._later)
        return self._update

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._is_joined:
            self._transactions.end(self._ambient, self._update, error)
        elif error is not None:
            self._transactions.end_joined(self._ambient, error)


def _whereabouts() -> tuple[int, int, int | None]:
    """Return which process, thread and asyncio task this is."""
    return os.getpid(), threading.get_ident(), _task()


def _task() -> int | None:
    # Where nobody has imported asyncio there is no task; to import it here would cost time.
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None  # no event loop runs in this thread
    return None if task is None else id(task)


def _elsewhere() -> FailedPreconditionError:
    return FailedPreconditionError(
        "a transaction belongs to the thread, task and process that began it, and is open in "
        "this context from another one: run this outside of its block, or in an empty context"
    )
