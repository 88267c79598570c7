"""When collections are due: against a plain loop over every interval, and rule by rule."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from orlop.gc.schedule_policy import SchedulePolicy, Settings

MS = 10**6
SECOND = 10**9


@dataclass
class Loop:
    """The rules of containerd's documentation, with a timer for every interval."""

    settings: Settings
    next: int | None = None
    last: int | None = None
    interval: int = SECOND
    pauses: int = 0
    runs: int = 0
    requested: bool = False
    owed: bool = False
    deletions: int = 0
    mutations: int = 0

    def __post_init__(self) -> None:
        startup = self.settings.startup_delay // timedelta(milliseconds=1)
        if startup:
            self.next = startup * MS

    @property
    def delay(self) -> int:
        return self.settings.schedule_delay // timedelta(milliseconds=1) * MS

    def tick(self, now: int) -> bool:
        """Expire the timer; return whether a collection begins."""
        threshold = self.settings.mutation_threshold
        if (
            not self.requested
            and not self.owed
            and self.last is not None
            and not self.deletions
            and (threshold == 0 or self.mutations < threshold)
        ):
            self.next = now + self.interval
            return False
        return True

    def event(self, now: int, kind: str) -> None:
        self.deletions += kind == "delete"
        self.mutations += kind in {"delete", "change"}
        self.requested |= kind == "request"
        self.owed |= kind == "retry_next_interval"
        settings = self.settings
        nothing_scheduled = self.next is None and (
            (settings.deletion_threshold == 0 and self.deletions > 0)
            or (settings.mutation_threshold > 0 and self.mutations >= settings.mutation_threshold)
            or self.owed
        )
        reached = settings.deletion_threshold > 0 and self.deletions >= settings.deletion_threshold
        is_later = self.next is None or self.next > now + self.delay
        if (self.requested or reached or nothing_scheduled) and is_later:
            self.next = now + self.delay

    def succeed(self, now: int, pause: int) -> None:
        self.pauses += pause
        self.runs += 1
        self.requested = self.owed = False
        self.deletions = self.mutations = 0
        if self.settings.pause_threshold > 0:
            average = max(self.pauses / self.runs, 5 * MS)
            self.interval = int(average / self.settings.pause_threshold - average)
        self.last, self.next = now, now + self.interval

    def fail(self, now: int) -> None:
        delay = self.delay
        if self.last is not None:
            assert self.next is not None
            delay = self.next - self.last + SECOND
        self.owed = True
        self.last, self.next = now, now + delay


settings = st.builds(
    Settings,
    pause_threshold=st.sampled_from([0.0, 0.02, 0.5, 0.9]),
    deletion_threshold=st.sampled_from([0, 1, 3]),
    mutation_threshold=st.sampled_from([0, 1, 4, -1]),
    schedule_delay=st.sampled_from([timedelta(0), timedelta(milliseconds=30)]),
    startup_delay=st.sampled_from([timedelta(0), timedelta(milliseconds=100)]),
)
happenings = st.lists(
    st.tuples(
        st.integers(1, 3000).map(lambda value: value * MS + 1),
        st.sampled_from(["change", "change", "delete", "request", "retry_next_interval"]),
    ),
    max_size=30,
)
outcomes = st.lists(
    st.one_of(st.none(), st.sampled_from([0, 1 * MS, 20 * MS])), min_size=1, max_size=5
)


@given(settings, happenings, outcomes)
def test_collections_begin_when_containerds_would(
    chosen: Settings, happening: list[tuple[int, str]], outcome: list[int | None]
) -> None:
    loop, agenda = Loop(chosen), SchedulePolicy(chosen, 0)
    expected: list[int] = []
    found: list[int] = []

    def end(now: int, begun: list[int]) -> int | None:
        begun.append(now)
        return outcome[(len(begun) - 1) % len(outcome)]

    def run_loop(until: int) -> None:
        while loop.next is not None and loop.next <= until and len(expected) < 500:
            now = loop.next
            if loop.tick(now):
                pause = end(now, expected)
                loop.fail(now) if pause is None else loop.succeed(now, pause)

    def run_agenda(until: int) -> None:
        while agenda.due is not None and agenda.due <= until and len(found) < 500:
            now = agenda.due
            agenda.begin()
            pause = end(now, found)
            agenda.fail(now) if pause is None else agenda.succeed(now, pause)

    now = 0
    for wait, kind in happening:
        now += wait
        run_loop(now)
        run_agenda(now)
        loop.event(now, kind)
        if kind == "request":
            agenda.request(now)
        elif kind == "retry_next_interval":
            agenda.retry_next_interval(now)
        else:
            agenda.note_update(now, has_deleted=kind == "delete")
    run_loop(now + 10 * SECOND)
    run_agenda(now + 10 * SECOND)
    assert found == expected


