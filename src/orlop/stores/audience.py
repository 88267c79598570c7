"""Notification of subscribers (of events) and followers (of changes) after an update."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from orlop.ownership import Mutex

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.events import Event
    from orlop.stores.scope import Changes

_T = TypeVar("_T")


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
