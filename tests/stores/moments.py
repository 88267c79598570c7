"""A clock for tests: it stops until it is advanced."""

from __future__ import annotations

from whenever import Instant

START_NANOSECONDS = 1_771_234_567_123_456_789


class StandingClock:
    """Returns the same moment until `advance` is called."""

    def __init__(self) -> None:
        self._now = Instant.from_timestamp(START_NANOSECONDS, unit="nanosecond")

    def now(self) -> Instant:
        return self._now

    def advance(self, *, hours: float = 0, seconds: float = 0) -> Instant:
        self._now = self._now.add(hours=hours, seconds=seconds)
        return self._now
