"""Objects that tie a reader's version or the writer lock to its transaction.

Never compiled: weak references lead here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.bolt.transaction_state import Handle
from orlop.concurrency.ownership import Ticket

if TYPE_CHECKING:
    import weakref


class WriterTicket(Ticket):
    """The writer lock of a writing transaction, or a wait for it.

    Attributes:
        handle: says to the transaction whether it may be used.
    """

    def __init__(self) -> None:
        """Begin without the lock."""
        super().__init__()
        self.handle = Handle()

    def roll_back(self) -> None:
        """Invalidate the transaction and release its lock."""
        self.handle.is_rolled_back = True


class Pin:
    """A version that a reader reads.

    Attributes:
        entry: where the engine has noted it; None: it has not, or no longer.
    """

    __slots__ = ("__weakref__", "entry")

    def __init__(self) -> None:
        """Begin without a version."""
        self.entry: weakref.ref[Pin] | None = None
