"""The time in a history: it passes, and the clock on the wall jumps."""

from __future__ import annotations

from whenever import Instant, TimeDelta

from campaigns.world.records import Expiry


class WorldClock:
    """A clock that is stopped between steps.

    Attributes:
        is_true: whether it was never set, so that other processes have the same time.
        latest: the latest moment that the wall clock ever had, in seconds since 1970.
    """

    def __init__(self, start: Instant) -> None:
        self._wall = start
        self._elapsed = 1_000.0
        self.is_true = True
        self.latest = start.timestamp()

    def now(self) -> Instant:
        """Return the time of the wall clock."""
        return self._wall

    def elapsed(self) -> float:
        """Return the seconds that have really passed since some moment."""
        return self._elapsed

    def pass_time(self, seconds: float) -> None:
        """Advance the time."""
        self._elapsed += seconds
        self.jump(seconds)

    def jump(self, seconds: float) -> None:
        """Set the clock on the wall, in no time."""
        self.is_true = False
        self._wall += TimeDelta(seconds=seconds)
        self.latest = max(self.latest, self._wall.timestamp())

    def expiry(self, seconds: float, handle: int) -> Expiry:
        """Return when something ends that a handle makes now."""
        return Expiry(self._wall.timestamp() + seconds, self._elapsed + seconds, handle)

    def is_in_force(self, expiry: Expiry | None, handle: int) -> bool:
        """Return whether something that expires is certainly in force still.

        A process that saw it being made can tell by the time that has passed; another one has
        only the clock on the wall.
        """
        if expiry is None:
            return True
        if self._elapsed >= expiry.elapsed:
            return False
        return handle == expiry.handle or self.latest < expiry.wall
