"""The parts of compaction: copies in many transactions, comparison, attributes of the old file."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bolt.crafted_files import branch, buckets, crafted, leaf
from bolt.model_bucket import Model, contents
from bolt.simulated_disk import SimulatedDisk
from orlop.bolt import BoltEngine, open_engine
from orlop.bolt.file_lock import writers_of
from orlop.bolt.initialization import empty_database
from orlop.bolt.tools import compaction
from orlop.bolt.tools.check import check_disk
from orlop.bolt.tools.compaction import compact, copy_bucket
from orlop.kv import CorruptError, EnginePoisonedError
from orlop.maintenance import check_file

if TYPE_CHECKING:
    from orlop.bolt.bucket import BoltBucket

PAGE_SIZE = 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "meta.db"
    engine = open_engine(path)
    with engine.begin(writable=True) as transaction:
        fill(transaction.root.create_bucket(b"v1"), depth=3)
    engine.close()
    return path


def fill(bucket: BoltBucket, *, depth: int) -> None:
    bucket.set_sequence(depth * 1000 + 1)
    for number in range(4):
        bucket.put(b"key-%d" % number, b"%d" % number * 90)
        if depth:
            fill(bucket.create_bucket(b"bucket-%d" % number), depth=depth - 1)
    bucket.create_bucket(b"empty").set_sequence(7)


def model(path: Path) -> Model:
    engine = open_engine(path, read_only=True)
    with engine.begin() as reader:
        found = contents(reader.root)
    engine.close()
    return found


@pytest.mark.parametrize("transaction_bytes", [1, 1000, 5000])
def test_a_copy_in_many_transactions_is_complete(
    monkeypatch: pytest.MonkeyPatch, transaction_bytes: int
) -> None:
    monkeypatch.setattr(compaction, "_TRANSACTION_BYTES", transaction_bytes)
    source = BoltEngine(SimulatedDisk(empty_database(PAGE_SIZE)))
    with source.begin(writable=True) as transaction:
        fill(transaction.root.create_bucket(b"v1"), depth=2)
        transaction.root.set_sequence(5)
    disk = SimulatedDisk(empty_database(PAGE_SIZE))
    target = BoltEngine(disk, freelist_sync=True)
    with source.begin() as reader:
        copy_bucket(reader.root, target)
        with target.begin() as copied:
            assert copied.id > 2
            compaction._require_equal(reader.root, copied.root)
            assert contents(copied.root) == contents(reader.root)
            assert copied.root.sequence == 5
    assert check_disk(disk).faults == []


def test_a_copy_that_cannot_be_written_ends_in_that_error() -> None:
    source = BoltEngine(SimulatedDisk(empty_database(PAGE_SIZE)))
    with source.begin(writable=True) as transaction:
        fill(transaction.root.create_bucket(b"v1"), depth=1)
    disk = SimulatedDisk(empty_database(PAGE_SIZE))
    target = BoltEngine(disk)
    disk.fail_at = disk.calls + 5
    with source.begin() as reader, pytest.raises(EnginePoisonedError):
        copy_bucket(reader.root, target)
    target.close()


@pytest.mark.parametrize("difference", ["value", "counter", "missing", "more"])
def test_a_copy_that_differs_never_takes_the_place_of_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, difference: str
) -> None:
    expected = model(path)

    def spoil(source: BoltBucket, target: BoltEngine) -> None:
        copy_bucket(source, target)
        with target.begin(writable=True) as transaction:
            bucket = transaction.root.bucket(b"v1")
            assert bucket is not None
            if difference == "value":
                bucket.put(b"key-1", b"other")
            elif difference == "counter":
                bucket.next_sequence()
            elif difference == "missing":
                bucket.delete_bucket(b"empty")
            else:
                transaction.root.create_bucket(b"v9")

    monkeypatch.setattr(compaction, "copy_bucket", spoil)
    inode = path.stat().st_ino
    with pytest.raises(CorruptError, match="the copy differs"):
        compact(path)
    assert path.stat().st_ino == inode
    assert model(path) == expected
    assert [each.name for each in path.parent.iterdir()] == ["meta.db"]


@pytest.mark.parametrize(
    ("pages", "message"),
    [
        ({3: leaf(3, {b"key": b"value"})}, "the outermost bucket holds the plain value b'key'"),
        (
            # The key in the branch is wrong: by name, one looks for "b" in the first leaf.
            {
                3: branch(3, {b"a": 4, b"c": 5}),
                4: buckets(4, {b"a": 6}),
                5: buckets(5, {b"b": 7}),
                6: leaf(6, {}),
                7: leaf(7, {}),
            },
            "the bucket b'b' is listed but is not where its name leads",
        ),
    ],
)
def test_what_could_not_be_copied_is_an_error(
    tmp_path: Path, pages: dict[int, bytes], message: str
) -> None:
    path = tmp_path / "meta.db"
    path.write_bytes(crafted(pages).durable)
    before = path.read_bytes()
    with pytest.raises(CorruptError, match=message):
        compact(path)
    assert path.read_bytes()[2 * PAGE_SIZE :] == before[2 * PAGE_SIZE :]


@pytest.mark.root
def test_owner_mode_and_attributes_are_those_of_the_file(path: Path) -> None:
    os.chown(path, 1234, 5678)
    path.chmod(0o604)
    try:
        os.setxattr(path, "user.origin", b"a test")
    except OSError as error:
        assert error.errno == errno.ENOTSUP  # noqa: PT017 (only this one is expected)
    attributes = {name: os.getxattr(path, name) for name in os.listxattr(path)}
    compact(path)
    found = path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (1234, 5678, 0o604)
    assert {name: os.getxattr(path, name) for name in os.listxattr(path)} == attributes
    assert check_file(path).faults == []


def test_attributes_that_only_the_system_may_set_are_left_to_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "only the system")

    monkeypatch.setattr(os, "listxattr", lambda _: ["security.selinux", "user.origin"])
    monkeypatch.setattr(os, "getxattr", lambda *_: b"value")
    monkeypatch.setattr(os, "setxattr", refuse)
    expected = model(path)
    compact(path)
    assert model(path) == expected


def test_a_process_that_hides_its_files_is_passed_over(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As do those of other users, and those that end just then."""
    real = Path.iterdir
    hidden = Path("/proc/1/fd")

    def iterdir(directory: Path) -> object:
        if directory == hidden:
            raise PermissionError(errno.EACCES, "not yours", str(directory))
        return real(directory)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with path.open("r+b"):
        found = writers_of(path.stat())
    assert [number for number, _ in found] == [os.getpid()]
    assert writers_of(path.stat()) == []
