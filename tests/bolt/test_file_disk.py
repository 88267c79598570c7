"""The file under the engine: short writes, files that are gone, and no sync where none is asked."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Any

import pytest

from bolt.model_bucket import contents
from orlop.bolt import FileDisk, file_lock, open_engine
from orlop.kv import EnginePoisonedError, LockedError, StaleReadError
from orlop.maintenance import check_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGE = b"x" * 70_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "meta.db"


@pytest.fixture
def database(path: Path) -> Path:
    engine = open_engine(path)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"v1").put(b"key", b"value")
    engine.close()
    return path


@pytest.fixture
def sparing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let the system write at most 1,000 bytes at a time."""
    written: list[int] = []
    real = os.pwritev

    def pwritev(descriptor: int, chunks: list[Any], offset: int) -> int:
        count = real(descriptor, [b"".join(chunks)[:1000]], offset)
        written.append(count)
        return count

    monkeypatch.setattr(os, "pwritev", pwritev)
    yield written
    assert written


def test_what_is_written_in_part_is_written_on(database: Path, sparing: list[int]) -> None:
    engine = open_engine(database)
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.bucket(b"v1")
        assert bucket is not None
        for number in range(20):
            bucket.put(b"key-%d" % number, b"%d" % number * 2000)
        bucket.put(b"large", LARGE)
        expected = contents(transaction.root)
    engine.close()
    assert max(sparing) == 1000
    with open_engine(database).begin() as reader:
        assert contents(reader.root) == expected
    assert check_file(database).faults == []


def test_a_system_that_writes_nothing_ends_in_an_error(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(database)
    transaction = engine.begin(writable=True)
    transaction.root.create_bucket(b"v2")
    monkeypatch.setattr(os, "pwritev", lambda *_: 0)
    with pytest.raises(EnginePoisonedError, match="the system wrote nothing"):
        transaction.commit()
    engine.close()
    monkeypatch.undo()
    with open_engine(database).begin() as reader:
        assert contents(reader.root) == {b"v1": {b"key": b"value"}}


def test_an_interrupted_initialization_is_begun_again(path: Path) -> None:
    # What `grow` leaves when the process ends behind it: zeros of the right length.
    path.write_bytes(bytes(4 * os.sysconf("SC_PAGE_SIZE")))
    engine = open_engine(path)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"v1")
    engine.close()
    assert check_file(path).faults == []


def test_without_sync_nothing_is_synced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    open_engine(path).close()
    monkeypatch.setattr(os, "fdatasync", synced.append)
    engine = open_engine(path, sync=False)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"v1")
    engine.close()
    assert synced == []
    engine = open_engine(path)
    with engine.begin(writable=True) as transaction:
        assert transaction.root.bucket(b"v1") is not None
        transaction.root.create_bucket(b"v2")
    engine.close()
    # At opening, where the file grew, then data and meta.
    assert len(synced) >= 3


def test_a_file_that_is_gone_does_not_count_as_read(database: Path) -> None:
    engine = open_engine(database, read_only=True)
    transaction = engine.begin()
    assert contents(transaction.root) == {b"v1": {b"key": b"value"}}
    database.unlink()
    with pytest.raises(StaleReadError, match="replaced"):
        transaction.rollback()
    engine.close()


def test_closing_twice_leaves_the_descriptor_of_another_alone(database: Path) -> None:
    disk = FileDisk.for_reading(database)
    disk.close()
    descriptor = os.open(database, os.O_RDONLY)
    disk.close()
    assert os.fstat(descriptor).st_size
    os.close(descriptor)


@pytest.mark.parametrize("locks", [None, "1: FLOCK  ADVISORY  WRITE {gone} {device} 0 EOF\n"])
def test_a_holder_that_cannot_be_named_is_another_process(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: str | None
) -> None:
    listed = tmp_path / "locks"
    if locks is not None:
        found = database.stat()
        device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        listed.write_text(locks.format(gone=1 << 30, device=device))
    monkeypatch.setattr(file_lock, "_PROC_LOCKS", listed)
    who = "another process"
    if locks is not None:
        who = rf"a fork of process {1 << 30} \(no longer running\), which cannot be seen from here"
    with database.open() as held:  # by what has no engine in this process
        monkeypatch.setattr(file_lock, "_processes", list)
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match=f"locked by {who}; stop it"):
            open_engine(database, timeout=0)
