"""The lease blocks that are open in this process, and which of them counts in a context.

A block belongs to the contexts that it was opened in or that inherited it: there, the innermost
open block of a namespace decides. Blocks may end in any order, and in any thread or context.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Block:
    __slots__ = ("blocks", "is_open", "lease_id", "namespace", "outer")

    def __init__(self, blocks: LeaseBlocks, namespace: str, lease_id: str) -> None:
        self.blocks = blocks
        self.namespace = namespace
        self.lease_id = lease_id
        self.outer = _first_open(_innermost.get())
        self.is_open = True


_innermost: ContextVar[_Block | None] = ContextVar("orlop_lease_block", default=None)


class LeaseBlocks:
    """The open lease blocks of one database. Every thread may use it."""

    def __init__(self) -> None:
        # Without a lock: a generator that is collected ends its block at any instruction.
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
                continue  # a block began or ended meanwhile
            return frozenset((block.namespace, block.lease_id) for block in blocks)

    @contextmanager
    def block(self, namespace: str, lease_id: str) -> Iterator[None]:
        """Let a lease be in force for `namespace` while the block runs."""
        block = _Block(self, namespace, lease_id)
        try:
            self._open.add(block)
            _innermost.set(block)
            yield
        finally:
            # First: from here on it counts nowhere, whichever context this is.
            block.is_open = False
            self._open.discard(block)
            _innermost.set(_first_open(_innermost.get()))


def _first_open(block: _Block | None) -> _Block | None:
    while block is not None and not block.is_open:
        block = block.outer
    return block
