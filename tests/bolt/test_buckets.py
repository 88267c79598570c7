"""Buckets: the guarantees and the refusals of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bolt.model_bucket import contents
from bolt.simulated_disk import SimulatedDisk
from orlop.bolt import BoltEngine
from orlop.bolt.tools.check import check_disk
from orlop.kv import (
    BucketExistsError,
    BucketNotFoundError,
    EngineError,
    IncompatibleValueError,
    KeyRequiredError,
    KeyTooLargeError,
    ReadOnlyError,
    TransactionClosedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.bolt.bucket import BoltBucket
    from orlop.bolt.transaction import BoltTransaction


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk()


@pytest.fixture
def engine(disk: SimulatedDisk) -> BoltEngine:
    return BoltEngine(disk)


@pytest.fixture
def writer(engine: BoltEngine) -> BoltTransaction:
    return engine.begin(writable=True)


@pytest.fixture
def bucket(writer: BoltTransaction) -> BoltBucket:
    bucket = writer.root.create_bucket(b"v1")
    bucket.put(b"value", b"1")
    bucket.create_bucket(b"bucket")
    return bucket


def test_what_is_refused_leaves_everything_as_it_was(
    bucket: BoltBucket, writer: BoltTransaction
) -> None:
    before = contents(bucket)
    refusals: list[tuple[Callable[[], object], type[EngineError]]] = [
        (lambda: bucket.put(b"", b""), KeyRequiredError),
        (lambda: bucket.put(b"k" * 32769, b""), KeyTooLargeError),
        (lambda: bucket.put(b"bucket", b""), IncompatibleValueError),
        (lambda: bucket.delete(b"bucket"), IncompatibleValueError),
        (lambda: bucket.create_bucket(b""), KeyRequiredError),
        (lambda: bucket.create_bucket(b"bucket"), BucketExistsError),
        (lambda: bucket.create_bucket(b"value"), IncompatibleValueError),
        (lambda: bucket.create_bucket_if_absent(b"value"), IncompatibleValueError),
        (lambda: bucket.delete_bucket(b"value"), IncompatibleValueError),
        (lambda: bucket.delete_bucket(b"none"), BucketNotFoundError),
        (lambda: writer.root.put(b"key", b""), IncompatibleValueError),
    ]
    for refused, error in refusals:
        with pytest.raises(error):
            refused()
    bucket.delete(b"none")
    assert contents(bucket) == before


def test_a_value_and_a_bucket_are_told_apart(bucket: BoltBucket) -> None:
    assert bucket.get(b"bucket") is None
    assert bucket.bucket(b"value") is None
    assert bucket.get(b"none") is None
    assert bucket.bucket(b"none") is None
    assert list(bucket.items()) == [(b"bucket", None), (b"value", b"1")]


def test_the_longest_key_and_the_empty_value_are_kept(
    engine: BoltEngine, writer: BoltTransaction, bucket: BoltBucket
) -> None:
    bucket.put(b"k" * 32768, b"")
    writer.commit()
    with engine.begin() as reader:
        stored = reader.root.bucket(b"v1")
        assert stored is not None
        assert stored.get(b"k" * 32768) == b""


def test_handles_end_with_their_transaction(writer: BoltTransaction, bucket: BoltBucket) -> None:
    cursor = bucket.cursor()
    cursor.first()
    items = bucket.items()
    next(items)
    writer.commit()
    for use in (lambda: bucket.get(b"value"), cursor.next, cursor.first, lambda: next(items)):
        with pytest.raises(TransactionClosedError):
            use()
    with pytest.raises(TransactionClosedError):
        writer.commit()
    writer.rollback()


def test_a_reader_may_not_write(
    engine: BoltEngine, writer: BoltTransaction, bucket: BoltBucket
) -> None:
    assert bucket.sequence == 0
    writer.commit()
    with engine.begin() as reader:
        stored = reader.root.bucket(b"v1")
        assert stored is not None
        for write in (
            lambda: stored.put(b"key", b""),
            lambda: stored.delete(b"value"),
            lambda: stored.create_bucket(b"new"),
            lambda: stored.delete_bucket(b"bucket"),
            stored.next_sequence,
            reader.commit,
        ):
            with pytest.raises(ReadOnlyError):
                write()


def test_a_handle_on_a_deleted_bucket_is_refused(bucket: BoltBucket) -> None:
    inner = bucket.bucket(b"bucket")
    assert inner is not None
    innermost = inner.create_bucket(b"innermost")
    bucket.delete_bucket(b"bucket")
    for handle in (inner, innermost):
        with pytest.raises(BucketNotFoundError):
            handle.get(b"key")
        with pytest.raises(BucketNotFoundError):
            handle.set_sequence(1)
    bucket.create_bucket(b"bucket").put(b"key", b"new")
    assert contents(bucket) == {b"bucket": {b"key": b"new"}, b"value": b"1"}


def test_two_handles_on_one_bucket_see_the_same(bucket: BoltBucket) -> None:
    first, second = bucket.bucket(b"bucket"), bucket.bucket(b"bucket")
    assert first is not None
    assert second is not None
    first.put(b"key", b"value")
    assert second.get(b"key") == b"value"


def test_buckets_nest_a_hundred_deep(
    disk: SimulatedDisk, engine: BoltEngine, writer: BoltTransaction
) -> None:
    bucket = writer.root.create_bucket(b"0")
    for depth in range(1, 100):
        bucket.put(b"filler", b"x" * 2000)
        bucket = bucket.create_bucket(b"%d" % depth)
    bucket.put(b"deepest", b"here")
    writer.commit()
    assert check_disk(disk).faults == []
    with engine.begin() as reader:
        found = reader.root.bucket(b"0")
        for depth in range(1, 100):
            assert found is not None
            found = found.bucket(b"%d" % depth)
        assert found is not None
        assert found.get(b"deepest") == b"here"
    with engine.begin(writable=True) as transaction:
        transaction.root.delete_bucket(b"0")
    assert check_disk(disk).faults == []


def test_sequences_are_kept_and_wrap_at_64_bits(
    engine: BoltEngine, writer: BoltTransaction, bucket: BoltBucket
) -> None:
    writer.root.set_sequence(9)
    bucket.set_sequence((1 << 64) - 1)
    writer.commit()
    with engine.begin(writable=True) as transaction:
        assert transaction.root.sequence == 9
        stored = transaction.root.bucket(b"v1")
        assert stored is not None
        assert stored.next_sequence() == 0


def test_an_empty_commit_writes_nothing(disk: SimulatedDisk, engine: BoltEngine) -> None:
    disk.log.clear()
    with engine.begin(writable=True):
        pass
    assert "write" not in disk.log


def test_deleting_gives_pages_back_so_that_the_file_stays_small(
    disk: SimulatedDisk, engine: BoltEngine
) -> None:
    for _ in range(30):
        with engine.begin(writable=True) as transaction:
            bucket = transaction.root.create_bucket_if_absent(b"v1")
            for number in range(50):
                bucket.put(b"key-%d" % number, b"x" * 1000)
        with engine.begin(writable=True) as transaction:
            transaction.root.delete_bucket(b"v1")
    assert disk.size() < 512 * 1024


def test_a_pinned_reader_keeps_its_pages(engine: BoltEngine) -> None:
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"v1").put(b"key", b"first" * 1000)
    reader = engine.begin()
    for number in range(20):
        with engine.begin(writable=True) as transaction:
            bucket = transaction.root.bucket(b"v1")
            assert bucket is not None
            bucket.put(b"key", b"%d" % number * 3000)
    # Not from the cache: the pages themselves must still be there.
    engine._pager.young.clear()
    engine._pager._old.clear()
    bucket = reader.root.bucket(b"v1")
    assert bucket is not None
    assert bucket.get(b"key") == b"first" * 1000
    reader.rollback()


def test_a_reader_has_nothing_to_edit(engine: BoltEngine) -> None:
    with pytest.raises(ReadOnlyError, match="only reads"):
        _ = engine.begin().dirty
