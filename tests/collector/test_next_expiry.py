"""The next moment at which something expires and the reachable nodes change."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from whenever import Instant, TimeDelta

import orlop
from collector.making import make_blob
from collector.records import Records
from collector.settable import START, SettableClock
from collector.stepping import PATIENCE_SECONDS, SteppedTimer
from collector.worlds import GC, Record, survivors, worlds, write_world
from orlop import Database, LeaseResource
from orlop.gc.next_expiry import NextExpiry
from orlop.gc.node import snapshot_node
from orlop.gc.rules import Comparison, parse_condition
from orlop.schema.codec.timestamps import format_rfc3339

NANOSECOND = TimeDelta(nanoseconds=1)
HOURS = 8


@settings(max_examples=60, deadline=None)
@given(world=worlds)
def test_until_then_time_changes_nothing(world: list[Record]) -> None:
    clock = SettableClock()
    with (
        tempfile.TemporaryDirectory() as folder,
        Database.open_file(Path(folder, "meta.db"), clock=clock) as database,
    ):
        write_world(database, world, clock.now())
        nearest = database.gc.nearest()
        now = survivors(world)
        for hours in range(1, HOURS):
            if nearest is None or clock.now().add(hours=hours) < nearest:
                assert survivors(world, hours) == now
        if nearest is not None:
            plans = [database.gc.plan(now=one) for one in (nearest - NANOSECOND, clock.now())]
            gone = [{removal.node for removal in plan.nodes} for plan in plans]
            assert gone[0] == gone[1]


@settings(max_examples=60, deadline=None)
@given(before=worlds, after=worlds, hours=st.integers(0, 3))
def test_the_graph_in_memory_knows_the_same_moment(
    before: list[Record], after: list[Record], hours: int
) -> None:
    clock = SettableClock()
    with (
        tempfile.TemporaryDirectory() as folder,
        Database.open_file(Path(folder, "meta.db"), clock=clock) as database,
    ):
        write_world(database, before, clock.now())
        database.gc.run()
        with database.update() as update:
            records = Records(update.transaction, clock.now())
            kept = {one.thing for one in before}
            for record in after:
                if record.thing not in kept:
                    record.write(records)
        moment = clock.now().add(hours=hours)
        in_memory = database.gc.nearest(now=moment)
        database.gc.forget()
        assert database.gc.nearest(now=moment) == in_memory


@given(
    st.sampled_from(["usedat<2h", "usedat>2h", "usedat<1h,usedat>3h", "usedat<3h,usedat>1h"]),
    st.lists(st.integers(-5, 5), max_size=3),
)
def test_a_condition_changes_then_and_not_before(text: str, used: list[int]) -> None:
    parsed = parse_condition(f"{text}|key")
    assert parsed is not None
    comparisons, _ = parsed
    uses = [START.add(hours=hours).timestamp(unit="nanosecond") for hours in used]
    nearest = NextExpiry(START)
    nearest.add_condition(comparisons, uses)

    def holds(moment: Instant) -> bool:
        at = moment.timestamp(unit="nanosecond")
        return any(one.holds(use, at) for one in comparisons for use in uses)

    steps = [START.add(minutes=30 * step) + NANOSECOND for step in range(20)]
    changed = [moment for moment in steps if holds(moment) != holds(START)]
    if nearest.moment is None:
        assert not changed
        return
    assert holds(nearest.moment) != holds(START)
    assert holds(nearest.moment - NANOSECOND) == holds(START)
    assert not changed or nearest.moment <= changed[0]


@pytest.mark.parametrize("duration", [-(1 << 63), 0, (1 << 63) - 1])
@pytest.mark.parametrize("is_less", [True, False])
@pytest.mark.parametrize("used_at", [Instant.MIN, START, Instant.MAX])
def test_conditions_at_the_ends_of_time(duration: int, is_less: bool, used_at: Instant) -> None:  # noqa: FBT001
    comparison = Comparison(is_less, duration)
    used = used_at.timestamp(unit="nanosecond")
    nearest = NextExpiry(START)
    nearest.add_condition([comparison], [used])
    before = comparison.holds(used, START.timestamp(unit="nanosecond"))
    if nearest.moment is not None:
        at = nearest.moment.timestamp(unit="nanosecond")
        assert comparison.holds(used, at) != before
        assert comparison.holds(used, at - 1) == before
    else:
        assert comparison.holds(used, Instant.MAX.timestamp(unit="nanosecond")) == before


def test_an_idle_database_lets_go_of_what_has_expired(
    database: orlop.Database, clock: SettableClock
) -> None:
    timer = SteppedTimer()
    namespace = database.namespace("test")
    database.gc.schedule(timer=timer)
    timer.advance(1)
    with database.update():
        digest = make_blob(namespace, b"leased")
        lease = namespace.leases.create(
            "short", labels={f"{GC}expire": format_rfc3339(in_an_hour(clock))}
        )
        namespace.leases.add_resource(lease.id, LeaseResource(id=digest, type="content"))
    timer.advance(2)
    clock.advance(hours=1)
    timer.advance(2)
    assert namespace.leases.list() != []  # it has expired only after that moment
    clock.advance(seconds=1)
    timer.advance(2)
    assert namespace.leases.list() == []
    assert list(database.content_backend.walk()) == []


def test_an_idle_database_lets_go_of_what_was_not_used_for_long(
    bare: orlop.Database, clock: SettableClock
) -> None:
    timer = SteppedTimer()
    bare.gc.schedule(timer=timer)
    with bare.update() as update:
        records = Records(update.transaction, clock.now())
        condition = {f"{GC}cond.snapshot.native": "usedat<2h|layer"}
        records.image("test", "image", "sha256:absent", condition)
        used = {f"{GC}cond.value-usedat": format_rfc3339(clock.now())}
        records.snapshot("test", "native", "layer", "", used)
    layer = snapshot_node("test", "native", "layer")
    timer.advance(2)
    assert layer in bare.gc.mark().graph
    clock.advance(hours=2)
    timer.advance(2)
    assert layer not in bare.gc.mark().graph


def in_an_hour(clock: SettableClock) -> Instant:
    return clock.now().add(hours=1)


def test_a_database_closes_while_its_scheduler_runs(tmp_path: Path) -> None:
    with orlop.open(tmp_path / "root") as database:
        scheduler = database.gc.schedule()
        make_blob(database.namespace("test"), b"garbage")
        assert scheduler.request().wait(30).removed == {"content": 1}
    with pytest.raises(orlop.OrlopError):
        scheduler.request().wait()


def test_a_scheduler_is_started_once_and_for_writing(tmp_path: Path) -> None:
    with orlop.open(tmp_path / "root") as database:
        database.gc.schedule()
        with pytest.raises(orlop.OrlopError, match="exists"):
            database.gc.schedule()
    with (
        orlop.open(tmp_path / "root", read_only=True) as reading,
        pytest.raises(orlop.OrlopError, match="opened for reading"),
    ):
        reading.gc.schedule()


def test_a_database_closes_while_a_scheduled_collection_waits_for_an_update(tmp_path: Path) -> None:
    begun, goes_on = threading.Event(), threading.Event()
    database = orlop.open(tmp_path / "root")
    scheduler = database.gc.schedule()
    make_blob(database.namespace("test"), b"garbage")

    def hold() -> None:
        with database.update():
            begun.set()
            assert goes_on.wait(PATIENCE_SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(PATIENCE_SECONDS)
    waiter = scheduler.request()
    ending = threading.Timer(0.2, goes_on.set)
    ending.start()
    database.close()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    with contextlib.suppress(orlop.OrlopError):  # it may have come to its end before
        waiter.wait(PATIENCE_SECONDS)
    orlop.open(tmp_path / "root", timeout=1).close()
