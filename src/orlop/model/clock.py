"""Where the time comes from. Tests own it; nothing else may ask the system for the time."""

from __future__ import annotations

import time
from typing import Protocol

from whenever import Instant


class Clock(Protocol):
    """A source of the present moment.

    One that also has `elapsed()`, the seconds since some moment as they really pass, lets jumps
    of the wall clock be told from time that passes. Without it all that `now` does is passing.
    """

    def now(self) -> Instant:
        """Return the present moment, in UTC, to the nanosecond."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> Instant:
        """Return the system's time, in UTC, to the nanosecond."""
        return Instant.now()

    def elapsed(self) -> float:
        """Return the seconds since this machine started, suspended time included."""
        return system_elapsed()


def system_elapsed() -> float:
    """Return the seconds since this machine started, with those in which it was suspended."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e9
