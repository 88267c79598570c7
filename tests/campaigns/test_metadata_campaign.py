"""Random scripts over all stores, through Orlop and through containerd's metadata package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from campaigns.seeds import seeds
from differential.duel import duel

if TYPE_CHECKING:
    from pathlib import Path

    from campaigns.tally import Tally
    from differential.driver import Driver

pytestmark = pytest.mark.real("bbolt", "containerd-go", "go")

OPERATIONS = 2000


@pytest.mark.parametrize("seed", seeds(short=2, long=105))
def test_both_answer_alike_and_make_the_same_database(
    metadata_driver: Driver, tmp_path: Path, seed: int, tally: Tally
) -> None:
    answers = duel(metadata_driver, tmp_path, seed, OPERATIONS)

    tally.add("operations", len(answers))
    tally.add("of them refused", sum("error" in one for one in answers))
