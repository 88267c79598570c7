"""The open lease blocks of this process, and the lease in force in a context.

A lease is in force in the context that opened its block and in those that inherited it. The
innermost open block of a namespace decides. Blocks may end in any order, thread and context.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from orlop.concurrency.ownership import Hold

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class _Block(Hold):
    """A block in which a lease is in force. An exception may keep its `__exit__` from running."""

    __slots__ = ("_has_ended", "blocks", "lease_id", "namespace", "outer")

    def __init__(self, blocks: LeaseBlocks, namespace: str, lease_id: str) -> None:
        super().__init__()
        self.blocks = blocks
        self.namespace = namespace
        self.lease_id = lease_id
        self.outer = _first_open(_innermost.get())
        self._has_ended = False

    @property
    def is_open(self) -> bool:
        return not (self._has_ended or self.is_left)

    def __enter__(self) -> None:
        self.blocks.add(self)
        _innermost.set(self)

    def leave(self, error: BaseException | None) -> None:
        """End the block: its lease is no longer in force in any context."""
        del error
        self._has_ended = True
        self.blocks.remove(self)
        _innermost.set(_first_open(_innermost.get()))


_innermost: ContextVar[_Block | None] = ContextVar("orlop_lease_block", default=None)


class LeaseBlocks:
    """The open lease blocks of one database. Every thread may use it."""

    def __init__(self) -> None:
        # Without a lock: the end of a collected generator may run at any instruction.
        self._open: set[_Block] = set()

    def lease(self, namespace: str) -> str | None:
        """Return the lease of the innermost open block of this context, if there is one."""
        block = _innermost.get()
        while block is not None:
            if block.is_open and block.blocks is self and block.namespace == namespace:
                return block.lease_id
            block = block.outer
        return None

    @property
    def in_force(self) -> frozenset[tuple[str, str]]:
        """Namespace and id of each lease that has an open block in any context."""
        while True:
            try:
                blocks = tuple(self._open)
            except RuntimeError:
                continue  # another thread changed the set
            self._open.difference_update([block for block in blocks if block.is_left])
            return frozenset((one.namespace, one.lease_id) for one in blocks if one.is_open)

    def block(self, namespace: str, lease_id: str) -> AbstractContextManager[None]:
        """Put a lease in force for `namespace` while the block runs."""
        return _Block(self, namespace, lease_id)

    def add(self, block: _Block) -> None:
        """Add an open block."""
        self._open.add(block)

    def remove(self, block: _Block) -> None:
        """Remove a block; it may be missing."""
        self._open.discard(block)


def _first_open(block: _Block | None) -> _Block | None:
    while block is not None and not block.is_open:
        block = block.outer
    return block
