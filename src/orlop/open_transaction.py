"""The transaction that is open in a context, and whether its block still runs.

A transaction belongs to the thread, the task and the process that began it and is refused in any
other: tasks (and in newer Pythons threads) inherit context variables, and a forked process
inherits everything.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING

from orlop.errors import FailedPreconditionError

if TYPE_CHECKING:
    from orlop.kv import Transaction
    from orlop.ownership import Hold
    from orlop.stores.scope import Update


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
