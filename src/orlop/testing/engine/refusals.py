"""The contract of refusals, which change nothing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from orlop.kv.errors import (
    BucketExistsError,
    BucketNotFoundError,
    EngineError,
    IncompatibleValueError,
    KeyRequiredError,
    KeyTooLargeError,
    ReadOnlyError,
    ValueTooLargeError,
)
from orlop.testing.engine.expectations import contents, expect_equal, expect_refusal
from orlop.testing.engine.store import NAME, Suite, committing, opened, reading, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orlop.kv.contract import Bucket


class RefusalSuite(Suite):
    """Clauses on errors. Each test also looks whether anything has changed."""

    def test_an_empty_key_is_refused(self) -> None:
        """For a value and for a bucket."""
        with _unchanged(self) as bucket:
            for operation in _uses_of(bucket, b""):
                expect_refusal(KeyRequiredError, operation, "an empty key is refused")

    def test_a_key_that_is_too_long_is_refused(self) -> None:
        """For a value and for a bucket, where the engine has a limit."""
        if self.limits.key_bytes is None:
            return
        key = b"k" * (self.limits.key_bytes + 1)
        with _unchanged(self) as bucket:
            for operation in _uses_of(bucket, key):
                expect_refusal(KeyTooLargeError, operation, "a key that is too long is refused")

    def test_a_value_that_is_too_long_is_refused(self) -> None:
        """Where the engine has a limit, also in the place of another one."""
        if self.limits.value_bytes is None:
            return
        # Zeros, since the system gives such memory only when it is looked at.
        value = bytes(self.limits.value_bytes + 1)
        with _unchanged(self) as bucket:
            for key in (b"new", b"value"):
                expect_refusal(
                    ValueTooLargeError,
                    lambda key=key: bucket.put(key, value),  # type: ignore[misc]
                    "a value that is too long is refused",
                )

    def test_a_bucket_is_not_taken_for_a_value(self) -> None:
        """Neither replaced by one nor deleted as one."""
        with _unchanged(self) as bucket:
            expect_refusal(
                IncompatibleValueError,
                lambda: bucket.put(b"bucket", b"value"),
                "a bucket is not replaced by a value",
            )
            expect_refusal(
                IncompatibleValueError,
                lambda: bucket.delete(b"bucket"),
                "a bucket is not deleted as a value",
            )

    def test_a_value_is_not_taken_for_a_bucket(self) -> None:
        """Neither replaced by one nor deleted as one."""
        with _unchanged(self) as bucket:
            for operation in (
                bucket.create_bucket,
                bucket.create_bucket_if_absent,
                bucket.delete_bucket,
            ):
                expect_refusal(
                    IncompatibleValueError,
                    lambda use=operation: use(b"value"),  # type: ignore[misc]
                    f"{operation.__name__} refuses a value",
                )

    def test_a_bucket_is_not_created_twice(self) -> None:
        """Its contents stay."""
        with _unchanged(self) as bucket:
            expect_refusal(
                BucketExistsError,
                lambda: bucket.create_bucket(b"bucket"),
                "a bucket is not created twice",
            )

    def test_a_missing_bucket_is_not_deleted(self) -> None:
        """As a missing value would be: it is an error."""
        with _unchanged(self) as bucket:
            for name in (b"none", b"bucke", b"buckets", b""):
                expect_refusal(
                    BucketNotFoundError,
                    lambda name=name: bucket.delete_bucket(name),  # type: ignore[misc]
                    "a missing bucket is not deleted",
                )

    def test_the_outermost_bucket_holds_buckets_only(self) -> None:
        """Whether the name is free or not."""
        with self.engine() as engine, writing(engine) as transaction:
            transaction.root.create_bucket(NAME)
            for key in (b"key", NAME):
                expect_refusal(
                    IncompatibleValueError,
                    lambda key=key: transaction.root.put(key, b""),  # type: ignore[misc]
                    "the outermost bucket holds no value",
                )
            expect_equal(contents(transaction.root), {NAME: {}}, "a refusal changes nothing")

    def test_a_reader_may_not_write(self) -> None:
        """Through nothing that it hands out; and it reads on after the refusal."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                _fill(bucket)
                bucket.set_sequence(5)
            with reading(engine) as transaction:
                bucket = opened(transaction)
                cursor = bucket.cursor()
                cursor.seek(b"value")
                before = contents(bucket)
                operations: list[Callable[[], object]] = [
                    lambda: bucket.put(b"new", b""),
                    lambda: bucket.put(b"value", b""),
                    lambda: bucket.delete(b"value"),
                    lambda: bucket.delete(b"none"),
                    lambda: bucket.create_bucket(b"new"),
                    lambda: bucket.create_bucket_if_absent(b"new"),
                    lambda: bucket.create_bucket_if_absent(b"bucket"),
                    lambda: bucket.delete_bucket(b"bucket"),
                    lambda: bucket.move_bucket(b"bucket", transaction.root),
                    lambda: bucket.set_sequence(1),
                    bucket.next_sequence,
                    cursor.delete,
                    lambda: transaction.root.create_bucket(b"new"),
                    lambda: transaction.root.delete_bucket(NAME),
                ]
                for operation in operations:
                    expect_refusal(ReadOnlyError, operation, "a reader may not write")
                expect_equal(contents(bucket), before, "a refusal changes nothing")
                expect_equal(bucket.sequence, 5, "a refusal counts nothing")

    def test_a_handle_on_a_deleted_bucket_is_refused(self) -> None:
        """So is one on a bucket that was inside, and a cursor in it."""
        with self.bucket() as bucket:
            inner = bucket.create_bucket(b"inner")
            innermost = inner.create_bucket(b"innermost")
            uses: list[Callable[[], object]] = []
            for handle in (inner, innermost):
                for number in range(5):
                    handle.put(b"key-%d" % number, b"value")
                uses += _all_uses_of(handle)
            bucket.delete_bucket(b"inner")
            bucket.create_bucket(b"inner").put(b"key-1", b"of another bucket")
            for use in uses:
                expect_refusal(
                    BucketNotFoundError, use, "a handle on a deleted bucket is of no use"
                )
            expect_equal(
                contents(bucket),
                {b"inner": {b"key-1": b"of another bucket"}},
                "a handle on a deleted bucket does not reach the one that has its name",
            )

    def test_a_refusal_leaves_the_transaction_of_use(self) -> None:
        """Changes before and after it are committed."""
        with self.engine() as engine:
            with writing(engine) as transaction:
                bucket = transaction.root.create_bucket(NAME)
                _fill(bucket)
                refusals: list[tuple[Callable[[], object], type[EngineError]]] = [
                    (lambda: bucket.put(b"", b""), KeyRequiredError),
                    (lambda: bucket.put(b"bucket", b""), IncompatibleValueError),
                    (lambda: bucket.create_bucket(b"bucket"), BucketExistsError),
                    (lambda: bucket.delete_bucket(b"none"), BucketNotFoundError),
                ]
                for operation, error in refusals:
                    expect_refusal(error, operation, "this is refused")
                bucket.put(b"after", b"2")
                expected = contents(bucket)
                transaction.commit()
            with reading(engine) as reader:
                expect_equal(
                    contents(opened(reader)), expected, "a refusal dooms nothing around it"
                )


