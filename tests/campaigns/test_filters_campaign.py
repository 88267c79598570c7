"""Random filter expressions, through Orlop and through containerd's filters."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from campaigns.seeds import seeds
from differential.filter_expressions import Expressions
from differential.player import Player

if TYPE_CHECKING:
    from pathlib import Path

    from campaigns.tally import Tally
    from differential.driver import Driver

pytestmark = pytest.mark.real("bbolt", "containerd-go", "go")

EXPRESSIONS = 3000
DIFFERENT = 2000


@pytest.mark.parametrize("seed", seeds(short=1, long=40))
def test_expressions_match_alike_and_are_refused_in_the_same_words(
    metadata_driver: Driver,
    tmp_path: Path,
    seed: int,
    tally: Tally,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, logger="orlop")
    drawn = Expressions(seed)
    operations = [drawn.operation() for _ in range(EXPRESSIONS)]

    expected = metadata_driver.run(tmp_path / "containerd", operations)
    with Player(tmp_path / "orlop") as player:
        for operation, wanted in zip(operations, expected, strict=True):
            assert player.answer(operation) == wanted, operation["filters"]

    different = len({tuple(one["filters"]) for one in operations})
    refused = sum("error" in one for one in expected)
    assert different >= DIFFERENT
    assert EXPRESSIONS // 5 < refused < EXPRESSIONS // 2
    tally.add("expressions", different)
    tally.add("of them refused", refused)
