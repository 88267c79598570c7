"""Time for a scheduler that goes on only when a test says so."""

from __future__ import annotations

import threading

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
        self._asleep = threading.Event()
        self._condition: threading.Condition | None = None

    def now(self) -> int:
        return self._now

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        self.nap = seconds
        self._condition = condition
        self._asleep.set()
        condition.wait(PATIENCE_SECONDS)

    def settle(self) -> None:
        self.advance(0)

    def advance(self, seconds: float) -> None:
        """Let time go on, in the steps that the scheduler asks for."""
        self._look_around(0)
        remaining = round(seconds * 10**9)
        while remaining > 0:
            nap = remaining if self.nap is None else round(self.nap * 10**9)
            step = min(max(nap, SHORTEST_NAP), remaining)
            remaining -= step
            self._look_around(step)

    def _look_around(self, nanoseconds: int) -> None:
        assert self._asleep.wait(PATIENCE_SECONDS), "the scheduler does not come to rest"
        assert self._condition is not None
        with self._condition:
            self._asleep.clear()
            self._now += nanoseconds
            self._condition.notify_all()
        assert self._asleep.wait(PATIENCE_SECONDS), "the scheduler does not come to rest"
