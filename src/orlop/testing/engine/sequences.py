"""How every engine's buckets count."""

from __future__ import annotations

from contextlib import closing

from orlop.testing.engine.expectations import expect_equal
from orlop.testing.engine.store import NAME, Suite, committing, opened, reading, writing

_GREATEST = (1 << 64) - 1


class SequenceSuite(Suite):
    """Clauses on the counter of a bucket."""

    def test_a_new_bucket_counts_from_one(self) -> None:
        """Its counter is 0, and the first number that it gives is 1."""
        with self.bucket() as bucket:
            expect_equal(bucket.sequence, 0, "a new bucket has counted nothing")
            numbers = [bucket.next_sequence() for _ in range(3)]
            expect_equal(numbers, [1, 2, 3], "next_sequence raises the counter and returns it")
            expect_equal(bucket.sequence, 3, "the counter stays where it was raised to")

    def test_a_counter_can_be_set(self) -> None:
        """Up and down; it goes on from there."""
        with self.bucket() as bucket:
            for value in (1000, 7, 0):
                bucket.set_sequence(value)
                expect_equal(bucket.sequence, value, "a counter is what it was set to")
                expect_equal(bucket.next_sequence(), value + 1, "and goes on from there")

    def test_a_counter_has_64_bits(self) -> None:
        """All of them, without a sign, and begins at 0 again after the last."""
        with self.engine() as engine:
            for value in (1 << 31, 1 << 32, 1 << 53, 1 << 63, _GREATEST):
                with committing(engine) as bucket:
                    bucket.set_sequence(value - 1)
                    expect_equal(bucket.next_sequence(), value, "a counter has 64 bits")
                with reading(engine) as transaction:
                    expect_equal(opened(transaction).sequence, value, "a counter has 64 bits")
            with writing(engine) as transaction:
                expect_equal(opened(transaction).next_sequence(), 0, "after the greatest comes 0")

    def test_each_bucket_counts_for_itself(self) -> None:
        """The outermost, its neighbours, and those inside."""
        with self.engine() as engine:
            with writing(engine) as transaction:
                transaction.root.set_sequence(1)
                bucket = transaction.root.create_bucket(NAME)
                bucket.set_sequence(2)
                bucket.create_bucket(b"inner").set_sequence(3)
                transaction.root.create_bucket(b"neighbour").set_sequence(4)
                transaction.commit()
            with reading(engine) as reader:
                found = [
                    reader.root.sequence,
                    opened(reader).sequence,
                    opened(reader, NAME, b"inner").sequence,
                    opened(reader, b"neighbour").sequence,
                ]
                expect_equal(found, [1, 2, 3, 4], "each bucket counts for itself")

    def test_a_counter_is_kept_over_commit_and_reopening(self) -> None:
        """Also if it is the only change, or one among other changes."""
        with self.store() as store:
            with closing(store.open()) as engine:
                with committing(engine) as bucket:
                    bucket.put(b"key", b"value")
                with committing(engine) as bucket:
                    bucket.next_sequence()
                with committing(engine) as bucket:
                    bucket.put(b"large", b"x" * 10_000)
                    expect_equal(bucket.sequence, 1, "a commit keeps the counter")
            with closing(store.open()) as engine, writing(engine) as transaction:
                expect_equal(opened(transaction).next_sequence(), 2, "it is kept over reopening")

    def test_the_outermost_bucket_can_be_all_that_counts(self) -> None:
        """Its counter is kept where nothing else has changed, nor ever was there."""
        with self.store() as store:
            for number in range(1, 4):
                with closing(store.open()) as engine, writing(engine) as transaction:
                    expect_equal(transaction.root.next_sequence(), number, "it is kept")
                    transaction.commit()

    def test_a_rollback_takes_the_counter_back(self) -> None:
        """Like any other change."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                bucket.set_sequence(5)
            with writing(engine) as transaction:
                opened(transaction).next_sequence()
            with reading(engine) as reader:
                expect_equal(opened(reader).sequence, 5, "a rollback takes the counter back")
