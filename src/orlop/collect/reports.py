"""What updates have touched, for collections that run beside them.

The database reports each update once it is durable, while it still holds its share of the
gate: whoever has the gate alone has been told of all that is there.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from orlop.kv import Path


TOUCHED_MAX: Final = 500_000
"""So many places are remembered; whoever lets them pile up reads everything again."""


class Listener:
    """What was touched since this began to listen, or since it was asked last.

    Attributes:
        is_full: whether more was touched than is remembered.
    """

    def __init__(self) -> None:
        self.is_full = False
        self._mutex = Lock()
        self._touched: set[Path] = set()
        self._deaf_to: int | None = None

    def note(self, touched: AbstractSet[Path]) -> None:
        """Add what an update has touched."""
        if self._deaf_to is not None and self._deaf_to == get_ident():
            return
        with self._mutex:
            if len(self._touched) + len(touched) > TOUCHED_MAX:
                self.is_full = True
                self._touched = set()
            if not self.is_full:
                self._touched |= touched

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Pass over what this thread reports while the block runs; hear all others."""
        self._deaf_to = get_ident()
        try:
            yield
        finally:
            self._deaf_to = None

    def take(self) -> set[Path]:
        """Return what was touched, and forget it."""
        with self._mutex:
            touched, self._touched = self._touched, set()
        return touched


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

    def listen(self) -> Listener:
        """Begin to listen."""
        listener = Listener()
        with self._mutex:
            self._listeners.append(listener)
        return listener

    def forget(self, listener: Listener) -> None:
        """Tell a listener no more."""
        with self._mutex:
            if listener in self._listeners:
                self._listeners.remove(listener)
