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

import threading
import weakref
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, TypeVar

from orlop.kv import errors as engine_errors
from orlop.kv import read_again
from orlop.model.errors import (
    AbortedError,
    FailedPreconditionError,
    OrlopError,
)
from orlop.open_transaction import OpenTransaction, innermost, used_elsewhere, whereabouts
from orlop.ownership import Hold
from orlop.stores.lease_blocks import LeaseBlocks
from orlop.stores.locks import Share
from orlop.stores.scope import Changes, Update
from orlop.translation import translated

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager
    from pathlib import Path

    from orlop.kv import Engine, Transaction
    from orlop.kv import Path as BucketPath
    from orlop.model.observed_clock import ObservedClock
    from orlop.stores.locks import SharedLock

_T = TypeVar("_T")


class _InterruptedUpdateError(Exception):
    """It is not known how an update has ended."""


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
        gate.before_waiting(self.end_what_was_left)
        # Those that are open. Each has its turn to write, so there is hardly ever a second one.
        self._updates: list[OpenTransaction] = []

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
            ambient = OpenTransaction(self, transaction, None, block)
            ambient.begin()
        except engine_errors.EngineError as error:
            raise translated(error, self._path) from error
        return ambient

    def end_view(self, ambient: OpenTransaction, error: BaseException | None) -> None:
        """End a view. What was read may be what led to the error: if it does not count, say so."""
        try:
            ambient.end()
            ambient.transaction.rollback()
        except engine_errors.EngineError as failure:
            raise translated(failure, self._path) from failure
        finally:
            ambient.end()
        self.translate(error)

    def read(self, function: Callable[[Transaction], _T]) -> _T:
        """Return what `function` reads; it is called again where the file changed meanwhile.

        Raises:
            UnavailableError: the file changes all the time.
            DataLossError: it is damaged.
        """
        current = self.current()
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
        # As `view`, but without a block for each of its parts: it is what a get costs.
        transaction = self._engine.begin()
        ambient = OpenTransaction(self, transaction, None)
        try:
            ambient.begin()
            found = function(transaction)
            ambient.end()
        except BaseException:
            ambient.end()
            transaction.rollback()
            raise
        finally:
            ambient.ended = True
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
        if any(ambient.home[1] == me and not ambient.ended for ambient in self._updates):
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
            ambient = OpenTransaction(self, transaction, update, block)
            ambient.is_left_to_next = later
            self._updates.append(ambient)
            ambient.begin()
        except BaseException as error:
            with held, suppress(engine_errors.EngineError):
                if transaction is not None:
                    # An interrupt: there will be no block that ends the writer's turn.
                    transaction.rollback()
            self.translate(error)
            raise
        return ambient, update

    def end_joined(self, ambient: OpenTransaction, error: BaseException | None) -> None:
        """End a block that joined an update, and that `error` leaves.

        What is no error of the model may have left half a change behind: it dooms the update.
        """
        if error is not None and not isinstance(error, OrlopError):
            ambient.doom = ambient.doom or error
            self.translate(error)
        ambient.inner -= 1

    def end(self, ambient: OpenTransaction, update: Update, error: BaseException | None) -> None:
        """Commit an update, or roll it back where `error` leaves its block; tell of it."""
        is_let_go = False
        try:
            try:
                with update.held:
                    self._finish(ambient, update.transaction, error)
                is_let_go = True
            finally:
                if not is_let_go:
                    self._let_go(update)
                self._forget(ambient)
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
        """Roll back updates whose block was left without its way out: an exception kept it.

        Any thread may do so.
        """
        for ambient in tuple(self._updates):
            if ambient.update is not None and ambient.is_abandoned:
                ambient.ended = True
                self._let_go(ambient.update)
                self._forget(ambient)

    @staticmethod
    def _let_go(update: Update) -> None:
        """Roll an update back and let go of what it held, as far as an interrupt has left that.

        What is told of the end of updates learns that it is not known how this one has ended.
        """
        # Nobody reads what it says: its block is gone, or fails with what has interrupted it.
        with suppress(engine_errors.EngineError):
            update.transaction.rollback()
        with suppress(_InterruptedUpdateError), update.held:
            raise _InterruptedUpdateError

    def _forget(self, ambient: OpenTransaction) -> None:
        if ambient in self._updates:
            self._updates.remove(ambient)

    def _finish(
        self, ambient: OpenTransaction, transaction: Transaction, error: BaseException | None
    ) -> None:
        try:
            ambient.end()
            if error is None:
                self._refuse_commit(ambient)
        except BaseException:
            transaction.rollback()
            raise
        finally:
            ambient.end()
        try:
            if error is not None:
                transaction.rollback()
                return
            if ambient.is_left_to_next:
                transaction.commit_with_next()  # and told of all the same: no record is among it
            else:
                transaction.commit()
        except BaseException:
            transaction.rollback()  # where it was interrupted before its end had begun
            raise
        if transaction.serial:
            self._committed(transaction.serial, transaction.touched)

    @staticmethod
    def _refuse_commit(ambient: OpenTransaction) -> None:
        """Raise where an update cannot be committed: elsewhere, or after half a change."""
        if ambient.home != whereabouts():
            raise used_elsewhere()
        if ambient.doom is None and ambient.inner:
            raise AbortedError(
                "the update was rolled back, because a call inside it was interrupted half-way"
            )
        if ambient.doom is not None:
            raise AbortedError(
                "the update was rolled back, because a call inside it failed half-way "
                f"({type(ambient.doom).__name__}: {ambient.doom})"
            ) from ambient.doom

    def translate(self, error: BaseException | None) -> None:
        """Raise an error of the engine as one of the model; return where it is another one."""
        if isinstance(error, engine_errors.EngineError):
            raise translated(error, self._path) from error

    def current(self) -> OpenTransaction | None:
        """Return what is open in this context."""
        ambient = innermost()
        while ambient is not None and (ambient.owner is not self or ambient.is_left):
            ambient = ambient.outer
        if ambient is not None and ambient.home != whereabouts():
            raise used_elsewhere()
        return ambient


class _View(Hold):
    """The block of a view."""

    __slots__ = ("_ambient", "_transactions")

    def __init__(self, transactions: Transactions) -> None:
        super().__init__()
        self._transactions = transactions
        self._ambient: OpenTransaction | None = None

    def __enter__(self) -> Transaction:
        current = self._transactions.current()
        if current is not None:
            return current.transaction
        self._ambient = self._transactions.begin_view(self)
        return self._ambient.transaction

    def leave(self, error: BaseException | None) -> None:
        """End the view, unless it joined another transaction."""
        if self._ambient is not None:
            self._transactions.end_view(self._ambient, error)
        else:
            self._transactions.translate(error)


class _Block(Hold):
    """The block of an update; a class, because a generator costs twice the time."""

    __slots__ = ("_ambient", "_later", "_transactions", "_update")

    def __init__(self, transactions: Transactions, later: bool) -> None:  # noqa: FBT001
        super().__init__()
        self._transactions = transactions
        self._later = later
        self._update: Update | None = None

    def __enter__(self) -> Update:
        joined = self._transactions.joined()
        if joined is not None and joined.update is not None:
            self._ambient = joined
            joined.inner += 1
            return joined.update
        self._ambient, self._update = self._transactions.begin(self, later=self._later)
        return self._update

    def leave(self, error: BaseException | None) -> None:
        """End the update, unless it joined another one."""
        if self._update is None:
            self._transactions.end_joined(self._ambient, error)
        else:
            self._transactions.end(self._ambient, self._update, error)
