"""A clock that is stopped until it is set."""

from __future__ import annotations

from whenever import Instant, TimeDelta

START = Instant.parse_iso("2026-11-24T22:00:00Z")


class SettableClock:
    def __init__(self, moment: Instant = START) -> None:
        self.moment = moment

    def now(self) -> Instant:
        return self.moment

    def advance(self, *, hours: int = 0, seconds: int = 0) -> None:
        self.moment += TimeDelta(hours=hours, seconds=seconds)
