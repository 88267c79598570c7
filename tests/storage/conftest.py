from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orlop.storage import LocalContent, NativeSnapshotter, OverlaySnapshotter
from storage.opening import open_for_writing
from storage.ticking import TickingClock

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
