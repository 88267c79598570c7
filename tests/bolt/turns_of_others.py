"""Measures for how long an operation keeps the GIL without yielding.

The interpreter releases the GIL where it also checks for signals. So a timer of processor time
sends a signal every millisecond, and the handler reads a clock of processor time: the load of
other processes does not count.
"""

from __future__ import annotations

import gc
import resource
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

INTERVAL_SECONDS = 0.001
UNTOLD_SECONDS_MAX = 0.03
"""It takes 0.01, since the timer ticks with the clock of the system; else it would take 0.4."""


def own_seconds() -> float:
    """Return the user time of this thread in seconds; system calls release the GIL."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_utime


class Handler:
    """Notes for how long it was not called while an operation was at work, in seconds."""

    def __init__(self) -> None:
        self.longest = self.whole = self._last = 0.0

    def __call__(self, _: int, __: FrameType | None) -> None:
        now = own_seconds()
        self.longest = max(self.longest, now - self._last)
        self._last = own_seconds()

    def watch(self, operation: Callable[[], object]) -> None:
        before = signal.signal(signal.SIGVTALRM, self)
        gc.disable()  # a pass over all objects is one call, however long it takes
        begun = self._last = own_seconds()
        signal.setitimer(signal.ITIMER_VIRTUAL, INTERVAL_SECONDS, INTERVAL_SECONDS)
        try:
            operation()
            ended = own_seconds()
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            gc.enable()
            signal.signal(signal.SIGVTALRM, before)
        self.longest = max(self.longest, ended - self._last)
        self.whole += ended - begun

    def check(self) -> None:
        """Check that no stretch without yielding was too long."""
        assert self.whole > 2 * UNTOLD_SECONDS_MAX, "too short to say anything"
        assert self.longest < UNTOLD_SECONDS_MAX
