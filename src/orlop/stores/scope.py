"""What a store stands on: a namespace, a source of transactions, the time, the lease in force.

The database implements `Transactor`; the stores only use it. So a store can be read, and
tested, without the database above it.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from orlop.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from orlop.clock import ObservedClock
    from orlop.kv import Transaction
    from orlop.stores.open_writers import OpenWriters

_T = TypeVar("_T")


@dataclass(slots=True)
class Changes:
    """What an outermost update has done, for those who follow: told when it has ended.

    Attributes:
        events: in the order in which they happened.
        deletions: how many deletions may have made garbage.
        content: whether the content backend may now hold unnamed data.
        snapshotters: the backends that may now hold unnamed data.
        content_made: whether the content backend got data that only this update names.
        snapshots_made: the backends that got data that only this update names.
        committed: whether the update is durable, and not rolled back.
        errors: where to put the exceptions of followers and subscribers; `None`: the first is
            raised.
    """

    events: list[Event] = field(default_factory=list)
    deletions: int = 0
    content: bool = False
    snapshotters: set[str] = field(default_factory=set)
    content_made: bool = False
    snapshots_made: set[str] = field(default_factory=set)
    committed: bool = True
    errors: list[BaseException] | None = None

    def undone(self) -> Changes:
        """Return what is left of it after a rollback: data in backends that nothing names."""
        return Changes(
            content=self.content_made,
            snapshotters=set(self.snapshots_made),
            committed=False,
        )


@dataclass(frozen=True, slots=True)
class Update:
    """A writing transaction that one or several store calls share, with its changes.

    Attributes:
        transaction: where to write.
        changes: what has been done.
        held: what is held until the outermost update has ended: durably, or with a rollback.
    """

    transaction: Transaction
    changes: Changes
    held: ExitStack = field(default_factory=ExitStack)


class Transactor(Protocol):
    """Hands out transactions; joins the one that is already open in this context."""

    @property
    def clock(self) -> ObservedClock:
        """Where the time comes from."""

    def lease(self, namespace: str) -> str | None:
        """Return the lease that is in force here: what is made in `namespace` is held by it."""

    @property
    def leases_in_force(self) -> frozenset[tuple[str, str]]:
        """Namespace and id of each lease that has an open block in this process."""

    @property
    def open_writers(self) -> OpenWriters:
        """The writers of content that are open in this process."""

    def view(self) -> AbstractContextManager[Transaction]:
        """Read: in the transaction of this context where there is one, else in a new one."""

    def read(self, function: Callable[[Transaction], _T]) -> _T:
        """Return what `function` reads; it is called again where the file changed meanwhile."""

    def update(self, *, later: bool = False) -> AbstractContextManager[Update]:
        """Write: joins the update of this context, else commits when the block ends.

        Args:
            later: whether a block that joins none may leave it to the next update to make its
                changes durable; records may not be among them.

        Raises:
            FailedPreconditionError: this context has a reading transaction open.
        """


@dataclass(frozen=True, slots=True)
class Scope:
    """A namespace, bound once, over a transactor."""

    namespace: str
    transactor: Transactor

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
