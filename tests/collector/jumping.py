"""A clock on the wall that jumps, and the time that really passes."""

from __future__ import annotations

from whenever import Instant, TimeDelta

from collector.settable import START


class JumpingClock:
    """Stopped until time passes, or it is set."""

    def __init__(self, moment: Instant = START) -> None:
        self.moment = moment
        self.seconds = 5_000.0

    def now(self) -> Instant:
        return self.moment

    def elapsed(self) -> float:
        return self.seconds

    def advance(self, *, hours: float = 0, seconds: float = 0) -> None:
        self.seconds += 3600 * hours + seconds
        self.jump(hours=hours, seconds=seconds)

    def jump(self, *, hours: float = 0, seconds: float = 0) -> None:
        self.moment += TimeDelta(hours=hours, seconds=seconds)
