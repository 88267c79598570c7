from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from backends.opening import open_for_writing
from backends.ticking import TickingClock
from orlop.backends import LocalContent, NativeSnapshotter, OverlaySnapshotter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def clock() -> TickingClock:
    return TickingClock()


@pytest.fixture
def content(tmp_path: Path, clock: TickingClock) -> LocalContent:
    return LocalContent(tmp_path / "content", clock=clock)


@pytest.fixture
def native(tmp_path: Path, clock: TickingClock) -> Iterator[NativeSnapshotter]:
    snapshotter = NativeSnapshotter(tmp_path / "native", open_for_writing, clock=clock)
    yield snapshotter
    snapshotter.close()


@pytest.fixture
def overlay(tmp_path: Path, clock: TickingClock) -> Iterator[OverlaySnapshotter]:
    snapshotter = OverlaySnapshotter(
        tmp_path / "overlay", open_for_writing, clock=clock, index_off=True, userxattr=False
    )
    yield snapshotter
    snapshotter.close()


@pytest.fixture(params=["native", "overlay"])
def snapshotter(request: pytest.FixtureRequest) -> NativeSnapshotter | OverlaySnapshotter:
    found: NativeSnapshotter | OverlaySnapshotter = request.getfixturevalue(request.param)
    return found
