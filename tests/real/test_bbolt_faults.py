"""Every fault that bbolt's own check finds in a file, ours finds too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bolt import broken_files
from bolt.broken_files import IN_THE_FREELIST, IN_THE_TREE, Victim
from bolt.crafted_files import crafted, freelist, leaf
from oracle.client import OracleError
from orlop.maintenance import check_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oracle.client import Oracle

pytestmark = pytest.mark.real("bbolt", "go")

UNKNOWN_TO_BBOLT = {
    broken_files.keys_swapped,
    broken_files.key_twice,
    broken_files.branch_keys_swapped,
    broken_files.first_key_below_the_parents,
    broken_files.last_key_in_the_next,
    broken_files.empty_leaf,
    broken_files.inline_without_a_leaf,
    broken_files.inline_with_a_bucket,
}
"""bbolt 1.3.6 does not look at these; its later versions look at the order of keys."""

BEYOND_THE_MAP = {broken_files.element_out_of_bounds, broken_files.value_too_long}
"""bbolt follows these out of the file: it crashes, takes all memory, or neither."""

ENDLESS_FOR_BBOLT = {broken_files.bucket_in_itself}
"""bbolt follows these until its stack of a gigabyte is full."""


def bbolts_answer(bbolt: Oracle, path: Path) -> list[str]:
    """Return bbolt's faults; a crash of its check counts as one."""
    try:
        return bbolt.check(path)
    except OracleError as error:
        return [f"crash: {error}"]


def test_a_file_that_would_make_bbolt_take_all_memory_only_ends_it(
    bbolt: Oracle, tmp_path: Path
) -> None:
    path = tmp_path / "meta.db"
    page = bytearray(freelist(2, [3_000_000_000]))
    page[10:12] = b"\xff\xff"  # the count stands in the first id's place
    path.write_bytes(crafted({2: bytes(page), 3: leaf(3, {})}, freelist=2).durable)
    with pytest.raises(OracleError, match="out of memory"):
        bbolt.check(path)


@pytest.mark.parametrize(
    "break_it",
    [each for each in (*IN_THE_FREELIST, *IN_THE_TREE) if each not in ENDLESS_FOR_BBOLT],
    ids=lambda value: value.__name__,
)
def test_ours_knows_what_bbolts_check_knows(
    bbolt: Oracle, tmp_path: Path, break_it: Callable[[Victim], None]
) -> None:
    path = tmp_path / "meta.db"
    broken_files.make_sound(path)
    assert bbolt.check(path) == []
    assert check_file(path).faults == []
    victim = Victim(path)
    break_it(victim)
    victim.save()

    assert check_file(path).faults
    if break_it not in BEYOND_THE_MAP:
        assert bool(bbolts_answer(bbolt, path)) is (break_it not in UNKNOWN_TO_BBOLT)
