"""A clock that advances by a second on each call."""

from __future__ import annotations

from whenever import Instant

START_NANOSECONDS = 1_771_234_567_123_456_789


class TickingClock:
    """Every moment is told once, so that any two times in a test can be told apart."""

    def __init__(self, start: int = START_NANOSECONDS) -> None:
        self.nanoseconds = start

    def now(self) -> Instant:
        """Return the current time, and advance it by a second."""
        moment = Instant.from_timestamp(self.nanoseconds, unit="nanosecond")
        self.nanoseconds += 1_000_000_000
        return moment
