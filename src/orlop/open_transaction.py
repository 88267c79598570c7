"""The transaction that is open in a context, and whether the block is still there that it is for.

It belongs to the thread, the task and the process that began it and is refused elsewhere: tasks
(and in newer Pythons threads) inherit context variables, and a forked process inherits everything.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING

from orlop.model.errors import FailedPreconditionError

if TYPE_CHECKING:
    from orlop.kv import Transaction
    from orlop.ownership import Hold
    from orlop.stores.scope import Update


class OpenTransaction:
    """A transaction that is open in a context while a block runs.

    Attributes:
        owner: the transactions that it is one of.
        transaction: the transaction of the engine.
        update: what it changes; `None`: it reads.
        block: the block that it is open for; `None`: a single read.
        outer: what was open in this context before.
        home: where it was begun.
        doom: what left an inner block half-way.
        inner: how many inner blocks have begun that have not ended.
        ended: whether the way out of its block was begun.
        is_left_to_next: whether its changes need not be durable at its end.
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
        self.home = whereabouts()
        self.doom: BaseException | None = None
        self.inner = 0
        self.ended = False
        self.is_left_to_next = False

    @property
    def is_left(self) -> bool:
        """Whether the way out of its block was begun, or the block is gone without it."""
        return self.ended or self.is_abandoned

    @property
    def is_abandoned(self) -> bool:
        """Whether its block is gone, so that nobody else will end this."""
        if self.block is None:
            return False
        block = self.block()
        return block is None or block.is_left

    def begin(self) -> None:
        """Let the context have this."""
        _open.set(self)

    def end(self) -> None:
        """Let the context be what it was before."""
        self.ended = True
        if _open.get() is self:
            _open.set(self.outer)


_open: ContextVar[OpenTransaction | None] = ContextVar("orlop_transaction", default=None)


def innermost() -> OpenTransaction | None:
    """Return what was begun last in this context; it may have ended."""
    return _open.get()


def whereabouts() -> tuple[int, int, int | None]:
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


def used_elsewhere() -> FailedPreconditionError:
    """Return what refuses a transaction that is open here, and belongs elsewhere."""
    return FailedPreconditionError(
        "a transaction belongs to the thread, task and process that began it, and is open in "
        "this context from another one: run this outside of its block, or in an empty context"
    )
