from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import orlop
from stores.moments import StandingClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orlop import Database, Namespace
    from orlop.events import Event


@pytest.fixture(params=["native", "overlayfs"])
def snapshotter(request: pytest.FixtureRequest) -> str:
    """Return the name of each snapshotter."""
    return str(request.param)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def db(tmp_path: Path, clock: StandingClock) -> Iterator[Database]:
    with orlop.open(tmp_path / "root", clock=clock) as database:
        yield database


@pytest.fixture
def ns(db: Database) -> Namespace:
    return db.namespace("testing")


@pytest.fixture
def events(db: Database) -> list[Event]:
    collected: list[Event] = []
    db.subscribe(collected.append)
    return collected