def _fill(bucket: Bucket) -> None:
    bucket.put(b"value", b"1")
    bucket.create_bucket(b"bucket").put(b"inside", b"2")


def _uses_of(bucket: Bucket, key: bytes) -> list[Callable[[], object]]:
    return [
        lambda: bucket.put(key, b"value"),
        lambda: bucket.create_bucket(key),
        lambda: bucket.create_bucket_if_absent(key),
    ]


def _all_uses_of(bucket: Bucket) -> list[Callable[[], object]]:
    begun = bucket.items()
    next(begun)
    moves = []
    for move in ("next", "previous", "delete", "first", "last"):
        cursor = bucket.cursor()
        cursor.seek(b"key-2")
        moves.append(getattr(cursor, move))
    return [
        *moves,
        lambda: list(begun),
        lambda: bucket.sequence,
        lambda: bucket.get(b"key-1"),
        lambda: bucket.put(b"key-1", b"value"),
        lambda: bucket.delete(b"key-1"),
        lambda: bucket.bucket(b"innermost"),
        lambda: bucket.create_bucket(b"new"),
        lambda: bucket.create_bucket_if_absent(b"innermost"),
        lambda: bucket.delete_bucket(b"innermost"),
        lambda: bucket.cursor().first(),
        lambda: list(bucket.items()),
        lambda: bucket.set_sequence(1),
        bucket.next_sequence,
    ]


@contextmanager
def _unchanged(suite: Suite) -> Iterator[Bucket]:
    with suite.bucket() as bucket:
        _fill(bucket)
        before = contents(bucket)
        yield bucket
        expect_equal(contents(bucket), before, "a refusal changes nothing")
