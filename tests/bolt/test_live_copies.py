"""A copy that is made while the file is written is one version, whole, and that is the newest."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from bolt.model_bucket import contents
from bolt.simulated_disk import SimulatedDisk
from orlop.bolt import BoltEngine
from orlop.bolt.initialization import empty_database
from orlop.bolt.live_copy import LiveCopy
from orlop.bolt.meta import newest_meta, read_metas
from orlop.bolt.reader import ReadingEngine, version_of
from orlop.bolt.tools.check import check_disk
from orlop.kv import CorruptError, FileBusyError, StaleReadError

if TYPE_CHECKING:
    from orlop.bolt.bucket import BoltBucket

pytestmark = pytest.mark.interpreted("it makes the pieces small that are read at once")

PAGE_SIZE = 1024
SEEDS = range(60)
KEYS = 60


class WrittenDisk(SimulatedDisk):
    """A disk on which another process commits now and then while it is read."""

    writer: BoltEngine | None = None
    seed = random.Random(0)
    chance = 0.0
    reads = 0
    commits_left = 0
    at_once = 1
    made: dict[int, object]

    def read(self, offset: int, length: int) -> bytes:
        data = super().read(offset, length)
        writer, self.writer = self.writer, None
        if writer is not None and self.commits_left and self.seed.random() < self.chance:
            self.commits_left -= 1
            for _ in range(self.at_once):
                change(writer, self.seed)
                self.note(writer)
        self.writer = writer
        return data

    def note(self, writer: BoltEngine) -> None:
        with writer.begin() as transaction:
            self.made[transaction.id] = contents(transaction.root)


def change(engine: BoltEngine, seed: random.Random) -> None:
    """Commit some changes of all kinds, also such that move whole subtrees."""
    with engine.begin(writable=True) as transaction:
        for _ in range(seed.randrange(1, 6)):
            bucket: BoltBucket = transaction.root.create_bucket_if_absent(
                b"top-%d" % seed.randrange(3)
            )
            for _ in range(seed.randrange(3)):
                bucket = bucket.create_bucket_if_absent(b"b-%d" % seed.randrange(12))
            for _ in range(seed.randrange(8)):
                key = b"key-%d" % seed.randrange(KEYS)
                if seed.random() < 0.3:
                    bucket.delete(key)
                else:
                    length = seed.choice((3, 30, 300, 3_000))
                    bucket.put(key, bytes([seed.randrange(256)]) * length)
            name = b"b-%d" % seed.randrange(12)
            if seed.random() < 0.15 and bucket.bucket(name) is not None:
                bucket.delete_bucket(name)


def grown(seed: random.Random, commits: int = 40) -> tuple[WrittenDisk, BoltEngine]:
    disk = WrittenDisk(empty_database(PAGE_SIZE))
    disk.made = {}
    writer = BoltEngine(disk, freelist_sync=seed.random() < 0.5)
    for _ in range(commits):
        change(writer, seed)
    disk.note(writer)
    disk.seed = seed
    return disk, writer


@pytest.mark.parametrize("seed_number", SEEDS)
def test_a_copy_is_one_version_and_the_newest(
    seed_number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.Random(seed_number)
    disk, writer = grown(seed)
    monkeypatch.setattr("orlop.bolt.copied_tree.PIECE_BYTES", seed.choice((1024, 8192, 1 << 20)))
    copy = LiveCopy(disk, PAGE_SIZE)
    disk.writer, disk.chance, disk.commits_left = writer, 0.2, 30
    disk.at_once = seed.choice((1, 1, 1, 2))
    copy.run()
    disk.writer = None
    assert copy.meta == newest_meta(read_metas(disk.read))
    after = disk.made[copy.meta.transaction]
    for _ in range(5):
        change(writer, seed)
    with version_of(copy, copy.meta) as transaction:
        assert contents(transaction.root) == after
    copy.close()


@pytest.mark.parametrize("seed_number", range(20))
def test_a_copy_is_sound(seed_number: int) -> None:
    """The freelist included, where the file keeps one."""
    seed = random.Random(seed_number)
    disk, writer = grown(seed)
    copy = LiveCopy(disk, PAGE_SIZE)
    disk.writer, disk.chance, disk.commits_left = writer, 0.3, 20
    copy.run()
    disk.writer = None
    for _ in range(5):
        change(writer, seed)
    assert check_disk(disk).faults == []
    faults = check_disk(Behind(copy, disk)).faults
    assert faults == []


class Behind:
    """A copy, read with the metas of its own version."""

    def __init__(self, copy: LiveCopy, disk: SimulatedDisk) -> None:
        self.copy = copy
        self.metas = b"".join(
            meta.encode().ljust(PAGE_SIZE, b"\0") if not isinstance(meta, CorruptError) else b""
            for meta in copy.metas
        )
        self.disk = disk

    def size(self) -> int:
        return self.disk.size()

    def read(self, offset: int, length: int) -> bytes:
        if offset < 2 * PAGE_SIZE:
            return self.metas[offset : offset + length]
        return self.copy.read(offset, length)


def test_versions_that_follow_one_another_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orlop.bolt.copied_tree.PIECE_BYTES", PAGE_SIZE)
    seed = random.Random(7)
    disk, writer = grown(seed, 200)
    copy = LiveCopy(disk, PAGE_SIZE)
    disk.writer, disk.chance, disk.commits_left = writer, 0.01, 10
    copy.run()
    assert copy.followed > copy.restarts


def test_what_does_not_fit_into_memory_is_spooled() -> None:
    seed = random.Random(5)
    disk, writer = grown(seed)
    copy = LiveCopy(disk, PAGE_SIZE, memory_bytes_max=0)
    disk.writer, disk.chance, disk.commits_left = writer, 0.1, 10
    copy.run()
    disk.writer = None
    with version_of(copy, copy.meta) as transaction:
        assert contents(transaction.root) == disk.made[copy.meta.transaction]
    copy.close()


def test_a_damaged_page_is_told_and_not_taken_for_a_change() -> None:
    disk, writer = grown(random.Random(7))
    meta = newest_meta(read_metas(disk.read))
    disk.write(meta.root * PAGE_SIZE, [bytes(PAGE_SIZE)])
    with pytest.raises(CorruptError, match=f"page {meta.root} carries the id 0"):
        LiveCopy(disk, PAGE_SIZE).run()
    writer.close()


def test_a_file_that_changes_with_every_reading_is_refused_in_time() -> None:
    disk, writer = grown(random.Random(9))
    copy = LiveCopy(disk, PAGE_SIZE)
    disk.writer, disk.chance, disk.commits_left, disk.at_once = writer, 1.0, 10**9, 2
    with pytest.raises(FileBusyError, match=r"\d+ commits in"):
        copy.run(0.1)


def test_a_reading_in_vain_is_noticed_before_its_end() -> None:
    disk, writer = grown(random.Random(11), 400)
    reader = ReadingEngine(disk)
    transaction = reader.begin()
    change(writer, random.Random(1))
    begun = len(disk.log)
    with pytest.raises(StaleReadError, match="read again"):
        contents(transaction.root)
    assert len(disk.log) - begun < 200
    with pytest.raises(StaleReadError, match=r"1 reading\(s\) in a row"):
        transaction.rollback()
