"""The changes of an update, and their delivery to followers and subscribers after its end."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from orlop.concurrency.ownership import Mutex

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.events import Event
    from orlop.kv import Transaction

_T = TypeVar("_T")


@dataclass(slots=True)
class Changes:
    """The changes of an outermost update, delivered to followers when it has ended.

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
        """Return the changes that remain after a rollback: data in backends without a record."""
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
        changes: the changes so far.
        held: context managers that are left when the outermost update has ended.
    """

    transaction: Transaction
    changes: Changes
    held: ExitStack = field(default_factory=ExitStack)


class Audience:
    """The subscribers and followers of updates that have ended. Thread-safe."""

    def __init__(self) -> None:
        self._mutex = Mutex()
        self._subscribers: list[Callable[[Event], None]] = []
        self._followers: list[Callable[[Changes], None]] = []

    def subscribe(self, subscriber: Callable[[Event], None]) -> Callable[[], None]:
        """Deliver every event to `subscriber`; return a function that ends the subscription."""
        return self._register(self._subscribers, subscriber)

    def follow(self, follower: Callable[[Changes], None]) -> Callable[[], None]:
        """Deliver the changes of each outermost update; return a function that ends that."""
        return self._register(self._followers, follower)

    def notify(self, changes: Changes) -> None:
        """Deliver the changes of an update; of a rolled-back one if it left data in backends.

        Each follower and subscriber is called, even if one raises. The first error is raised
        then, unless `changes.errors` collects them.
        """
        if not (changes.committed or changes.content or changes.snapshotters):
            return
        with self._mutex:
            followers = list(self._followers)
            subscribers = list(self._subscribers)
        errors: list[BaseException] = []
        for follower in followers:
            _deliver(follower, changes, errors)
        for event in changes.events if subscribers else ():
            for subscriber in subscribers:
                _deliver(subscriber, event, errors)
        if changes.errors is not None:
            changes.errors += errors
        elif errors:
            raise errors[0]

    def _register(self, registry: list[_T], entry: _T) -> Callable[[], None]:
        with self._mutex:
            registry.append(entry)

        def end() -> None:
            with self._mutex:
                if entry in registry:
                    registry.remove(entry)

        return end


def _deliver(receiver: Callable[[_T], None], what: _T, errors: list[BaseException]) -> None:
    try:
        receiver(what)
    except BaseException as error:  # noqa: BLE001 (raised after the last delivery)
        errors.append(error)
