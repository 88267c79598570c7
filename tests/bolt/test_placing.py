"""Page allocation: contiguous runs, and free pages before new ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bolt.simulated_disk import SimulatedDisk
from orlop.bolt import BoltEngine
from orlop.bolt.commit import _SPARE_PAGES as SPARE_PAGES
from orlop.bolt.commit import PageAllocator
from orlop.bolt.freelist import Freelist
from orlop.bolt.initialization import empty_database
from orlop.bolt.pager import Pager

PAGE_BYTES = 1024
HIGH_WATER = 80


def allocator_with(free: set[int]) -> PageAllocator:
    disk = SimulatedDisk(empty_database(PAGE_BYTES))
    allocator = PageAllocator(disk, Pager(disk, PAGE_BYTES), keep_freelist=False)
    allocator.freelist = Freelist(free)
    allocator.high_water = HIGH_WATER
    return allocator


@given(
    free=st.sets(st.integers(4, HIGH_WATER - 1)),
    spans=st.lists(st.integers(1, 4) | st.just(1), max_size=40),
)
def test_places_are_free_or_new_and_each_is_given_once(free: set[int], spans: list[int]) -> None:
    allocator = allocator_with(free)
    starts = allocator.allocate_each(spans)
    assert len(starts) == len(spans)
    given_pages = [
        page
        for start, span in zip(starts, spans, strict=True)
        for page in range(start, start + span)
    ]
    assert len(set(given_pages)) == len(given_pages)
    assert set(given_pages) <= free | set(range(HIGH_WATER, allocator.high_water))
    new = allocator.high_water - HIGH_WATER
    if set(spans) <= {1} and len(free) >= SPARE_PAGES:
        assert new == max(len(spans) - len(free), 0), "new pages only where no free one is left"


def test_all_go_where_all_have_room() -> None:
    allocator = allocator_with({5, 7, 8, 10, 11, 12, 13, 20, 21, 22})
    assert allocator.allocate_each([1, 2, 1]) == [10, 11, 13]


def test_few_holes_are_left_alone_for_a_small_commit() -> None:
    allocator = allocator_with({5, 7, 9, 11})
    assert allocator.allocate_each([1, 1, 1]) == [HIGH_WATER, HIGH_WATER + 1, HIGH_WATER + 2]


def test_many_holes_are_filled() -> None:
    holes = set(range(5, HIGH_WATER - 1, 2))
    assert len(holes) >= SPARE_PAGES
    allocator = allocator_with(holes)
    assert set(allocator.allocate_each([1, 1, 1])) <= holes


def test_a_commit_after_the_other_takes_few_writes() -> None:
    disk = SimulatedDisk(empty_database(PAGE_BYTES))
    engine = BoltEngine(disk)
    disk.log.clear()
    for number in range(400):
        with engine.begin(writable=True) as transaction:
            bucket = transaction.root.create_bucket_if_absent(b"bucket")
            bucket.create_tree(b"key-%05d" % (number * 7919 % 400), {b"nested": {b"key": b"1"}})
    # About two for the pages and one for the meta; it would be five without room to spare.
    assert disk.log.count("write") <= 400 * 3.5
