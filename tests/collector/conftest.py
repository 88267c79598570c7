from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import orlop
from collector.settable import SettableClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def bare(tmp_path: Path, clock: SettableClock) -> Iterator[orlop.Database]:
    """A database of metadata only."""
    with orlop.Database.open_file(tmp_path / "bare.db", clock=clock) as database:
        yield database


@pytest.fixture
def database(tmp_path: Path, clock: SettableClock) -> Iterator[orlop.Database]:
    """A database with content and snapshots on disk."""
    with orlop.open(tmp_path / "root", clock=clock) as database:
        yield database
