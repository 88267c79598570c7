"""The scheduler's thread. The first four cases are containerd's, by their names."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from collector.settable import SettableClock
from collector.stepping import PATIENCE_SECONDS, SteppedTimer
from orlop.changes import Changes
from orlop.clock import ObservedClock
from orlop.concurrency.shared_lock import SharedLock
from orlop.errors import AbortedError, FailedPreconditionError, UnavailableError
from orlop.gc.plan import Statistics
from orlop.gc.schedule_policy import Settings
from orlop.gc.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whenever import Instant

NO_TIME = timedelta(0)
MS = 10**6


class Bench:
    """A scheduler with a collector that only counts."""

    def __init__(self) -> None:
        self.timer = SteppedTimer()
        self.clock = SettableClock()
        self.gate = SharedLock("the gate", deadlock_error=FailedPreconditionError)
        self.runs = 0
        self.pause = 10 * MS
        self.error: Exception | None = None
        self.failures: dict[str, str] = {}
        self.nearest: Instant | None = None
        self.looks = 0
        self.during: Callable[[], None] = lambda: None
        self._scheduler: Scheduler | None = None

    def start(self, **options: object) -> Scheduler:
        settings = Settings(**{"startup_delay": NO_TIME, **options})  # type: ignore[arg-type]
        self._scheduler = Scheduler(
            self._collect, self._look, self.gate, ObservedClock(self.clock), settings, self.timer
        )
        self._scheduler.start()
        return self._scheduler

    def change(self, deletions: int = 0, *, committed: bool = True) -> None:
        assert self._scheduler is not None
        self._scheduler.note(Changes(deletions=deletions, committed=committed))

    def advance(self, seconds: float) -> None:
        self.timer.advance(seconds)

    def close(self) -> None:
        if self._scheduler is not None:
            self._scheduler.stop()
            self._scheduler.join()

    def _collect(self) -> Statistics:
        self.runs += 1
        self.during()
        if self.error is not None:
            raise self.error
        return Statistics(pause_nanoseconds=self.pause, failures=self.failures)

    def _look(self, _: Instant) -> Instant | None:
        self.looks += 1
        return self.nearest


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_pause_threshold(bench: Bench) -> None:
    """Pauses of 100 us count as 5 ms: at 2 percent one collection in 245 ms, however busy it is."""
    bench.pause = MS // 10
    bench.start(pause_threshold=0.02)
    for _ in range(1000):
        bench.change(deletions=1)
        bench.advance(0.001)
    assert bench.runs == 5


def test_deletion_threshold(bench: Bench) -> None:
    scheduler = bench.start(pause_threshold=0.001, deletion_threshold=5)
    waiter = scheduler.follow()
    for _ in range(5):
        bench.advance(0.001)
        assert bench.runs == 0
        bench.change(deletions=1)
    assert waiter.wait(PATIENCE_SECONDS).pause_nanoseconds == bench.pause
    assert bench.runs == 1


def test_trigger(bench: Bench) -> None:
    scheduler = bench.start()
    assert scheduler.request().wait(PATIENCE_SECONDS).pause_nanoseconds == bench.pause
    bench.timer.settle()
    assert bench.runs == 1


def test_startup_delay(bench: Bench) -> None:
    bench.start(startup_delay=timedelta(milliseconds=100), pause_threshold=0.001)
    bench.advance(0.0999)
    assert bench.runs == 0
    bench.advance(0.0002)
    assert bench.runs == 1


def test_an_idle_scheduler_sleeps_without_end(bench: Bench) -> None:
    bench.start(startup_delay=timedelta(milliseconds=100))
    bench.advance(1000)
    assert bench.runs == 1
    assert bench.timer.nap is None


def test_after_a_deletion_every_update_counts_as_one(bench: Bench) -> None:
    scheduler = bench.start(deletion_threshold=3, pause_threshold=0.001)
    bench.change(deletions=1)
    bench.change()
    bench.timer.settle()
    assert bench.runs == 0
    waiter = scheduler.follow()
    bench.change()
    waiter.wait(PATIENCE_SECONDS)
    bench.change()  # the count begins anew
    bench.change()
    bench.change()
    bench.timer.settle()
    assert bench.runs == 1


def test_what_a_rollback_left_is_cleaned_up(bench: Bench) -> None:
    bench.start()
    bench.change(committed=False)
    bench.timer.settle()
    assert bench.runs == 1


def test_time_alone_lets_an_idle_database_collect(bench: Bench) -> None:
    start = bench.clock.now()
    bench.nearest = start.add(hours=1)
    bench.start(startup_delay=timedelta(milliseconds=100))
    bench.advance(1)
    assert bench.runs == 1
    bench.clock.advance(seconds=3599)
    bench.advance(60)
    assert bench.runs == 1
    assert bench.timer.nap == pytest.approx(1, abs=1e-9)
    bench.nearest = None
    bench.clock.advance(seconds=1)
    bench.advance(1)
    assert bench.runs == 2
    bench.advance(1000)
    assert bench.runs == 2


def test_a_clock_that_is_set_is_noticed_within_a_minute(bench: Bench) -> None:
    bench.nearest = bench.clock.now().add(hours=1)
    bench.start()
    bench.timer.settle()
    assert bench.timer.nap == 60
    bench.clock.advance(hours=2)
    bench.nearest = None
    bench.advance(60)
    assert bench.runs == 1


def test_an_update_may_bring_a_nearer_moment(bench: Bench) -> None:
    bench.start()
    bench.timer.settle()
    assert bench.looks == 1
    bench.nearest = bench.clock.now().add(seconds=5)
    bench.change()
    for _ in range(10):
        bench.change()
    bench.advance(1.1)
    assert bench.looks == 2  # not once for each update
    bench.nearest = None
    bench.clock.advance(seconds=5)
    bench.advance(5)
    assert bench.runs == 1


def test_a_failing_collection_is_told_and_tried_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = bench.start()
    bench.error = UnavailableError("no disk")
    with caplog.at_level(logging.ERROR), pytest.raises(AbortedError, match="no disk") as raised:
        scheduler.request().wait(PATIENCE_SECONDS)
    assert raised.value.__cause__ is bench.error
    bench.timer.settle()
    failed = bench.runs
    bench.error = None
    bench.advance(30)
    assert bench.runs == failed + 1
    assert "a collection failed" in caplog.text


def test_a_collection_whose_cleanup_failed_is_tried_again(bench: Bench) -> None:
    scheduler = bench.start()
    bench.failures = {"native": "no disk"}
    scheduler.request().wait(PATIENCE_SECONDS)
    bench.timer.settle()
    bench.failures = {}
    bench.advance(30)
    assert bench.runs == 2


def test_who_asks_while_a_collection_runs_gets_the_next_one(bench: Bench) -> None:
    scheduler = bench.start()
    begun, goes_on = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        assert goes_on.wait(PATIENCE_SECONDS)

    bench.during = hold
    first = scheduler.request()
    assert begun.wait(PATIENCE_SECONDS)
    second = scheduler.request()
    goes_on.set()
    first.wait(PATIENCE_SECONDS)
    second.wait(PATIENCE_SECONDS)
    assert bench.runs == 2


def test_who_waits_too_long_is_told(bench: Bench) -> None:
    scheduler = bench.start()
    with pytest.raises(UnavailableError, match=r"within 0\.01 seconds"):
        scheduler.follow().wait(0.01)


def test_who_holds_an_update_may_not_wait(bench: Bench) -> None:
    scheduler = bench.start()
    with bench.gate.shared(), pytest.raises(FailedPreconditionError, match="end the update"):
        scheduler.follow().wait()


def test_a_close_tells_who_waits(bench: Bench) -> None:
    scheduler = bench.start()
    waiter = scheduler.follow()
    scheduler.stop()
    for one in (waiter, scheduler.request(), scheduler.follow()):
        with pytest.raises(AbortedError, match="closed before"):
            one.wait()
    scheduler.join()
    assert bench.runs == 0


def test_a_close_does_not_wait_without_end_for_a_collection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("orlop.gc.scheduler._CLOSING_SECONDS", 0.01)
    scheduler = bench.start()
    begun, goes_on = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        assert goes_on.wait(PATIENCE_SECONDS)
        raise FailedPreconditionError("the database is closed")

    bench.during = hang
    waiter = scheduler.request()
    assert begun.wait(PATIENCE_SECONDS)
    scheduler.stop()
    scheduler.join()
    goes_on.set()
    with pytest.raises(AbortedError, match="the database is closed"):
        waiter.wait(PATIENCE_SECONDS)
    monkeypatch.undo()
    scheduler.join()
    assert bench.runs == 1
    assert caplog.text == ""  # what a close interrupts is no failure to report


def test_where_the_nearest_moment_cannot_be_read_updates_still_lead_to_collections(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: Instant) -> Instant | None:
        raise UnavailableError("it changes all the time")

    monkeypatch.setattr(bench, "_look", refuse)
    bench.start()
    bench.timer.settle()
    bench.change(deletions=1)
    bench.timer.settle()
    assert bench.runs == 1
    assert "it changes all the time" in caplog.text
