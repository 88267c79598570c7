"""Context-local transactions: nested `view()` and `update()` blocks join the one that is open.

The open transaction is kept in a context variable. It belongs to the thread, the task and the
process that began it and is refused in any other: tasks (and in newer Pythons threads) inherit
context variables, and a forked process inherits everything.

A store checks before it writes, so after an error of `orlop.errors` the transaction is
unchanged, and the caller may catch the error and go on. Any other exception that leaves an
inner block may have left half a change behind: it dooms the transaction, whose commit raises.

Errors of the engine become errors of ours here.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from contextlib import ExitStack, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from orlop.changes import Changes, Update
from orlop.concurrency.forks import HomeProcess
from orlop.concurrency.ownership import Hold
from orlop.concurrency.shared_lock import Share
from orlop.errors import AbortedError, FailedPreconditionError, OrlopError
from orlop.events import Event
from orlop.kv import EngineError, read_again
from orlop.lease_blocks import LeaseBlocks
from orlop.open_writers import OpenWriters

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import TypeAlias

    from orlop.clock import ObservedClock
    from orlop.concurrency.shared_lock import SharedLock
    from orlop.kv import Engine, Transaction
    from orlop.kv import Path as BucketPath

    ErrorTranslator: TypeAlias = Callable[[EngineError, Path], OrlopError]

_T = TypeVar("_T")


class _InterruptedUpdateError(Exception):
    """The outcome of an update is unknown."""


class Transactions:
    """The transactions of one database."""

    def __init__(
        self,
        engine: Engine,
        path: Path,
        *,
        clock: ObservedClock,
        gate: SharedLock,
        timeout: float | None,
        error_of: ErrorTranslator,
        committed: Callable[[int, AbstractSet[BucketPath]], None],
        ended: Callable[[Changes], None],
    ) -> None:
        """Make the transactions of `engine`.

        Args:
            engine: the open database.
            path: its file, for messages.
            clock: the source of time.
            gate: the lock that updates share and the collector's sweep has alone.
            timeout: seconds that an update waits for the gate and for the writer before it;
                `None`: without end.
            error_of: returns an error of the engine of a file as one of ours.
            committed: is called for each outermost update that is durable, before it releases
                the gate, with its serial number and the buckets that it touched.
            ended: is called at the end of each outermost update with its changes, or with those
                that remain after a rollback.
        """
        self._engine = engine
        self._path = path
        self._clock = clock
        self._gate = gate
        self._timeout = timeout
        self._error_of = error_of
        self._lease_blocks = LeaseBlocks()
        self._open_writers = OpenWriters()
        self._committed = committed
        self._ended = ended
        gate.before_waiting(self.end_what_was_left)
        # Open updates. Only one can write, so there is rarely a second one.
        self._updates: list[OpenTransaction] = []
        self._home = HomeProcess()

    @property
    def clock(self) -> ObservedClock:
        """The source of time."""
        return self._clock

    def lease(self, namespace: str) -> str | None:
        """Return the lease in force for `namespace` in this context; `None` if there is none."""
        return self._lease_blocks.lease(namespace)

    @property
    def leases_in_force(self) -> frozenset[tuple[str, str]]:
        """Namespace and id of each lease that has an open block in this process."""
        return self._lease_blocks.in_force

    @property
    def open_writers(self) -> OpenWriters:
        """The writers of content that are open in this process."""
        return self._open_writers

    def leased(self, namespace: str, lease_id: str) -> AbstractContextManager[None]:
        """Put a lease in force for `namespace` while the block runs."""
        return self._lease_blocks.block(namespace, lease_id)

    def view(self) -> AbstractContextManager[Transaction]:
        """Read: in the transaction of this context where there is one, else in a new one.

        Raises:
            UnavailableError: the file was changed by another process while it was read.
            DataLossError: it is damaged.
        """
        return _View(self)

    def begin_view(self, block: Hold) -> OpenTransaction:
        """Begin a view that joins nothing."""
        try:
            transaction = self._engine.begin()
            current = OpenTransaction(self, transaction, None, block)
            current.begin()
        except EngineError as error:
            raise self._error_of(error, self._path) from error
        return current

    def end_view(self, current: OpenTransaction, error: BaseException | None) -> None:
        """End a view. An error in its block that invalid pages led to is raised as theirs."""
        try:
            current.end()
            current.transaction.rollback()
        except EngineError as failure:
            raise self._error_of(failure, self._path) from failure
        finally:
            current.end()
        self.translate(error)

    def read(self, function: Callable[[Transaction], _T]) -> _T:
        """Return the result of `function`, which is called again if the file changed meanwhile.

        Raises:
            UnavailableError: the file changes all the time.
            DataLossError: it is damaged.
        """
        current = self.current()
        if current is not None:
            try:
                return function(current.transaction)
            except EngineError as error:
                raise self._error_of(error, self._path) from error
        try:
            return read_again(lambda: self._read_once(function))
        except EngineError as error:
            raise self._error_of(error, self._path) from error

    def _read_once(self, function: Callable[[Transaction], _T]) -> _T:
        # As `view`, but without a block for each of its parts: it is what a get costs.
        transaction = self._engine.begin()
        current = OpenTransaction(self, transaction, None)
        try:
            current.begin()
            found = function(transaction)
            current.end()
        except BaseException:
            current.end()
            transaction.rollback()
            raise
        finally:
            current.ended = True
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

    def joined(self) -> OpenTransaction | None:
        """Return the update that a block joins, if one is open in this context."""
        current = self.current()
        if current is not None and current.update is None:
            raise FailedPreconditionError(
                "an update cannot begin inside a view: the view would not see it. "
                "End the view first, or begin with an update"
            )
        return current

    def begin(self, block: Hold, *, later: bool) -> tuple[OpenTransaction, Update]:
        """Begin an update that joins none, for a block."""
        self.end_what_was_left()
        me = threading.get_ident()
        if any(current.home[1] == me and not current.ended for current in self._updates):
            raise FailedPreconditionError(
                "this thread has an update open in another task or context, and would wait for "
                "itself: end that one first, and await nothing inside of its block"
            )
        held = ExitStack()
        transaction = None
        try:
            held.enter_context(Share(self._gate, self._timeout, weakref.ref(block)))
            transaction = self._engine.begin(writable=True, timeout=self._timeout)
            update = Update(transaction, Changes(), held)
            current = OpenTransaction(self, transaction, update, block)
            current.is_left_to_next = later
            self._updates.append(current)
            current.begin()
        except BaseException as error:
            with held, suppress(EngineError):
                if transaction is not None:
                    # An interrupt: there will be no block that ends the writer's turn.
                    transaction.rollback()
            self.translate(error)
            raise
        return current, update

    def end_joined(self, current: OpenTransaction, error: BaseException | None) -> None:
        """End a block that joined an update, and that `error` leaves.

        An error that is not of ours may have left half a change behind: it dooms the update.
        """
        if error is not None and not isinstance(error, OrlopError):
            current.doom = current.doom or error
            self.translate(error)
        current.inner -= 1

    def end(self, current: OpenTransaction, update: Update, error: BaseException | None) -> None:
        """Commit an update, or roll it back if `error` left its block; call `ended`."""
        if not self._home.is_here:
            # The process that began it ends it. Nothing here is waited for: its threads are there.
            current.end()
            if error is None:
                raise FailedPreconditionError(f"{self._path}: {self._home.refusal}")
            return
        is_released = False
        try:
            try:
                with update.held:
                    self._finish(current, update.transaction, error)
                is_released = True
            finally:
                if not is_released:
                    self._abort(update)
                self._forget(current)
        except BaseException as failure:
            self._ended(update.changes.undone())
            self.translate(failure)
            raise
        if error is None:
            self._ended(update.changes)
        else:
            self._ended(update.changes.undone())
            self.translate(error)

    def end_what_was_left(self) -> None:
        """Roll back abandoned updates: an exception kept their `__exit__` from running.

        Any thread may call this.
        """
        for current in tuple(self._updates):
            if current.update is not None and current.is_abandoned:
                current.ended = True
                self._abort(current.update)
                self._forget(current)

    @staticmethod
    def _abort(update: Update) -> None:
        """Roll an update back and leave its context managers, as far as that was not done yet.

        The context managers in `held` see an exception: the outcome of the update is unknown.
        """
        # The error has no reader: the block is gone, or fails with what interrupted it.
        with suppress(EngineError):
            update.transaction.rollback()
        with suppress(_InterruptedUpdateError), update.held:
            raise _InterruptedUpdateError

    def _forget(self, current: OpenTransaction) -> None:
        if current in self._updates:
            self._updates.remove(current)

    def _finish(
        self, current: OpenTransaction, transaction: Transaction, error: BaseException | None
    ) -> None:
        try:
            current.end()
            if error is None:
                self._refuse_commit(current)
        except BaseException:
            transaction.rollback()
            raise
        finally:
            current.end()
        try:
            if error is not None:
                transaction.rollback()
                return
            if current.is_left_to_next:
                transaction.commit_with_next()  # reported at once: it changes no record
            else:
                transaction.commit()
        except BaseException:
            transaction.rollback()  # if it was interrupted before the commit began
            raise
        if transaction.serial:
            self._committed(transaction.serial, transaction.touched)

    @staticmethod
    def _refuse_commit(current: OpenTransaction) -> None:
        """Raise if an update cannot be committed: in another context, or after half a change."""
        if current.home != execution_context():
            raise wrong_context_error()
        if current.doom is None and current.inner:
            raise AbortedError(
                "the update was rolled back, because a call inside it was interrupted half-way"
            )
        if current.doom is not None:
            raise AbortedError(
                "the update was rolled back, because a call inside it failed half-way "
                f"({type(current.doom).__name__}: {current.doom})"
            ) from current.doom

    def translate(self, error: BaseException | None) -> None:
        """Raise an error of the engine as one of ours; return for any other."""
        if isinstance(error, EngineError):
            raise self._error_of(error, self._path) from error

    def current(self) -> OpenTransaction | None:
        """Return the transaction that is open in this context; `None` if there is none.

        Raises:
            FailedPreconditionError: it is open in another context, or this is a forked process.
        """
        if not self._home.is_here:
            raise FailedPreconditionError(f"{self._path}: {self._home.refusal}")
        current = innermost()
        while current is not None and (current.owner is not self or current.is_left):
            current = current.outer
        if current is not None and current.home != execution_context():
            raise wrong_context_error()
        return current


class _View(Hold):
    """The block of a view."""

    __slots__ = ("_open", "_transactions")

    def __init__(self, transactions: Transactions) -> None:
        super().__init__()
        self._transactions = transactions
        self._open: OpenTransaction | None = None

    def __enter__(self) -> Transaction:
        current = self._transactions.current()
        if current is not None:
            return current.transaction
        self._open = self._transactions.begin_view(self)
        return self._open.transaction

    def leave(self, error: BaseException | None) -> None:
        """End the view, unless it joined another transaction."""
        if self._open is not None:
            self._transactions.end_view(self._open, error)
        else:
            self._transactions.translate(error)


class _Block(Hold):
    """The block of an update; a class, because a generator costs twice the time."""

    __slots__ = ("_later", "_open", "_transactions", "_update")

    def __init__(self, transactions: Transactions, later: bool) -> None:  # noqa: FBT001
        super().__init__()
        self._transactions = transactions
        self._later = later
        self._update: Update | None = None

    def __enter__(self) -> Update:
        joined = self._transactions.joined()
        if joined is not None and joined.update is not None:
            self._open = joined
            joined.inner += 1
            return joined.update
        self._open, self._update = self._transactions.begin(self, later=self._later)
        return self._update

    def leave(self, error: BaseException | None) -> None:
        """End the update, unless it joined another one."""
        if self._update is None:
            self._transactions.end_joined(self._open, error)
        else:
            self._transactions.end(self._open, self._update, error)


class OpenTransaction:
    """A transaction that is open in a context while a block runs.

    Attributes:
        owner: the `Transactions` that opened it.
        transaction: the transaction of the engine.
        update: the update; `None`: it is a view.
        block: the block that it is open for; `None`: a single read.
        outer: the transaction that was open in this context before.
        home: the process, thread and task that began it.
        doom: the exception that left an inner block half-way.
        inner: the number of inner blocks that have not ended.
        ended: whether the end of its block has begun.
        is_left_to_next: whether the next update makes its changes durable.
    """

    __slots__ = (
        "block",
        "doom",
        "ended",
        "home",
        "inner",
        "is_left_to_next",
        "outer",
        "owner",
        "transaction",
        "update",
    )

    def __init__(
        self,
        owner: object,
        transaction: Transaction,
        update: Update | None,
        block: Hold | None = None,
    ) -> None:
        self.owner = owner
        self.transaction = transaction
        self.update = update
        self.block = None if block is None else weakref.ref(block)
        self.outer = _open.get()
        self.home = execution_context()
        self.doom: BaseException | None = None
        self.inner = 0
        self.ended = False
        self.is_left_to_next = False

    @property
    def is_left(self) -> bool:
        """Whether the end of its block has begun, or the block is gone without one."""
        return self.ended or self.is_abandoned

    @property
    def is_abandoned(self) -> bool:
        """Whether its block is gone without having ended it."""
        if self.block is None:
            return False
        block = self.block()
        return block is None or block.is_left

    def begin(self) -> None:
        """Make this the open transaction of the context."""
        _open.set(self)

    def end(self) -> None:
        """Restore the transaction that was open in the context before."""
        self.ended = True
        if _open.get() is self:
            _open.set(self.outer)


_open: ContextVar[OpenTransaction | None] = ContextVar("orlop_transaction", default=None)


def innermost() -> OpenTransaction | None:
    """Return the transaction begun last in this context; it may have ended."""
    return _open.get()


def execution_context() -> tuple[int, int, int | None]:
    """Return the process, the thread and the asyncio task of the caller."""
    return os.getpid(), threading.get_ident(), _task()


def _task() -> int | None:
    # Without asyncio there is no task, and importing it takes long.
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None  # no event loop runs in this thread
    return None if task is None else id(task)


def wrong_context_error() -> FailedPreconditionError:
    """Return the error for a transaction that is used outside the context that began it."""
    return FailedPreconditionError(
        "a transaction belongs to the thread, task and process that began it, and is open in "
        "this context from another one: run this outside of its block, or in an empty context"
    )


@dataclass(frozen=True, slots=True)
class Scope:
    """A namespace of a database, for its stores."""

    namespace: str
    transactor: Transactions

    def emit_event(self, update: Update, topic: str, **fields: object) -> None:
        """Note an event, which is delivered once the update is durable."""
        update.changes.events.append(
            Event(
                topic=topic,
                namespace=self.namespace,
                timestamp=self.transactor.clock.now(),
                fields=fields,
            )
        )
