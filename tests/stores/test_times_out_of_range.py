"""Times and durations of any size: handled correctly, or refused by name."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from whenever import Instant

import orlop
from orlop.database import Database
from orlop.errors import InvalidArgumentError, OrlopError
from orlop.gc import Settings
from orlop.labels import GC_EXPIRE
from orlop.schema.codec.timestamps import moment_after, parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orlop.namespace import Namespace

LAST = "9999-12-31T23:59:59Z"
NO_DURATIONS = [3600, 1.5, math.nan, math.inf, "1h", Instant.MIN, True, [], object]
NO_MOMENTS = [
    datetime(2026, 1, 1),  # noqa: DTZ001 (that is the point)
    datetime(2026, 1, 1, tzinfo=UTC),
    1_767_225_600,
    math.nan,
    "2026-01-01T00:00:00Z",
    timedelta(1),
]
NO_TIMEOUTS = [-1, -0.1, math.nan, -math.inf, "1", timedelta(1)]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with orlop.open(tmp_path / "root") as opened:
        opened.namespaces.create("default")
        yield opened


@pytest.fixture
def namespace(database: Database) -> Namespace:
    return database.namespace("default")


def with_block(namespace: Namespace, expires: Any) -> str:
    with namespace.lease(expires=expires) as lease:
        return lease.labels[GC_EXPIRE]


def created(namespace: Namespace, expires: Any) -> str:
    return namespace.leases.create(expires=expires).labels[GC_EXPIRE]


def renewed(namespace: Namespace, expires: Any) -> str:
    lease = namespace.leases.create()
    try:
        namespace.leases.renew(lease.id, expires)
        return namespace.leases.get(lease.id).labels[GC_EXPIRE]
    finally:
        namespace.leases.delete(lease.id)


LEASES = pytest.mark.parametrize("make", [created, renewed, with_block])


@LEASES
@pytest.mark.parametrize(
    "expires", [timedelta.max, timedelta(days=365 * 9000), timedelta(days=3_000_000)]
)
def test_a_lease_for_longer_than_the_calendar_lasts_to_its_end(
    database: Database, make: Callable[[Namespace, Any], str], expires: timedelta
) -> None:
    assert make(database.namespace("default"), expires) == LAST
    database.gc.run()


@LEASES
@pytest.mark.parametrize("expires", NO_DURATIONS, ids=repr)
def test_what_is_no_duration_is_refused(
    namespace: Namespace, make: Callable[[Namespace, Any], str], expires: object
) -> None:
    with pytest.raises(InvalidArgumentError, match=r"datetime\.timedelta"):
        make(namespace, expires)
    assert namespace.leases.list() == []


@pytest.mark.parametrize("expires", [timedelta.min, timedelta(seconds=-1), timedelta(0)])
def test_a_lease_that_ends_before_it_begins_has_ended(
    database: Database, expires: timedelta
) -> None:
    namespace = database.namespace("default")
    assert parse_rfc3339(created(namespace, expires)) <= Instant.now()
    with pytest.raises(InvalidArgumentError):
        with_block(namespace, expires)

    database.gc.run()

    assert namespace.leases.list() == []


@given(
    st.integers(-62_135_596_800, 253_402_300_799),
    st.timedeltas(),
)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_moment_and_a_duration_always_have_a_sum(seconds: int, duration: timedelta) -> None:
    moment = Instant.from_timestamp(seconds)

    total = moment_after(moment, duration)

    exact = seconds * 10**6 + duration // timedelta(microseconds=1)
    low, high = (one.timestamp(unit="nanosecond") // 1000 for one in (Instant.MIN, Instant.MAX))
    assert total.timestamp(unit="nanosecond") // 1000 == min(max(exact, low), high)


def asking(database: Database) -> list[Callable[[Any], object]]:
    """Return all that takes a moment."""
    image = orlop.Image(
        name="x", target=orlop.Descriptor(media_type="a", digest="sha256:" + "0" * 64, size=1)
    )
    images = database.namespace("default").images
    return [
        lambda now: database.gc.plan(now=now),
        lambda now: database.gc.mark(now=now),
        lambda now: database.gc.nearest(now=now),
        lambda now: images.create(image, source_date=now),
        lambda now: images.update(image, source_date=now),
    ]


@pytest.mark.parametrize("moment", NO_MOMENTS, ids=repr)
def test_what_is_no_moment_is_refused(database: Database, moment: object) -> None:
    for ask in asking(database):
        with pytest.raises(InvalidArgumentError, match=r"whenever\.Instant"):
            ask(moment)


@pytest.mark.parametrize("moment", [Instant.MIN, Instant.MAX])
def test_the_first_and_the_last_moment_are_ones(database: Database, moment: Instant) -> None:
    database.namespace("default").leases.create(expires=timedelta.max)
    for ask in asking(database):
        ask(moment)


@pytest.mark.parametrize("timeout", NO_TIMEOUTS, ids=repr)
def test_what_is_no_timeout_is_refused_before_anything_is_made(
    tmp_path: Path, timeout: Any
) -> None:
    with pytest.raises(InvalidArgumentError, match="timeout"):
        orlop.open(tmp_path / "root", timeout=timeout)
    with pytest.raises(InvalidArgumentError, match="timeout"):
        Database.open_file(tmp_path / "meta.db", timeout=timeout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("timeout", [0, 0.5, math.inf, 1e300, 10**18, None])
def test_any_other_timeout_is_one(tmp_path: Path, timeout: float | None) -> None:
    with orlop.open(tmp_path / "root", timeout=timeout) as database, database.update():
        pass


@pytest.mark.parametrize("timeout", NO_TIMEOUTS, ids=repr)
def test_a_collection_is_not_waited_for_without_end_by_mistake(
    database: Database, timeout: Any
) -> None:
    with pytest.raises(InvalidArgumentError, match="timeout"):
        database.gc.schedule().request().wait(timeout)


@pytest.mark.parametrize("name", ["schedule_delay", "startup_delay"])
@pytest.mark.parametrize("value", NO_DURATIONS, ids=repr)
def test_settings_refuse_what_is_no_duration(name: str, value: object) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        Settings(**{name: value})  # type: ignore[arg-type]


def test_settings_take_any_duration(database: Database) -> None:
    with pytest.raises(InvalidArgumentError):
        Settings(pause_threshold=math.nan)
    scheduler = database.gc.schedule(
        Settings(schedule_delay=timedelta.max, startup_delay=timedelta.max)
    )
    waiter = scheduler.request()
    with pytest.raises(OrlopError, match="within"):
        waiter.wait(0.05)
