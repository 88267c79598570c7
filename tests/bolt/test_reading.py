"""Reading a file that another handle writes: right, or said not to count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orlop.bolt import BoltEngine, open_engine
from orlop.kv import CorruptError, StaleReadError
from orlop.maintenance import backup, check_file, file_info

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "meta.db"


@pytest.fixture
def writer(path: Path) -> Iterator[BoltEngine]:
    engine = open_engine(path)
    assert isinstance(engine, BoltEngine)
    put(engine, b"key", b"old")
    yield engine
    engine.close()


def put(engine: BoltEngine, key: bytes, value: bytes) -> None:
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket_if_absent(b"v1").put(key, value)


def test_each_transaction_reads_the_newest_version(path: Path, writer: BoltEngine) -> None:
    reader = open_engine(path, read_only=True)
    for value in (b"old", b"new", b"newer"):
        put(writer, b"key", value)
        with reader.begin() as transaction:
            bucket = transaction.root.bucket(b"v1")
            assert bucket is not None
            assert bucket.get(b"key") == value
    reader.close()


def test_a_change_in_between_makes_what_was_read_not_count(path: Path, writer: BoltEngine) -> None:
    reader = open_engine(path, read_only=True)
    transaction = reader.begin()
    put(writer, b"key", b"new")
    with pytest.raises(StaleReadError, match="read again"):
        transaction.rollback()
    transaction.rollback()
    reader.close()


def test_garbage_read_under_a_writer_is_stale_not_corrupt(path: Path, writer: BoltEngine) -> None:
    for number in range(200):
        put(writer, b"key-%d" % number, b"x" * 200)
    reader = open_engine(path, read_only=True)

    def read_while_it_is_written() -> None:
        with reader.begin() as transaction:
            for number in range(40):
                put(writer, b"key-%d" % number, b"y" * 5000)
            bucket = transaction.root.bucket(b"v1")
            assert bucket is not None
            list(bucket.items())

    with pytest.raises(StaleReadError):
        read_while_it_is_written()
    reader.close()


def test_a_file_put_in_its_place_is_noticed(path: Path, writer: BoltEngine, tmp_path: Path) -> None:
    reader = open_engine(path, read_only=True)
    transaction = reader.begin()
    other = tmp_path / "other.db"
    backup(path, other)
    other.rename(path)
    with pytest.raises(StaleReadError, match="replaced"):
        transaction.rollback()
    reader.close()
    assert not writer.read_only


def test_readers_of_one_handle_keep_their_version(writer: BoltEngine) -> None:
    readers = []
    for number in range(5):
        put(writer, b"key", b"%d" % number)
        readers.append(writer.begin())
    for number, reader in enumerate(readers):
        bucket = reader.root.bucket(b"v1")
        assert bucket is not None
        assert bucket.get(b"key") == b"%d" % number
        reader.rollback()


def test_a_backup_is_complete_sound_and_never_overwrites(
    path: Path, writer: BoltEngine, tmp_path: Path
) -> None:
    for number in range(300):
        put(writer, b"key-%d" % number, b"x" * 100)
    path.chmod(0o600)
    target = tmp_path / "copy.db"
    assert backup(path, target) == target.stat().st_size
    assert target.stat().st_mode & 0o777 == 0o600
    assert check_file(target).faults == []
    assert file_info(target).transaction == file_info(path).transaction
    with pytest.raises(FileExistsError):
        backup(path, target)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.db", "meta.db"]


@pytest.mark.parametrize("contents", [b"", b"no database", b"\0" * 16384, b"\xed" * 65536])
def test_a_file_that_is_no_database_is_refused_for_reading(path: Path, contents: bytes) -> None:
    path.write_bytes(contents)
    with pytest.raises(CorruptError, match=r"no (bolt )?database"):
        open_engine(path, read_only=True)
    assert check_file(path).faults


@pytest.mark.parametrize("contents", [b"no database", b"\xed" * 65536])
def test_a_file_that_is_no_database_is_refused_for_writing(path: Path, contents: bytes) -> None:
    path.write_bytes(contents)
    with pytest.raises(CorruptError, match=r"no (bolt )?database"):
        open_engine(path, timeout=0)
    assert path.read_bytes() == contents


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match="no regular file"):
        open_engine(tmp_path, read_only=True)


def test_a_file_cut_short_is_refused_for_writing(path: Path, writer: BoltEngine) -> None:
    put(writer, b"key", b"x" * 20000)
    writer.close()
    data = path.read_bytes()
    path.write_bytes(data[: file_info(path).pages * 4096 - 4096])
    with pytest.raises(CorruptError, match="cut short"):
        open_engine(path, timeout=0)
    assert any("pages are in use" in fault.message for fault in check_file(path).faults)
