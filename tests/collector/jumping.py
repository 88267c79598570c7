"""A clock on the wall that jumps, and the time that really passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from whenever import Instant, TimeDelta

import orlop
from collector.settable import START

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orlop import Database, Namespace


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


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
def database(tmp_path: Path, clock: JumpingClock) -> Iterator[Database]:
    with orlop.open(tmp_path / "root", clock=clock, sync=False) as database:
        yield database


@pytest.fixture
def ns(database: Database) -> Namespace:
    return database.namespace("default")
