"""The clocks: the system's, and one that detects jumps of the wall clock; the check of timeouts.

Nothing else asks the system for the time, so that tests can set it.

An expiry is a moment of the wall clock. If that clock jumps forward, a lease that should last for
some more hours seems to be over. `ObservedClock` therefore reads each expiry by the clock that it
was written with: it moves the expiry as far as the clock was set forward since then.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Protocol

from whenever import Instant, TimeDelta

from orlop.errors import InvalidArgumentError

_JUMP_SECONDS: Final = 5.0
"""By so much the clocks may differ: a wall clock is slewed, and two clocks are not read at once."""
_READING_SECONDS: Final = 1.0
_STRETCHES_MAX: Final = 64


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


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A time in which the wall clock did not jump.

    Attributes:
        offset: the wall clock less the elapsed time, in seconds.
        until: the last moment of the wall clock that was seen in it, in seconds since 1970.
    """

    offset: float
    until: float


class ObservedClock:
    """The time, and how the wall clock jumped since this was made. Every thread may use it.

    Attributes:
        jumps: how many jumps were noticed. They are noticed by `now`.
    """

    def __init__(self, clock: Clock) -> None:
        """Observe `clock`: where it has no `elapsed`, its time is taken as it is."""
        self._clock = clock
        self._own_elapsed = getattr(clock, "elapsed", None)
        self._past: tuple[_Stretch, ...] = ()
        self._present: _Stretch | None = None
        self.jumps = 0

    def now(self) -> Instant:
        """Return the time of the wall clock, in UTC, to the nanosecond."""
        if self._own_elapsed is None:
            return self._clock.now()
        while True:
            before = self._own_elapsed()
            now = self._clock.now()
            after = self._own_elapsed()
            # Else the process was stopped in between, and the two do not belong together.
            if after - before < _READING_SECONDS:
                break
        self._note(now.timestamp(unit="nanosecond") / 1e9, after)
        return now

    def elapsed(self) -> float:
        """Return the seconds since some moment, suspended time included; it never jumps."""
        return system_elapsed() if self._own_elapsed is None else float(self._own_elapsed())

    def lasting(self, expires_at: Instant, made_at: Instant | None) -> Instant:
        """Return when something has expired, as the wall clock will call it.

        Args:
            expires_at: the expiry as it was written, by the wall clock of that time.
            made_at: when at the earliest it was written; `None`: not known.
        """
        present = self._present
        if present is None or not self._past:
            return expires_at
        made = None if made_at is None else made_at.timestamp(unit="nanosecond") / 1e9
        shift = max(
            (
                present.offset - one.offset
                for one in self._past
                # Later than the end of a stretch it was not written in it.
                if made is None or made <= one.until + _JUMP_SECONDS
            ),
            default=0.0,
        )
        if shift <= 0:
            return expires_at
        try:
            return expires_at + TimeDelta(seconds=shift)
        except (ValueError, OverflowError):
            return Instant.MAX

    def _note(self, wall: float, elapsed: float) -> None:
        offset, present = wall - elapsed, self._present
        if present is None or abs(offset - present.offset) <= _JUMP_SECONDS:
            self._present = _Stretch(offset if present is None else present.offset, wall)
            return
        past = (*self._past, present)
        if len(past) > _STRETCHES_MAX:
            first, second, *rest = past
            both = _Stretch(min(first.offset, second.offset), max(first.until, second.until))
            past = (both, *rest)
        self._past, self._present = past, _Stretch(offset, wall)
        self.jumps += 1


def require_timeout(timeout: object) -> None:
    """Check a timeout in seconds; `None` is a timeout without end.

    Raises:
        InvalidArgumentError: it is no number, or a negative one.
    """
    if timeout is None:
        return
    # Negated, so that it refuses what is no number at all, too: nan.
    if not isinstance(timeout, (int, float)) or not timeout >= 0:
        raise InvalidArgumentError(
            f"timeout {timeout!r}", hint="give seconds, 0 or more, or None to wait without end"
        )
