"""A file that changes all the time is copied in the end, within a bound of memory."""

from __future__ import annotations

import time

import pytest

from bolt.model_bucket import contents
from bolt.simulated_disk import SimulatedDisk
from orlop.bolt import BoltEngine
from orlop.bolt.reader import ReadingEngine
from orlop.kv import FileBusyError, StaleReadError


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk()


@pytest.fixture
def writer(disk: SimulatedDisk) -> BoltEngine:
    engine = BoltEngine(disk)
    write(engine, 0)
    return engine


def write(engine: BoltEngine, number: int) -> None:
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket_if_absent(b"v1")
        bucket.put(b"number", b"%d" % number)
        for key in range(200):
            bucket.put(b"key-%d" % key, b"%d" % number * 9)


def disturbed_reading(reader: ReadingEngine, writer: BoltEngine, number: int) -> None:
    transaction = reader.begin()
    write(writer, number)
    transaction.rollback()


def test_after_three_disturbed_readings_the_file_is_copied(
    disk: SimulatedDisk, writer: BoltEngine
) -> None:
    reader = ReadingEngine(disk)
    for number in range(1, 4):
        with pytest.raises(StaleReadError, match=rf"{number} reading\(s\) in a row"):
            disturbed_reading(reader, writer, number)

    with reader.begin() as transaction:
        for number in range(4, 9):
            write(writer, number)
        found = contents(transaction.root)[b"v1"]
        assert isinstance(found, dict)
        assert found[b"number"] == b"3"
        assert {found[b"key-%d" % key] for key in range(200)} == {b"3" * 9}

    # From then on page by page again.
    with pytest.raises(StaleReadError, match=r"1 reading\(s\) in a row"):
        disturbed_reading(reader, writer, 9)


def test_a_quiet_reading_forgets_the_disturbed_ones(
    disk: SimulatedDisk, writer: BoltEngine
) -> None:
    reader = ReadingEngine(disk)
    for number in range(1, 3):
        with pytest.raises(StaleReadError):
            disturbed_reading(reader, writer, number)
    with reader.begin() as transaction:
        contents(transaction.root)
    with pytest.raises(StaleReadError, match=r"1 reading\(s\) in a row"):
        disturbed_reading(reader, writer, 3)


def test_a_file_over_the_bound_is_spooled(disk: SimulatedDisk, writer: BoltEngine) -> None:
    reader = ReadingEngine(disk, memory_bytes_max=4096)
    for number in range(1, 4):
        with pytest.raises(StaleReadError, match=rf"\({number} commits in"):
            disturbed_reading(reader, writer, number)
    disturbed_reading(reader, writer, 4)


class BusyDisk(SimulatedDisk):
    """A disk on which another process commits twice whenever a large piece is read."""

    writer: BoltEngine | None = None
    commits = 0

    def read(self, offset: int, length: int) -> bytes:
        data = super().read(offset, length)
        if self.writer is not None and length > 100_000:
            writer, self.writer = self.writer, None
            self.commits += 1
            write(writer, 100 + self.commits)
            write(writer, 200 + self.commits)
            self.writer = writer
        return data


def test_a_file_that_changes_too_fast_to_be_copied_is_refused() -> None:
    disk = BusyDisk()
    writer = BoltEngine(disk)
    with writer.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"large").put(b"key", b"x" * 200_000)
    reader = ReadingEngine(disk, busy_seconds_max=0.2)
    for number in range(1, 4):
        with pytest.raises(StaleReadError):
            disturbed_reading(reader, writer, number)
    disk.writer = writer
    with pytest.raises(FileBusyError, match=r"\d+ commits in"):
        reader.begin()
    assert disk.commits > 3
    disk.writer = None
    with reader.begin() as transaction:
        assert transaction.root.bucket(b"v1") is not None


def test_an_answer_about_a_busy_file_ends_in_time() -> None:
    disk = BusyDisk()
    writer = BoltEngine(disk)
    with writer.begin(writable=True) as transaction:
        for number in range(200):
            transaction.root.create_bucket(b"bucket %d" % number).put(b"key", b"x" * 2_000)
    reader = ReadingEngine(disk, busy_seconds_max=0.5)
    for number in range(1, 4):
        with pytest.raises(StaleReadError):
            disturbed_reading(reader, writer, number)
    with reader.begin() as transaction:
        assert transaction.root.bucket(b"v1") is not None
        time.sleep(0.6)
        bucket = transaction.root.bucket(b"bucket 77")
        assert bucket is not None
        with pytest.raises(FileBusyError, match=r"takes longer than it may") as caught:
            bucket.get(b"key")
        assert "--timeout SECONDS" in caught.value.hint
    with reader.begin() as transaction:
        assert transaction.root.bucket(b"bucket 77") is not None
