"""What updates have touched, for collections that run beside them.

The database reports each update once it is durable, while it still holds its share of the
gate: whoever has the gate alone has been told of all that is there.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from orlop.kv import Path


class Listener:
    """What was touched since this began to listen, or since it was asked last."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self._touched: set[Path] = set()

    def note(self, touched: AbstractSet[Path]) -> None:
        """Add what an update has touched."""
        with self._mutex:
            self._touched |= touched

    def take(self) -> set[Path]:
        """Return what was touched, and forget it."""
        with self._mutex:
            touched, self._touched = self._touched, set()
        return touched

    def __len__(self) -> int:
        return len(self._touched)


class Reports:
    """Passes on what updates have touched. Every thread may use it."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self._listeners: list[Listener] = []

    def note(self, touched: AbstractSet[Path]) -> None:
        """Tell all who listen what an update has touched. It is durable."""
        with self._mutex:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener.note(touched)

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """Listen while the block runs."""
        listener = Listener()
        with self._mutex:
            self._listeners.append(listener)
        try:
            yield listener
        finally:
            with self._mutex:
                self._listeners.remove(listener)
