"""Change feed: reports the paths that updates touched to concurrent collections.

The database reports each update once it is durable, before it releases its share of the lock:
a thread that has the lock exclusively has received all updates made under the lock. An update
made without it, or interrupted between commit and report, leaves a gap in the serial numbers
that the engine gives to changes: see `Listener.is_complete`.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from orlop.concurrency.ownership import Mutex

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from orlop.kv import Engine, Path


TOUCHED_MAX: Final = 500_000
"""Maximum number of paths to remember; beyond it a listener reads everything again."""


class MissedChangeError(Exception):
    """A change of the database was not reported: the graph in memory may be out of date."""


class Listener:
    """The paths that updates touched since the listener was made or last read.

    Attributes:
        is_full: whether more was touched than is remembered.
    """

    def __init__(self, engine: Engine) -> None:
        """Start listening; later reads see every change that is durable by now."""
        self.is_full = False
        self._engine = engine
        self._mutex = Mutex()
        self._touched: set[Path] = set()
        self._deaf_to: int | None = None
        self._first_serial = engine.durable_serial
        self._heard = 0

    @property
    def is_complete(self) -> bool:
        """Whether each change that the engine has made since was reported to this listener.

        An update that still has its share of the gate may be missing. While a writer is open,
        and the gate is held, the answer stays what it is.
        """
        with self._mutex:
            return self._engine.serial - self._first_serial == self._heard

    def note(self, serial: int, touched: AbstractSet[Path]) -> None:
        """Add the paths that the change with this serial number touched."""
        with self._mutex:
            if self._deaf_to is None or self._deaf_to != get_ident():
                self._add(touched)
            # Last: an interrupt before it leaves a gap, and so no doubt about what was noted.
            self._heard += serial > self._first_serial

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Ignore reports of this thread while the block runs, but no other thread's."""
        self._deaf_to = get_ident()
        try:
            yield
        finally:
            self._deaf_to = None

    def take(self) -> set[Path]:
        """Return the touched paths and clear them."""
        with self._mutex:
            touched, self._touched = self._touched, set()
        return touched

    def _add(self, touched: AbstractSet[Path]) -> None:
        if len(self._touched) + len(touched) > TOUCHED_MAX:
            self.is_full = True
            self._touched = set()
        if not self.is_full:
            self._touched |= touched


class ChangeFeed:
    """Forwards the paths that updates touched to all listeners; thread-safe."""

    def __init__(self, engine: Engine) -> None:
        """Forward the changes of `engine`."""
        self._engine = engine
        self._mutex = Mutex()
        # A weak set: a dropped listener needs no call to unsubscribe.
        self._listeners: WeakSet[Listener] = WeakSet()
        self._first_serial = engine.serial
        self._heard = 0
        self._undurable: dict[int, AbstractSet[Path]] = {}

    @property
    def has_unseen(self) -> bool:
        """Whether a change bypassed the stores and is not yet visible to readers."""
        with self._mutex:
            serial = self._engine.serial
            is_complete = serial - self._first_serial == self._heard
            return not is_complete and serial != self._engine.durable_serial

    def note(self, serial: int, touched: AbstractSet[Path]) -> None:
        """Notify all listeners of the paths that the change with this serial touched.

        It is durable; or it is left to later ones to make it so, and readers do not see it yet.
        """
        with self._mutex:
            for listener in self._listeners:
                listener.note(serial, touched)
            self._heard += 1
            durable = self._engine.durable_serial
            if serial > durable or self._undurable:
                self._undurable[serial] = touched
                self._undurable = {
                    number: paths for number, paths in self._undurable.items() if number > durable
                }

    def listen(self) -> Listener:
        """Begin to listen, for as long as the listener is kept."""
        with self._mutex:
            listener = Listener(self._engine)
            # What readers do not see yet, and was told of before this listened.
            for serial, touched in self._undurable.items():
                listener.note(serial, touched)
            self._listeners.add(listener)
        return listener
