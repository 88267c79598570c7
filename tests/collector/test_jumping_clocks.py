"""Clock jumps: leases and expiries still protect their data, and no wait is endless."""

from __future__ import annotations

import random
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from whenever import Instant

import orlop
from collector.jumping import JumpingClock, clock, database, ns
from collector.making import make_blob, make_snapshot
from collector.settable import SettableClock
from orlop.clock import ObservedClock
from orlop.errors import NotFoundError
from orlop.gc.node import CONTENT, LEASE, Node
from orlop.gc.schedule_policy import Settings
from orlop.labels import GC_EXPIRE
from orlop.records import Descriptor, Image
from orlop.schema.codec.timestamps import format_rfc3339

if TYPE_CHECKING:
    from pathlib import Path

    from orlop import Database, Namespace

__all__ = ["clock", "database", "ns"]

JUMPS_HOURS = (1, 30, 24 * 365, 24 * 365 * 50)
HOUR = timedelta(hours=1)
BOOT = Instant.parse_iso("1970-01-01T00:10:00Z")


def there(namespace: Namespace, digest: str) -> bool:
    try:
        namespace.content.info(digest)
    except NotFoundError:
        return False
    return True


@pytest.mark.parametrize("hours", [*JUMPS_HOURS, *(-hours for hours in JUMPS_HOURS)])
@pytest.mark.parametrize("is_block_first", [False, True])
def test_a_running_block_is_a_root_whatever_the_clock_says(
    database: Database, ns: Namespace, clock: JumpingClock, hours: int, *, is_block_first: bool
) -> None:
    database.gc.run()
    with ns.lease(expires=HOUR) as lease:
        if not is_block_first:
            clock.jump(hours=hours)
        digest = make_blob(ns, b"held")
        make_snapshot(ns, "made")
        for _ in range(3):
            clock.jump(hours=hours)
            database.gc.run()
            assert there(ns, digest)
            assert ns.leases.get(lease.id).id == lease.id
        node = Node(CONTENT, "default", digest)
        assert database.gc.held_by(node)
        assert node not in {one.node for one in database.gc.plan().nodes}
    database.gc.run()
    assert not there(ns, digest)


def test_a_block_of_a_standing_lease_holds_it_only_while_it_runs(
    database: Database, ns: Namespace, clock: JumpingClock
) -> None:
    ns.leases.create("mine", expires=HOUR)
    clock.advance(hours=2)
    with ns.using_lease("mine"):
        digest = make_blob(ns, b"held")
        database.gc.run()
        database.gc.run()
        assert there(ns, digest)
    database.gc.run()
    assert not there(ns, digest)
    assert Node(LEASE, "default", "mine") not in database.gc.mark().graph


