"""Who is told of updates that have ended: subscribers of events, and followers of changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from orlop.ownership import Mutex

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.model.events import Event
    from orlop.stores.scope import Changes

_T = TypeVar("_T")


class Audience:
    """Who is told what an update has done, once it has ended. Every thread may use it."""

    def __init__(self) -> None:
        self._mutex = Mutex()
        self._subscribers: list[Callable[[Event], None]] = []
        self._followers: list[Callable[[Changes], None]] = []

    def subscribe(self, subscriber: Callable[[Event], None]) -> Callable[[], None]:
        """Have every event delivered; return what ends it."""
        return self._register(self._subscribers, subscriber)

    def follow(self, follower: Callable[[Changes], None]) -> Callable[[], None]:
        """Be told of each outermost update; return what ends it."""
        return self._register(self._followers, follower)

    def tell(self, changes: Changes) -> None:
        """Tell of an update that has ended. A rollback is told of if it left data in backends.

        All are told, even if one raises: what is told has happened. The first error is raised
        then, unless the changes say where errors go.
        """
        if not (changes.committed or changes.content or changes.snapshotters):
            return
        with self._mutex:
            followers = list(self._followers)
            subscribers = list(self._subscribers)
        errors: list[BaseException] = []
        for follower in followers:
            _tell(follower, changes, errors)
        for event in changes.events if subscribers else ():
            for subscriber in subscribers:
                _tell(subscriber, event, errors)
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


def _tell(told: Callable[[_T], None], what: _T, errors: list[BaseException]) -> None:
    try:
        told(what)
    except BaseException as error:  # noqa: BLE001 (raised when all have been told)
        errors.append(error)
