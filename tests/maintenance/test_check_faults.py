"""The checker: it finds one hand-made fault of every kind, and says where it is."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from bolt import broken_files
from bolt.broken_files import IN_THE_FREELIST, IN_THE_TREE, OF_THE_FILE, Victim
from orlop.bolt import open_engine
from orlop.bolt.tools.check import MAX_FAULTS
from orlop.maintenance import check_file, file_info

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    path = tmp_path / "meta.db"
    broken_files.make_sound(path)
    return Victim(path)


def test_the_file_is_sound_before_it_is_broken(victim: Victim) -> None:
    report = check_file(victim.path)
    assert (report.faults, report.untold, report.sound_metas) == ([], 0, (0, 1))
    assert report.is_tree_sound
    assert report.transaction == file_info(victim.path).transaction
    kinds = {page.kind for page in victim.pages}
    assert kinds == {"meta", "freelist", "branch", "leaf", "overflow", "free"}


@pytest.mark.parametrize(
    ("break_it", "message"),
    [*IN_THE_FREELIST.items(), *IN_THE_TREE.items(), *OF_THE_FILE.items()],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_is_found_and_named(
    victim: Victim, break_it: Callable[[Victim], None], message: str
) -> None:
    break_it(victim)
    victim.save()

    report = check_file(victim.path)

    found = [fault for fault in report.faults if re.search(message, fault.message)]
    assert found, report.faults
    if break_it in IN_THE_FREELIST:
        assert report.is_tree_sound
        assert all(not fault.bucket_path for fault in report.faults)
    if break_it in IN_THE_TREE:
        assert not report.is_tree_sound
        assert all(fault.page is not None for fault in found)


@pytest.mark.parametrize(
    ("break_it", "page", "path"),
    [
        (broken_files.keys_swapped, "leaf", (b"v1", b"tree")),
        (broken_files.child_out_of_bounds, "", (b"v1", b"tree")),
        (broken_files.bucket_too_short, "top", (b"v1", b"small")),
        (broken_files.inline_with_a_bucket, "top", (b"v1", b"small")),
        (broken_files.childless_branch, "branch", (b"v1", b"tree")),
        (broken_files.bucket_in_itself, "top", (b"v1", b"other")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_says_its_page_and_its_bucket(
    victim: Victim, break_it: Callable[[Victim], None], page: str, path: tuple[bytes, ...]
) -> None:
    break_it(victim)
    victim.save()
    first = next(fault for fault in check_file(victim.path).faults if fault.bucket_path)
    assert first.bucket_path == path
    if page:
        assert first.page == getattr(victim, page)


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize(
    ("offset", "message"),
    [(16, "no meta page: magic"), (20, "file format"), (24, "checksum"), (72, "checksum")],
)
def test_a_damaged_meta_is_told_and_the_other_one_counts(
    victim: Victim, slot: int, offset: int, message: str
) -> None:
    victim.data[slot * 4096 + offset] ^= 0x40
    victim.save()
    report = check_file(victim.path)
    newest = victim.meta.transaction
    assert report.transaction == newest - (newest % 2 == slot)
    assert report.sound_metas == (1 - slot,)
    assert any(f"meta page {slot}: " in f.message and message in f.message for f in report.faults)
    damaged = check_file(victim.path, meta=slot)
    assert (damaged.transaction, damaged.is_tree_sound) == (None, False)
    assert message in damaged.faults[0].message
    assert check_file(victim.path, meta=1 - slot).transaction == report.transaction


def test_either_version_can_be_checked(tmp_path: Path) -> None:
    path = tmp_path / "meta.db"
    engine = open_engine(path)
    for number in range(5):
        with engine.begin(writable=True) as transaction:
            transaction.root.create_bucket(b"%d" % number)
    engine.close()
    newest = file_info(path).transaction
    for slot in (0, 1):
        report = check_file(path, meta=slot)
        assert report.transaction == newest - (newest % 2 != slot)
        assert report.faults == []


def test_faults_are_counted_and_told_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "meta.db"
    engine = open_engine(path, freelist_sync=True)
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket(b"v1")
        for number in range(11_000):
            bucket.put(b"%05d" % number, b"x" * 2100)
    engine.close()
    victim = Victim(path)
    # Now nothing but the new root and the freelist is reachable, and nothing is free.
    empty = victim.free_page()
    victim.data[victim.start(empty) : victim.start(empty) + 16] = bytes(
        [*empty.to_bytes(8, "little"), 2, 0, 0, 0, 0, 0, 0, 0]
    )
    victim.rewrite_meta(root=empty)
    victim.save()
    report = check_file(path)
    assert len(report.faults) == MAX_FAULTS
    assert report.untold > 500
    assert report.is_tree_sound


def test_it_never_raises_and_never_calls_changed_bytes_sound_without_a_reason(
    victim: Victim,
) -> None:
    seed = random.Random(3)
    sound = bytes(victim.data)
    used = [page.id for page in victim.pages if page.kind in {"branch", "leaf"}]
    for _ in range(100):
        victim.data[:] = sound
        for _ in range(seed.randrange(1, 4)):
            # The headers and tables are where the structure is.
            place = victim.start(seed.choice(used)) + seed.randrange(200)
            victim.data[place] ^= 1 << seed.randrange(8)
        victim.save()
        report = check_file(victim.path)
        assert report.is_tree_sound or report.faults
