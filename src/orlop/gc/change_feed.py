"""What updates have touched, for collections that run beside them.

The database reports each update once it is durable, while it still holds its share of the gate:
whoever has the gate alone has been told of all that went through the gate. What did not, or was
interrupted between its commit and its report, is missing from the numbers that the engine gives
to changes: `Listener.is_complete` tells.
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
"""So many places are remembered; whoever lets them pile up reads everything again."""


class MissedChangeError(Exception):
    """The database was changed by what did not report it: what is known of it does not count."""


class Listener:
    """What was touched since this began to listen, or since it was asked last.

    Attributes:
        is_full: whether more was touched than is remembered.
    """

    def __init__(self, engine: Engine) -> None:
        """Begin to listen: what is read from now on has all that is durable by now."""
        self.is_full = False
        self._engine = engine
        self._mutex = Mutex()
        self._touched: set[Path] = set()
        self._deaf_to: int | None = None
        self._first_serial = engine.durable_serial
        self._heard = 0

    @property
    def is_complete(self) -> bool:
        """Whether this was told of each change that the engine has made since.

        An update that still has its share of the gate may be missing. While a writer is open,
        and the gate is held, the answer stays what it is.
        """
        with self._mutex:
            return self._engine.serial - self._first_serial == self._heard

    def note(self, serial: int, touched: AbstractSet[Path]) -> None:
        """Add what the change of a number has touched."""
        with self._mutex:
            if self._deaf_to is None or self._deaf_to != get_ident():
                self._add(touched)
            # Last: an interrupt before it leaves a gap, and so no doubt about what was noted.
            self._heard += serial > self._first_serial

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

    def _add(self, touched: AbstractSet[Path]) -> None:
        if len(self._touched) + len(touched) > TOUCHED_MAX:
            self.is_full = True
            self._touched = set()
        if not self.is_full:
            self._touched |= touched


class ChangeFeed:
    """Passes on what updates have touched. Every thread may use it."""

    def __init__(self, engine: Engine) -> None:
        """Pass on what is changed in `engine`."""
        self._engine = engine
        self._mutex = Mutex()
        # Whoever forgets a listener need not say so.
        self._listeners: WeakSet[Listener] = WeakSet()
        self._first_serial = engine.serial
        self._heard = 0
        self._undurable: dict[int, AbstractSet[Path]] = {}

    @property
    def has_unseen(self) -> bool:
        """Whether readers may not see yet what was changed past the stores, without a report."""
        with self._mutex:
            serial = self._engine.serial
            is_complete = serial - self._first_serial == self._heard
            return not is_complete and serial != self._engine.durable_serial

    def note(self, serial: int, touched: AbstractSet[Path]) -> None:
        """Tell all who listen what the change of a number has touched.

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
