"""A busy file that is read whole into memory answers as it would page by page."""

from __future__ import annotations

import pytest

from bolt.crafted_files import PAGE_SIZE, buckets, crafted, leaf
from bolt.model_bucket import contents
from bolt.simulated_disk import SimulatedDisk
from orlop.bolt import BoltEngine
from orlop.bolt.disk import InMemory
from orlop.bolt.initialization import empty_database
from orlop.bolt.pager import Pager
from orlop.bolt.reader import ReadingEngine
from orlop.kv import CorruptError, StaleReadError

LARGE = b"x" * 50_000


def disturbed(reader: ReadingEngine, writer: BoltEngine) -> None:
    transaction = reader.begin()
    with writer.begin(writable=True) as change:
        change.root.create_bucket_if_absent(b"v1").next_sequence()
    transaction.rollback()


def test_values_of_many_pages_are_whole() -> None:
    disk = SimulatedDisk(empty_database(PAGE_SIZE))
    writer = BoltEngine(disk)
    with writer.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket(b"v1")
        bucket.put(b"large", LARGE)
        bucket.put(b"small", b"1")
    reader = ReadingEngine(disk)
    for _ in range(3):
        with pytest.raises(StaleReadError):
            disturbed(reader, writer)
    disk.log.clear()
    with reader.begin() as transaction:
        begun = len(disk.log)
        assert contents(transaction.root) == {b"v1": {b"large": LARGE, b"small": b"1"}}
        assert len(disk.log) == begun, "it was read from the disk, not from memory"
    reader.close()


def test_a_page_that_overflows_the_memory_is_refused() -> None:
    page = bytearray(leaf(4, {b"key": b"value"}))
    page[12:16] = (9).to_bytes(4, "little")
    disk = crafted({3: buckets(3, {b"v1": 4}), 4: bytes(page)}, high_water=6)
    pager = Pager(InMemory(disk.durable), PAGE_SIZE)
    with pytest.raises(CorruptError, match="page 4 overflows behind the end"):
        pager.load(4)
