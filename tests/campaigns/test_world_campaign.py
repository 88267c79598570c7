"""One world, one seed: a history of a whole root, in which nothing is lost and all goes in the end.

Each seed chooses the steps of a history (`campaigns.world.history`): imports, writers, snapshots,
lease blocks, labels, deletions and collections, in threads and in processes that are killed;
signals whose handlers raise; clocks that jump; older databases that are put back, files that are
emptied or replaced. A model knows what is named or leased. After each step all of that must be
there; in the end, when all is let go, nothing may be left.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from campaigns.seeds import seeds
from campaigns.world import history

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaigns.tally import Tally

MEMORY = Path("/dev/shm")  # noqa: S108 -- a file system in memory, where there is one


@pytest.fixture
def folder() -> Iterator[Path]:
    place = tempfile.mkdtemp(prefix="orlop-world-", dir=MEMORY if MEMORY.is_dir() else None)
    yield Path(place)
    shutil.rmtree(place)


@pytest.mark.parametrize("seed", seeds(short=60, long=10_000))
def test_nothing_is_lost_and_all_goes_in_the_end(folder: Path, seed: int, tally: Tally) -> None:
    steps = history.choose(seed)
    outcome = history.run(folder / "history", steps)
    tally.add("histories")
    for what, count in outcome.counts.items():
        tally.add(what, count)
    if outcome.failure:
        fewer, told = history.shrink(folder, steps, outcome)
        lines = "\n".join(told.log)
        pytest.fail(f"seed {seed}, {len(fewer)} of {len(steps)} steps:\n{lines}\n{told.failure}")
