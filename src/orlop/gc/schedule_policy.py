"""When the next collection is due: the rules, without a thread and without a clock.

Collections come at intervals, so that the pauses which they make stay a small share of the
time, and only where there is something to do. A request, or many deletions, bring the next one
forward. Where nothing is to be done, the beats of the interval go by without waking anybody.

Source: containerd, plugins/gc/scheduler.go; spec/metadata.md 3.9. Unlike there, what updates
do while a collection runs counts for the next one, since they do not wait for it here; and one
that failed is done again even if nobody asked for it, later each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from orlop.errors import InvalidArgumentError
from orlop.schema.codec.timestamps import require_duration

_SECOND: Final = 10**9
_LEAST_PAUSE: Final = 5 * 10**6
_PAUSE_SHARE_MAX: Final = 0.5
_NO_TIME: Final = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """When automatic collections run. Values out of range are clamped.

    Attributes:
        pause_threshold: the share of time that pauses of updates may take, 0 to 0.5.
        deletion_threshold: after so many updates with deletions a collection runs at once, and
            not with the next interval; 0: never.
        mutation_threshold: after so many updates of any kind one runs with the next interval;
            0: only deletions and requests count.
        schedule_delay: the delay of a collection that is to run at once.
        startup_delay: the delay before the first one; zero: it waits for the first change.
        confirm: whether a collection removes records although the metadata is in doubt and
            they are a large share of all, as on each root that a daemon wrote last. Without,
            it fails, and is retried, until a person confirms it. The data that only they name
            is set aside in either case.
    """

    pause_threshold: float = 0.02
    deletion_threshold: int = 0
    mutation_threshold: int = 100
    schedule_delay: timedelta = _NO_TIME
    startup_delay: timedelta = timedelta(milliseconds=100)
    confirm: bool = False

    def __post_init__(self) -> None:
        require_duration(self.schedule_delay, "schedule_delay")
        require_duration(self.startup_delay, "startup_delay")
        if self.pause_threshold != self.pause_threshold:
            raise InvalidArgumentError("pause_threshold nan", hint="give a share from 0 to 0.5")
        pause_threshold = min(max(self.pause_threshold, 0.0), _PAUSE_SHARE_MAX)
        object.__setattr__(self, "pause_threshold", pause_threshold)
        object.__setattr__(self, "mutation_threshold", max(self.mutation_threshold, 0))
        object.__setattr__(self, "schedule_delay", max(self.schedule_delay, _NO_TIME))
        object.__setattr__(self, "startup_delay", max(self.startup_delay, _NO_TIME))


@dataclass(slots=True)
class _Needs:
    """Pending reasons for a collection."""

    deletions: int = 0
    mutations: int = 0
    is_requested: bool = False
    is_owed: bool = False


class SchedulePolicy:
    """When the next collection is due. All times are nanoseconds of a monotonic clock."""

    def __init__(self, settings: Settings, now: int) -> None:
        """Begin at `now`.

        Args:
            settings: the thresholds and delays.
            now: the present.
        """
        self._settings = settings
        self._needs = _Needs()
        self._running: _Needs | None = None
        self._interval = _SECOND
        self._pauses = 0
        self._runs = 0
        self._incomplete = 0
        self._last: int | None = None
        self._next: int | None = None
        startup_delay = _nanoseconds(settings.startup_delay)
        if startup_delay:
            self._next = now + startup_delay

    @property
    def due(self) -> int | None:
        """When to begin the next collection; `None`: not before something happens."""
        if self._running is not None or not self._is_needed():
            return None
        return self._next

    def note_update(self, now: int, *, has_deleted: bool) -> None:
        """Count an update.

        Args:
            now: the present.
            has_deleted: whether there were deletions since the last collection.
        """
        self._skip_idle_intervals(now)
        self._needs.mutations += 1
        self._needs.deletions += has_deleted
        self._bring_forward(now)

    def request(self, now: int) -> None:
        """Ask for a collection at once."""
        self._skip_idle_intervals(now)
        self._needs.is_requested = True
        self._bring_forward(now)

    def retry_next_interval(self, now: int) -> None:
        """Schedule a collection for the next interval, regardless of the thresholds."""
        self._skip_idle_intervals(now)
        self._needs.is_owed = True
        self._bring_forward(now)

    def begin(self) -> None:
        """Begin the collection that is due; later changes count for the next one."""
        self._running, self._needs = self._needs, _Needs()

    def succeed(self, now: int, pause: int, *, is_complete: bool = True) -> None:
        """Plan the next collection after one that has ended well.

        Args:
            now: the present.
            pause: how long updates had to wait, in nanoseconds.
            is_complete: whether all backends were cleaned; else it is tried again.
        """
        self._running = None
        self._pauses += pause
        self._runs += 1
        share = self._settings.pause_threshold
        if share > 0:
            average = max(self._pauses / self._runs, _LEAST_PAUSE)
            self._interval = int(average / share - average)
        self._incomplete = 0 if is_complete else self._incomplete + 1
        self._needs.is_owed |= not is_complete
        self._last = now
        self._next = now + self._interval + self._incomplete * _SECOND
        self._bring_forward(now)

    def fail(self, now: int) -> None:
        """Schedule a retry after a failed collection, and restore its counts."""
        before, self._running = self._running or _Needs(), None
        was_requested_since = self._needs.is_requested
        self._needs = _Needs(
            deletions=before.deletions + self._needs.deletions,
            mutations=before.mutations + self._needs.mutations,
            is_requested=before.is_requested or was_requested_since,
            is_owed=True,
        )
        delay = _nanoseconds(self._settings.schedule_delay)
        if self._last is not None and self._next is not None:
            delay = self._next - self._last + _SECOND
        self._last = now
        self._next = now + delay
        if was_requested_since:
            self._bring_forward(now)

    def _is_needed(self) -> bool:
        needs, threshold = self._needs, self._settings.mutation_threshold
        return (
            self._last is None
            or needs.is_requested
            or needs.is_owed
            or needs.deletions > 0
            or (threshold > 0 and needs.mutations >= threshold)
        )

    def _bring_forward(self, now: int) -> None:
        if self._running is not None:
            return
        needs, settings = self._needs, self._settings
        is_urgent = needs.is_requested or 0 < settings.deletion_threshold <= needs.deletions
        is_first = self._next is None and (
            needs.is_owed
            or (settings.deletion_threshold == 0 and needs.deletions > 0)
            or 0 < settings.mutation_threshold <= needs.mutations
        )
        soon = now + _nanoseconds(settings.schedule_delay)
        if (is_urgent or is_first) and (self._next is None or self._next > soon):
            self._next = soon

    def _skip_idle_intervals(self, now: int) -> None:
        """Advance the next run past intervals in which nothing was pending."""
        if self._running is None and self._next is not None and not self._is_needed():
            late = now - self._next
            if late > 0:
                beat = max(self._interval, 1)
                self._next += -(-late // beat) * beat


def _nanoseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1) * 1000
