"""Where the time comes from. Tests own it; nothing else may ask the system for the time."""

from __future__ import annotations

from typing import Protocol

from whenever import Instant


class Clock(Protocol):
    """A source of the present moment."""

    def now(self) -> Instant:
        """Return the present moment, in UTC, to the nanosecond."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> Instant:
        """Return the system's time, in UTC, to the nanosecond."""
        return Instant.now()
