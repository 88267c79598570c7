"""A freelist that is kept in the file: complete in each version, and taken at its word."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import pytest

from bolt.simulated_disk import SimulatedDisk
from orlop.bolt import BoltEngine
from orlop.bolt.commit import _SPARE_PAGES as SPARE_PAGES
from orlop.bolt.initialization import empty_database
from orlop.bolt.meta import NO_FREELIST, newest_meta, read_metas
from orlop.bolt.pager import Pager
from orlop.bolt.reachable import find_unreachable, kept_freelist
from orlop.bolt.tools.check import check_disk

if TYPE_CHECKING:
    from orlop.bolt.meta import Meta

PAGE_SIZE = 1024


def meta_of(disk: SimulatedDisk) -> Meta:
    return newest_meta(read_metas(disk.read))


def put(engine: BoltEngine, numbers: range) -> None:
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket_if_absent(b"bucket")
        for number in numbers:
            bucket.put(b"key-%05d" % number, bytes(900))


def delete(engine: BoltEngine, numbers: range) -> None:
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.bucket(b"bucket")
        assert bucket is not None
        for number in numbers:
            bucket.delete(b"key-%05d" % number)


def assert_agrees(disk: SimulatedDisk) -> int:
    """Check that the freelist and its own pages are the unreachable ones; count its own pages."""
    assert check_disk(SimulatedDisk(disk.durable)).faults == []
    meta, pager = meta_of(disk), Pager(disk, PAGE_SIZE)
    kept = kept_freelist(pager, meta)
    assert kept is not None
    listed, own = kept
    assert sorted([*listed, *own]) == [*chain(*find_unreachable(disk, meta))]
    return len(own)


@pytest.mark.parametrize("pages", [1, 100, 124, 125, 126, 127, 130, 250, 251, 252, 253, 600])
def test_a_list_of_any_length_takes_the_pages_it_needs(pages: int) -> None:
    disk = SimulatedDisk(empty_database(PAGE_SIZE))
    engine = BoltEngine(disk, freelist_sync=True)
    put(engine, range(pages + 1))
    delete(engine, range(pages))
    own = assert_agrees(disk)
    assert own >= -(-(16 + 8 * pages) // PAGE_SIZE)
    for number in range(4):
        put(engine, range(number * 10, number * 10 + 3))
        assert_agrees(disk)
    size = disk.size()
    reopened = SimulatedDisk(disk.durable)
    engine = BoltEngine(reopened)
    put(engine, range(1000, 1000 + pages // 2))
    assert_agrees(reopened)
    assert reopened.size() == size, "the listed pages were not used"


def test_a_list_that_is_given_up_leaves_its_pages() -> None:
    disk = SimulatedDisk(empty_database(PAGE_SIZE))
    put(BoltEngine(disk, freelist_sync=True), range(200))
    assert meta_of(disk).freelist != NO_FREELIST
    engine = BoltEngine(disk, freelist_sync=False)
    put(engine, range(1))
    assert meta_of(disk).freelist == NO_FREELIST
    pages = meta_of(disk).high_water
    for number in range(200):
        put(engine, range(number, number + 1))
    # The pages of one transaction wait for the next one: two sets of them, those that are kept
    # to spare, and no more.
    assert meta_of(disk).high_water <= pages + 6 + SPARE_PAGES
    assert check_disk(SimulatedDisk(disk.durable)).faults == []


def test_a_deleted_bucket_leaves_the_pages_of_all_that_lie_in_it() -> None:
    disk = SimulatedDisk(empty_database(PAGE_SIZE))
    engine = BoltEngine(disk, freelist_sync=True)
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket(b"v1")
        for _ in range(3):
            for number in range(40):
                bucket.put(b"key-%02d" % number, bytes(100))
            bucket = bucket.create_bucket(b"nested")
    # Opened again, so that the buckets are what the file says of them.
    with BoltEngine(disk).begin(writable=True) as transaction:
        transaction.root.delete_bucket(b"v1")
    assert check_disk(disk).faults == []