def test_a_block_that_begins_during_a_sweep_is_seen(database: Database, ns: Namespace) -> None:
    """Blocks come and go beside collections, on a lease that has expired by the clock."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def collect() -> None:
        while not stop.is_set():
            database.gc.run()

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        for number in range(15):
            with ns.lease(f"l{number}", expires=timedelta(microseconds=1)):
                digest = make_blob(ns, b"%d" % number)
                time.sleep(0.002)
                assert there(ns, digest)
    except BaseException as error:
        failures.append(error)
        raise
    finally:
        stop.set()
        collector.join()
    assert failures == []


@pytest.mark.parametrize("hours", JUMPS_HOURS)
@pytest.mark.parametrize("is_seen_before", [False, True])
def test_what_was_to_last_an_hour_lasts_an_hour_that_really_passes(
    database: Database, ns: Namespace, clock: JumpingClock, hours: int, *, is_seen_before: bool
) -> None:
    ns.leases.create("one", expires=HOUR)
    with ns.using_lease("one"):
        digest = make_blob(ns, b"leased")
    target = make_blob(ns, b"of an image")
    until = format_rfc3339(clock.now().add(hours=1))
    descriptor = Descriptor(media_type="text/plain", digest=target, size=11)
    ns.images.create(Image(name="image", target=descriptor, labels={GC_EXPIRE: until}))
    ns.content.writer("upload").close()
    if is_seen_before:
        database.gc.run()
        clock.advance(seconds=60)
    clock.jump(hours=hours)
    database.gc.run()
    clock.advance(seconds=3000)
    database.gc.run()
    assert there(ns, digest)
    assert there(ns, target)
    assert [one.ref for one in ns.content.statuses()] == ["upload"]

    clock.advance(hours=1)
    database.gc.run()
    assert not there(ns, digest)
    assert not there(ns, target)
    clock.advance(hours=24)
    database.gc.run()
    assert ns.content.statuses() == []


def test_what_is_made_after_a_jump_lasts_by_the_new_clock(tmp_path: Path) -> None:
    clock = JumpingClock(BOOT)
    with orlop.open(tmp_path / "root", clock=clock) as database:
        ns = database.namespace("default")
        ns.leases.create("booting", expires=HOUR)
        clock.advance(seconds=30)
        clock.jump(hours=24 * 365 * 56)
        ns.leases.create("later", expires=HOUR)
        ns.content.writer("upload").close()
        database.gc.run()
        assert [one.id for one in ns.leases.list()] == ["booting", "later"]
        clock.advance(hours=2)
        database.gc.run()
        assert ns.leases.list() == []
        clock.advance(hours=24)
        database.gc.run()
        assert ns.content.statuses() == []


def test_without_elapsed_time_all_that_a_clock_does_is_passing(tmp_path: Path) -> None:
    clock = SettableClock()
    with orlop.open(tmp_path / "root", clock=clock) as database:
        ns = database.namespace("default")
        ns.leases.create("one", expires=HOUR)
        clock.advance(hours=2)
        database.gc.run()
        assert ns.leases.list() == []


def test_a_lease_is_renewed_at_once_after_a_jump(
    ns: Namespace, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orlop.namespace._LOOK_SECONDS", 0.02)
    for hours in (1000, -500, 24 * 365 * 40):
        with ns.lease(expires=HOUR) as lease:
            clock.jump(hours=hours)
            wanted = format_rfc3339(clock.now().add(hours=1))
            for _ in range(500):
                if ns.leases.get(lease.id).labels[GC_EXPIRE] == wanted:
                    break
                time.sleep(0.02)
            assert ns.leases.get(lease.id).labels[GC_EXPIRE] == wanted


def test_a_suspended_machine_renews_when_it_wakes(
    ns: Namespace, clock: JumpingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orlop.namespace._LOOK_SECONDS", 0.02)
    with ns.lease(expires=HOUR) as lease:
        clock.advance(hours=10)
        wanted = format_rfc3339(clock.now().add(hours=1))
        for _ in range(500):
            if ns.leases.get(lease.id).labels[GC_EXPIRE] == wanted:
                break
            time.sleep(0.02)
        assert ns.leases.get(lease.id).labels[GC_EXPIRE] == wanted


def test_a_lease_that_was_deleted_meanwhile_is_said_at_the_next_call(ns: Namespace) -> None:
    with ns.lease() as lease:
        ns.leases.delete(lease.id)
        with pytest.raises(NotFoundError, match="does not exist"):
            make_blob(ns, b"held by nothing")


def test_a_schedule_looks_again_after_a_jump_back(
    database: Database, ns: Namespace, clock: JumpingClock
) -> None:
    clock.jump(hours=24 * 365 * 30)
    ns.leases.create("one", expires=HOUR)
    database.gc.run()
    clock.jump(hours=-24 * 365 * 30)
    ns.leases.create("two", expires=HOUR)
    nearest = database.gc.nearest()
    assert nearest is not None
    assert nearest <= clock.now().add(hours=2)
    scheduler = database.gc.schedule(Settings(startup_delay=timedelta()))
    scheduler.request().wait(60)


@pytest.mark.parametrize("seed", range(50))
def test_jumps_between_any_two_steps(tmp_path: Path, seed: int) -> None:
    """A jump loses no data of a lease block or with a future expiry."""
    draw = random.Random(seed)
    clock = JumpingClock(draw.choice((BOOT, JumpingClock().moment)))
    with orlop.open(tmp_path / "root", clock=clock, sync=False) as database:
        ns = database.namespace("default")
        held: list[tuple[str, float]] = []
        for number in range(12):
            if draw.random() < 0.7:
                sign = 1 if clock.moment < Instant.parse_iso("2100-01-01T00:00:00Z") else -1
                far = clock.moment > Instant.parse_iso("2022-01-01T00:00:00Z")
                sign = draw.choice((1, -1)) if far and sign == 1 else sign
                clock.jump(hours=sign * draw.choice(JUMPS_HOURS[: 4 if far or sign > 0 else 1]))
            match draw.randrange(3):
                case 0:
                    with ns.lease(expires=HOUR):
                        digest = make_blob(ns, b"%d" % number)
                        clock.jump(hours=draw.choice((2, 1000)))
                        database.gc.run()
                        assert there(ns, digest), "a block was under it"
                case 1:
                    hours = draw.choice((1, 20))
                    ns.leases.create(f"l{number}", expires=timedelta(hours=hours))
                    with ns.using_lease(f"l{number}"):
                        digest = make_blob(ns, b"%d" % number)
                    held.append((digest, clock.seconds + hours * 3600))
                case _:
                    clock.advance(seconds=draw.choice((10, 1000, 4000)))
            database.gc.run()
            for digest, until in held:
                if clock.seconds < until:
                    assert there(ns, digest), "its time has not passed"


def test_a_process_that_was_stopped_between_two_readings_saw_no_jump() -> None:
    class Stopped(JumpingClock):
        stops = 1

        def now(self) -> Instant:
            now = super().now()
            if self.stops:
                self.stops -= 1
                self.advance(hours=3)
            return now

    clock = ObservedClock(Stopped())
    clock.now()
    clock.now()
    assert clock.jumps == 0
