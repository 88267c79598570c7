"""How every engine moves buckets."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from orlop.kv.errors import BucketExistsError, BucketNotFoundError, IncompatibleValueError
from orlop.testing.engine.expectations import (
    Model,
    contents,
    expect_bucket,
    expect_equal,
    expect_refusal,
)
from orlop.testing.engine.store import Suite, opened, reading, writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.kv.contract import Engine, Transaction
    from orlop.testing.engine.store import Store

_HELD: Model = {
    **{b"key-%04d" % number: b"x" * 40 for number in range(200)},
    b"inner": {b"deep": b"value"},
}


class MovingSuite(Suite):
    """Clauses on `move_bucket`."""

    def test_a_bucket_moves_with_all_it_holds(self) -> None:
        """Values, buckets and counters; for good."""
        after: Model = {b"source": {}, b"target": {b"moved": _HELD, b"plain": b"value"}}
        with _prepared(self) as (store, engine):
            with writing(engine) as transaction:
                opened(transaction, b"source").move_bucket(b"moved", opened(transaction, b"target"))
                expect_equal(contents(transaction.root), after, "a bucket moves with all it holds")
                transaction.commit()
            engine.close()
            with closing(store.open()) as again, reading(again) as reader:
                expect_equal(contents(reader.root), after, "a move is kept")
                expect_equal(
                    [
                        opened(reader, b"target", b"moved").sequence,
                        opened(reader, b"target", b"moved", b"inner").sequence,
                    ],
                    [7, 8],
                    "counters move along",
                )

    def test_a_bucket_moves_to_and_from_the_outermost_one(self) -> None:
        """Which is a bucket like any other in this."""
        with _prepared(self) as (_, engine), writing(engine) as transaction:
            target = opened(transaction, b"target")
            transaction.root.move_bucket(b"source", target)
            opened(transaction, b"target", b"source").move_bucket(b"moved", transaction.root)
            expect_equal(
                contents(transaction.root),
                {b"moved": _HELD, b"target": {b"plain": b"value", b"source": {}}},
                "the outermost bucket takes and gives",
            )

    def test_handles_on_a_moved_bucket_stay_good(self) -> None:
        """Handles from before and after the move: their changes are kept."""
        with _prepared(self) as (_, engine):
            with writing(engine) as transaction:
                moved = opened(transaction, b"source", b"moved")
                inner = expect_bucket(moved.bucket(b"inner"))
                inner.put(b"before", b"1")
                target = opened(transaction, b"target")
                opened(transaction, b"source").move_bucket(b"moved", target)
                moved.put(b"key-after", b"2")
                inner.put(b"after", b"3")
                moved.next_sequence()
                found = opened(transaction, b"target", b"moved")
                expect_equal(found.get(b"key-after"), b"2", "a handle stays good")
                found.put(b"key-last", b"4")
                expect_equal(moved.get(b"key-last"), b"4", "old and new handles see the same")
                transaction.commit()
            with reading(engine) as reader:
                bucket = opened(reader, b"target", b"moved")
                expect_equal(
                    contents(bucket),
                    {
                        **_HELD,
                        b"inner": {b"after": b"3", b"before": b"1", b"deep": b"value"},
                        b"key-after": b"2",
                        b"key-last": b"4",
                    },
                    "what handles change before and after a move is kept",
                )
                expect_equal(bucket.sequence, 8, "so is what they count")

    def test_a_bucket_moves_there_and_back(self) -> None:
        """In one transaction, and a new one can take its name meanwhile."""
        with _prepared(self) as (_, engine):
            with writing(engine) as transaction:
                before = contents(transaction.root)
                source, target = opened(transaction, b"source"), opened(transaction, b"target")
                source.move_bucket(b"moved", target)
                source.create_bucket(b"moved").put(b"key", b"of the new one")
                source.delete_bucket(b"moved")
                target.move_bucket(b"moved", source)
                expect_equal(contents(transaction.root), before, "there and back is as before")
                source.move_bucket(b"moved", target)
                target.delete_bucket(b"moved")
                transaction.commit()
            with reading(engine) as reader:
                expect_equal(
                    contents(reader.root),
                    {b"source": {}, b"target": {b"plain": b"value"}},
                    "what was moved can be deleted",
                )

    def test_a_rollback_takes_a_move_back(self) -> None:
        """Like any other change."""
        with _prepared(self) as (_, engine):
            with writing(engine) as transaction:
                before = contents(transaction.root)
                opened(transaction, b"source").move_bucket(b"moved", opened(transaction, b"target"))
            with reading(engine) as reader:
                expect_equal(contents(reader.root), before, "a rollback takes a move back")

    def test_what_cannot_move_is_refused(self) -> None:
        """A missing bucket, and a value."""
        with _unchanged(self) as transaction:
            source, target = opened(transaction, b"source"), opened(transaction, b"target")
            expect_refusal(
                BucketNotFoundError, lambda: source.move_bucket(b"none", target), "it is missing"
            )
            expect_refusal(
                IncompatibleValueError,
                lambda: target.move_bucket(b"plain", source),
                "a value does not move",
            )

    def test_a_move_to_a_name_that_is_taken_is_refused(self) -> None:
        """By a bucket or by a value."""
        with self.engine() as engine, writing(engine) as transaction:
            source = transaction.root.create_bucket(b"source")
            target = transaction.root.create_bucket(b"target")
            for name in (b"bucket", b"value"):
                source.create_bucket(name).put(b"inside", name)
            target.create_bucket(b"bucket").put(b"other", b"1")
            target.put(b"value", b"2")
            before = contents(transaction.root)
            expect_refusal(
                BucketExistsError,
                lambda: source.move_bucket(b"bucket", target),
                "a bucket has the name",
            )
            expect_refusal(
                IncompatibleValueError,
                lambda: source.move_bucket(b"value", target),
                "a value has the name",
            )
            expect_equal(contents(transaction.root), before, "a refusal changes nothing")

    def test_a_move_into_itself_is_refused(self) -> None:
        """To its own parent, into itself, and into its nested buckets."""
        with _unchanged(self) as transaction:
            source = opened(transaction, b"source")
            moved = opened(transaction, b"source", b"moved")
            inner = opened(transaction, b"source", b"moved", b"inner")
            for target in (source, moved, inner):
                expect_refusal(
                    IncompatibleValueError,
                    lambda target=target: source.move_bucket(b"moved", target),  # type: ignore[misc]
                    "a bucket moves neither into itself nor to where it lies",
                )

    def test_a_move_into_another_transaction_is_refused(self) -> None:
        """A bucket stays in its own."""
        with _prepared(self) as (_, engine), reading(engine) as other:
            with writing(engine) as transaction:
                source, target = opened(transaction, b"source"), opened(other, b"target")
                before = contents(transaction.root)
                expect_refusal(
                    IncompatibleValueError,
                    lambda: source.move_bucket(b"moved", target),
                    "a bucket does not leave its transaction",
                )
                expect_equal(contents(transaction.root), before, "a refusal changes nothing")
            expect_equal(opened(other, b"target").get(b"plain"), b"value", "nor does a reader")


@contextmanager
def _prepared(suite: Suite) -> Iterator[tuple[Store, Engine]]:
    with suite.store() as store, closing(store.open()) as engine:
        with writing(engine) as transaction:
            source = transaction.root.create_bucket(b"source")
            moved = source.create_bucket(b"moved")
            moved.set_sequence(7)
            for key, value in _HELD.items():
                if isinstance(value, bytes):
                    moved.put(key, value)
            inner = moved.create_bucket(b"inner")
            inner.put(b"deep", b"value")
            inner.set_sequence(8)
            transaction.root.create_bucket(b"target").put(b"plain", b"value")
            transaction.commit()
        yield store, engine


@contextmanager
def _unchanged(suite: Suite) -> Iterator[Transaction]:
    with _prepared(suite) as (_, engine), writing(engine) as transaction:
        before = contents(transaction.root)
        yield transaction
        expect_equal(contents(transaction.root), before, "a refusal changes nothing")
