"""A clock for a scheduler that only a test advances."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orlop.concurrency.ownership import Flag

PATIENCE_SECONDS = 30.0
SHORTEST_NAP = 10**6


class SteppedTimer:
    """Counts nanoseconds; `advance` returns when the scheduler has done all that is due then.

    Attributes:
        nap: for how many seconds the scheduler would sleep now; `None`: without end.
    """

    def __init__(self) -> None:
        self.nap: float | None = None
        self._now = 0
        self._steps = 0
        self._steps_seen: dict[int, int] = {}
        self._steps_slept = -1
        self._asleep = threading.Event()
        self._changed: Flag | None = None

    def now(self) -> int:
        self._steps_seen[threading.get_ident()] = self._steps
        return self._now

    def wait(self, changed: Flag, seconds: float | None) -> None:
        self.nap = seconds
        self._changed = changed
        self._steps_slept = self._steps_seen[threading.get_ident()]
        self._asleep.set()
        changed.wait(PATIENCE_SECONDS)

    def settle(self) -> None:
        self.advance(0)

    def advance(self, seconds: float) -> None:
        """Advance the time, in the steps that the scheduler asks for."""
        self._look_around(0)
        remaining = round(seconds * 10**9)
        while remaining > 0:
            nap = remaining if self.nap is None else round(self.nap * 10**9)
            step = min(max(nap, SHORTEST_NAP), remaining)
            remaining -= step
            self._look_around(step)

    def _look_around(self, nanoseconds: int) -> None:
        assert self._asleep.wait(PATIENCE_SECONDS), "the scheduler does not come to rest"
        self._now += nanoseconds
        self._steps += 1
        while self._steps_slept != self._steps:  # else it has looked before this step
            self._asleep.clear()
            assert self._changed is not None
            self._changed.set()
            assert self._asleep.wait(PATIENCE_SECONDS), "the scheduler does not come to rest"