def started(**options: float) -> SchedulePolicy:
    """Return the agenda after one collection at 0."""
    agenda = SchedulePolicy(Settings(startup_delay=timedelta(0), **options), 0)  # type: ignore[arg-type]
    agenda.request(0)
    agenda.begin()
    agenda.succeed(0, 10 * MS)
    return agenda


def test_settings_out_of_range_are_their_nearest_limits() -> None:
    negative = timedelta(seconds=-1)
    found = Settings(
        pause_threshold=2,
        mutation_threshold=-3,
        schedule_delay=negative,
        startup_delay=negative,
    )
    assert found == Settings(
        pause_threshold=0.5,
        mutation_threshold=0,
        schedule_delay=timedelta(0),
        startup_delay=timedelta(0),
    )
    assert Settings(pause_threshold=-1).pause_threshold == 0


def test_nothing_is_due_in_an_idle_database() -> None:
    assert started().due is None


def test_the_interval_keeps_pauses_a_small_share_of_the_time() -> None:
    agenda = started(pause_threshold=0.1)
    agenda.note_update(1, has_deleted=True)
    assert agenda.due == 90 * MS


def test_pauses_count_as_5_milliseconds_at_least() -> None:
    agenda = SchedulePolicy(Settings(startup_delay=timedelta(0), pause_threshold=0.5), 0)
    agenda.request(0)
    agenda.begin()
    agenda.succeed(0, 1)
    agenda.note_update(1, has_deleted=True)
    assert agenda.due == 5 * MS


def test_changes_alone_wait_for_their_threshold() -> None:
    agenda = started(mutation_threshold=3, pause_threshold=0.1)
    for _ in range(2):
        agenda.note_update(1, has_deleted=False)
    assert agenda.due is None
    agenda.note_update(1, has_deleted=False)
    assert agenda.due == 90 * MS


def test_what_happens_while_a_collection_runs_is_for_the_next_one() -> None:
    agenda = started()
    agenda.request(SECOND)
    agenda.begin()
    agenda.note_update(SECOND, has_deleted=True)
    assert agenda.due is None
    agenda.succeed(2 * SECOND, 0)
    assert agenda.due is not None


def test_a_request_while_a_collection_runs_asks_for_another_one_at_once() -> None:
    agenda = started()
    agenda.request(SECOND)
    agenda.begin()
    agenda.request(SECOND)
    agenda.succeed(2 * SECOND, 0)
    assert agenda.due == 2 * SECOND


def test_failures_are_tried_again_later_each_time_and_keep_what_was_counted() -> None:
    agenda = started(mutation_threshold=2, pause_threshold=0.1)
    for _ in range(2):
        agenda.note_update(1, has_deleted=False)
    waits = []
    for _ in range(3):
        now = agenda.due
        assert now is not None
        agenda.begin()
        agenda.fail(now)
        assert agenda.due is not None
        waits.append((agenda.due - now) // MS)
    assert waits == [1090, 2090, 3090]


def test_a_collection_whose_cleanup_failed_is_done_again_later_each_time() -> None:
    agenda = started(pause_threshold=0.5)
    agenda.request(SECOND)
    waits, now = [], SECOND
    for _ in range(3):
        agenda.begin()
        agenda.succeed(now, 10 * MS, is_complete=False)
        assert agenda.due is not None
        waits.append((agenda.due - now) // MS)
        now = agenda.due
    assert waits == [1010, 2010, 3010]
    agenda.begin()
    agenda.succeed(now, 10 * MS)
    assert agenda.due is None
