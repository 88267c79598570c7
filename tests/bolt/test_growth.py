"""How a file grows: in steps that double, then in steps of 16 MiB, and never without need."""

from __future__ import annotations

import pytest

from bolt.simulated_disk import SimulatedDisk
from orlop.bolt import BoltEngine
from orlop.bolt.commit import _rounded_file_size
from orlop.bolt.initialization import empty_database

KIB, MIB = 1024, 1024 * 1024


@pytest.mark.parametrize(
    ("needed", "given"),
    [
        (1, 32 * KIB),
        (32 * KIB, 32 * KIB),
        (32 * KIB + 1, 64 * KIB),
        (64 * KIB, 64 * KIB),
        (9 * MIB, 16 * MIB),
        (16 * MIB, 16 * MIB),
        (16 * MIB + 1, 32 * MIB),
        (32 * MIB, 32 * MIB),
        (100 * MIB, 112 * MIB),
    ],
)
def test_the_size_that_is_given(needed: int, given: int) -> None:
    assert _rounded_file_size(needed) == given


def test_a_file_grows_only_when_its_pages_are_used_up() -> None:
    disk = SimulatedDisk(empty_database(1024))
    engine = BoltEngine(disk)
    for number in range(60):
        before = disk.size()
        disk.log.clear()
        with engine.begin(writable=True) as transaction:
            bucket = transaction.root.create_bucket_if_absent(b"bucket")
            bucket.put(b"key-%d" % number, bytes(1500))
        in_use = engine.file_bytes_in_use()
        assert in_use <= disk.size()
        assert ("grow" in disk.log) == (disk.size() > before) == (in_use > before)
    assert disk.size() == 256 * KIB


def test_what_exactly_fills_the_file_does_not_make_it_grow() -> None:
    disk = SimulatedDisk(empty_database(1024))
    engine = BoltEngine(disk)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"bucket").put(b"key", bytes(2000))
    used = engine.file_bytes_in_use()
    disk = SimulatedDisk(disk.durable[:used])
    engine = BoltEngine(disk)
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.bucket(b"bucket")
        assert bucket is not None
        bucket.delete(b"key")
    assert disk.size() == used
    assert "grow" not in disk.log


def test_growth_is_durable_before_anything_is_written_there() -> None:
    disk = SimulatedDisk(empty_database(1024))
    engine = BoltEngine(disk)
    disk.log.clear()
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"bucket").put(b"key", bytes(20_000))
    calls = [name for name in disk.log if name != "read"]
    assert calls[:3] == ["grow", "sync", "write"]
    assert calls[-3:] == ["sync", "write", "sync"]
