"""What a store stands on: a namespace, a source of transactions, the time, the lease in force.

The database implements `Transactor`; the stores only use it. So a store can be read, and
tested, without the database above it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from orlop.kv import Transaction
    from orlop.model.clock import Clock
    from orlop.model.events import Event


@dataclass(slots=True)
class Changes:
    """What an outermost update has done, for those who follow: told after its commit.

    Attributes:
        events: in the order in which they happened.
        deletions: how many deletions may have made garbage.
        content: whether the content backend may now hold unnamed data.
        snapshotters: the backends that may now hold unnamed data.
    """

    events: list[Event] = field(default_factory=list)
    deletions: int = 0
    content: bool = False
    snapshotters: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Update:
    """A writing transaction that one or several store calls share, with its changes."""

    transaction: Transaction
    changes: Changes


class Transactor(Protocol):
    """Hands out transactions; joins the one that is already open in this context."""

    @property
    def clock(self) -> Clock:
        """Where the time comes from."""

    @property
    def lease(self) -> str | None:
        """The lease that is in force in this context: what is made now is held by it."""

    def view(self) -> AbstractContextManager[Transaction]:
        """Read: in the transaction of this context where there is one, else in a new one."""

    def update(self) -> AbstractContextManager[Update]:
        """Write: joins the update of this context, else commits when the block ends.

        Raises:
            FailedPreconditionError: this context has a reading transaction open.
        """


@dataclass(frozen=True, slots=True)
class Scope:
    """A namespace, bound once, over a transactor."""

    namespace: str
    transactor: Transactor
