"""Orlop's collector leaves the same records of random databases as containerd's."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import pytest

import orlop
from campaigns.garbage import Garbage
from campaigns.seeds import seeds
from differential.comparison import contents
from differential.duel import META_DB

if TYPE_CHECKING:
    from pathlib import Path

    from campaigns.tally import Tally
    from differential.driver import Driver

pytestmark = pytest.mark.real("bbolt", "containerd-go", "go")

RECORDS_IN_EACH_NAMESPACE = 1500


@pytest.mark.parametrize("seed", seeds(short=1, long=48))
def test_both_remove_the_same(
    metadata_driver: Driver, tmp_path: Path, seed: int, tally: Tally
) -> None:
    ours, theirs = tmp_path / "orlop", tmp_path / "containerd"
    metadata_driver.run(ours, [])
    with orlop.open(ours) as database:
        garbage = Garbage(random.Random(seed), RECORDS_IN_EACH_NAMESPACE, database.clock.now())
        with database.update() as update:
            written = garbage.write(update.transaction)
    shutil.copytree(ours, theirs)

    assert metadata_driver.run(theirs, [{"op": "gc"}]) == [{"ok": "done"}]
    with orlop.open(ours) as database:
        removed = sum(database.gc.run(confirmed=True).removed.values())

    assert contents(ours / META_DB) == contents(theirs / META_DB)
    assert 0 < removed < written
    tally.add("records", written)
    tally.add("of them removed by both", removed)
