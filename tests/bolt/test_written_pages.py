"""The writes of a commit to the disk, and the state that it leaves in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bolt.crafted_files import branch, buckets, crafted, leaf
from bolt.simulated_disk import SimulatedDisk
from orlop.bolt import BoltEngine
from orlop.bolt.initialization import empty_database
from orlop.bolt.node import BUCKET_FLAG, Branch, Leaf
from orlop.bolt.reader import ReadingEngine
from orlop.bolt.tools.check import check_disk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from orlop.bolt.bucket import BoltBucket

LARGE = bytes(3 << 20)


@dataclass
class WatchedDisk(SimulatedDisk):
    """Records the arguments of each write."""

    writes: list[tuple[int, list[bytes]]] = field(default_factory=list)

    def write(self, offset: int, chunks: Sequence[bytes]) -> None:
        self.writes.append((offset, list(chunks)))
        super().write(offset, chunks)

    def data_writes(self) -> list[tuple[int, list[bytes]]]:
        return [(offset, chunks) for offset, chunks in self.writes if offset >= 2 * 1024]


def test_adjacent_pages_are_written_together() -> None:
    disk = WatchedDisk(empty_database(1024))
    engine = BoltEngine(disk)
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket(b"bucket")
        for number in range(300):
            bucket.put(b"key-%03d" % number, bytes(300))
    # The page that was free in the new file, and all those behind.
    assert len(disk.data_writes()) == 2
    assert sum(map(len, disk.data_writes()[1][1])) > 50 * 1024


def test_a_long_row_of_pages_is_written_in_pieces() -> None:
    disk = WatchedDisk(empty_database(1024))
    engine = BoltEngine(disk)
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket(b"bucket")
        for number in range(6000):
            bucket.put(b"key-%04d" % number, bytes(700))
    sizes = [sum(map(len, chunks)) for _, chunks in disk.data_writes()]
    assert sum(sizes) > 6 << 20
    assert max(sizes) <= (1 << 20) + 1024
    assert len(sizes) < 12


def test_a_large_value_goes_to_the_disk_from_where_it_lies() -> None:
    disk = WatchedDisk(empty_database(1024))
    engine = BoltEngine(disk)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"bucket").put(b"key", LARGE)
    assert any(chunk is LARGE for _, chunks in disk.data_writes() for chunk in chunks)


def test_small_pages_are_joined_before_they_are_written() -> None:
    disk = WatchedDisk(empty_database(1024))
    engine = BoltEngine(disk)
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket(b"bucket")
        for number in range(300):
            bucket.put(b"key-%03d" % number, bytes(300))
    # One piece a page: the system takes only so many at once.
    assert all(len(chunk) % 1024 == 0 for _, chunks in disk.data_writes() for chunk in chunks)


def test_what_is_written_is_frozen_and_names_pages_only() -> None:
    disk = SimulatedDisk(empty_database(1024))
    engine = BoltEngine(disk)
    inline: list[Leaf] = []
    for number in range(3):
        with engine.begin(writable=True) as transaction:
            for name in (b"large", b"small"):
                bucket = transaction.root.create_bucket_if_absent(name)
                inner = bucket.create_bucket_if_absent(b"inner")
                inner.put(b"key", b"%d" % number)
                assert isinstance(inner.root, Leaf)
                inline.append(inner.root)
                for key in range(400 if name == b"large" else 2):
                    bucket.put(b"key-%03d" % key, b"%d" % number * 20)
        nodes = list(engine._pager.young.values())
        assert len(nodes) > 10
        assert all(node.owner is None for node in nodes)
        for node in nodes:
            if isinstance(node, Branch):
                assert all(isinstance(child, int) for child in node.children)
            else:
                assert all(isinstance(value, bytes) for value in node.values)
    assert all(leaf.owner is None for leaf in inline)


def inline_values(bucket: BoltBucket) -> Iterator[tuple[bytes, BoltBucket]]:
    """Iterate over the stored bytes of all inline buckets, with the buckets."""
    for key, value in bucket.items():
        if value is None:
            inner, found = bucket.bucket(key), bucket.find(key)
            assert inner is not None
            assert found is not None
            assert isinstance(found[0], bytes)
            if not inner.root.page:
                yield found[0], inner
            else:
                yield from inline_values(inner)


def test_an_inline_bucket_is_written_as_a_daemon_writes_it(data: Path) -> None:
    source = ReadingEngine(
        SimulatedDisk((data / "meta-db" / "v1.6-07-leases-ns2-ingest.db").read_bytes())
    )
    engine = BoltEngine(SimulatedDisk(empty_database(4096)))
    count = 0
    with source.begin() as reader:
        for stored, bucket in inline_values(reader.root):
            count += 1
            with engine.begin(writable=True) as transaction:
                top = transaction.root.create_bucket_if_absent(b"top")
                copy = top.create_bucket(b"%d" % count)
                copy.set_sequence(bucket.sequence)
                for key, value in bucket.items():
                    copy.put(key, value or b"")
            with engine.begin() as transaction:
                written = transaction.root.bucket(b"top")
                assert written is not None
                assert written.find(b"%d" % count) == (stored, BUCKET_FLAG)
    assert count > 20


def test_a_branch_with_one_child_that_becomes_the_root_gives_its_page_back() -> None:
    disk = crafted(
        {
            3: buckets(3, {b"v1": 4}),
            4: branch(4, {b"a": 5, b"m": 6}),
            5: branch(5, {b"a": 7}),
            6: branch(6, {b"m": 8}),
            7: leaf(7, {b"a": b"value"}),
            8: leaf(8, {b"m": b"value", b"n": b"value"}),
        },
        high_water=9,
    )
    engine = BoltEngine(disk, freelist_sync=True)
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.bucket(b"v1")
        assert bucket is not None
        bucket.delete(b"a")
    assert check_disk(SimulatedDisk(disk.durable)).faults == []
