"""Random scripts through Orlop's engine and through bbolt: the same answers, a million times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from campaigns.seeds import seeds
from real.duels import Form, in_turns, side_by_side

if TYPE_CHECKING:
    from pathlib import Path

    from campaigns.tally import Tally
    from oracle.client import Oracle

pytestmark = pytest.mark.real("bbolt", "go")

PAGE_SIZES = (0, 1024, 2048, 8192, 32_768)
APART = 10_000
"""Where seeds begin that no other test of scripts uses."""


@pytest.mark.parametrize("seed_number", seeds(short=1, long=50))
def test_a_script_is_answered_alike_and_makes_the_same_database(
    bbolt: Oracle, tmp_path: Path, seed_number: int, tally: Tally
) -> None:
    form = Form(PAGE_SIZES[seed_number % len(PAGE_SIZES)], freelist_sync=seed_number % 2 == 0)
    tally.add("operations beside bbolt", side_by_side(bbolt, tmp_path, form, APART + seed_number))


@pytest.mark.parametrize("seed_number", seeds(short=1, long=50))
def test_a_script_is_played_in_turns_on_one_file(
    bbolt: Oracle, tmp_path: Path, seed_number: int, tally: Tally
) -> None:
    form = Form(PAGE_SIZES[seed_number % len(PAGE_SIZES)], freelist_sync=seed_number % 2 == 0)
    seed = 2 * APART + seed_number
    tally.add("operations in turns with bbolt", in_turns(bbolt, tmp_path, form, seed))
