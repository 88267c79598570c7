"""A page that is rewritten while a writer builds on it: no reader gets the old node from the cache.

A writer may begin before the flush of the version it builds on. After that flush, nodes in memory
refer to children by page; cache entries from before the write are out of date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bolt.simulated_disk import SimulatedDisk
from campaigns.grouping import flush, gather
from orlop.bolt.engine import BoltEngine
from orlop.bolt.initialization import empty_database
from orlop.bolt.spill import Spill

if TYPE_CHECKING:
    from orlop.bolt.transaction import BoltTransaction

PAGE_SIZE = 1024
KEYS = [b"key-%03d" % number for number in range(300)]


def write(transaction: BoltTransaction, value: bytes) -> None:
    bucket = transaction.root.create_bucket_if_absent(b"bucket")
    for key in KEYS:
        bucket.put(key, value)


def values_seen(transaction: BoltTransaction) -> set[bytes | None]:
    bucket = transaction.root.bucket(b"bucket")
    assert bucket is not None
    return {bucket.get(key) for key in KEYS}


@pytest.fixture
def engine() -> BoltEngine:
    """Return a database with old nodes of all its free pages in the cache."""
    engine = BoltEngine(SimulatedDisk(empty_database(PAGE_SIZE)))
    for number in range(6):
        with engine.begin(writable=True) as transaction:
            write(transaction, b"old %d" % number)
        with engine.begin() as reader:
            assert values_seen(reader) == {b"old %d" % number}
    return engine


def test_a_writer_that_began_before_the_cache_took_a_new_generation(engine: BoltEngine) -> None:
    first = engine.begin(writable=True)
    write(first, b"new")
    group = gather(engine, first)
    writer = engine.begin(writable=True)
    pager = engine._pager
    pager._old, pager.young = pager.young, {}
    flush(engine, group)
    assert values_seen(writer) == {b"new"}
    writer.rollback()


@pytest.mark.interpreted("replaces a method, which compiled code calls past its name")
def test_a_writer_that_reads_as_soon_as_pages_are_named(
    engine: BoltEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = engine.begin(writable=True)
    write(first, b"new")
    group = gather(engine, first)
    writer = engine.begin(writable=True)
    seen: list[set[bytes | None]] = []
    settle = Spill.settle

    def settle_and_look(spill: Spill) -> None:
        settle(spill)
        seen.append(values_seen(writer))

    monkeypatch.setattr(Spill, "settle", settle_and_look)
    flush(engine, group)
    assert seen == [{b"new"}]
    writer.rollback()
