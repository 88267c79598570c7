"""How every engine says where a transaction has changed something."""

from __future__ import annotations

from orlop.testing.engine.expectations import expect_bucket, expect_equal
from orlop.testing.engine.store import NAME, Suite, committing, opened, reading, writing


class TouchingSuite(Suite):
    """Clauses on `touched`."""

    def test_values_touch_their_bucket(self) -> None:
        """One that is put, replaced or deleted, also through a cursor; but not one that is read."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                for name in (b"a", b"b", b"c", b"d"):
                    bucket.create_bucket(name).put(b"key", b"value")
            with writing(engine) as transaction:
                expect_equal(set(transaction.touched), set(), "a writer begins with nothing")
                opened(transaction, NAME, b"a").put(b"new", b"value")
                opened(transaction, NAME, b"b").delete(b"key")
                cursor = opened(transaction, NAME, b"c").cursor()
                cursor.first()
                cursor.delete()
                expect_bucket(opened(transaction, NAME).bucket(b"d")).get(b"key")
                expect_equal(
                    set(transaction.touched),
                    {(NAME, b"a"), (NAME, b"b"), (NAME, b"c")},
                    "what is put or deleted touches its bucket",
                )
                transaction.commit()
                expect_equal(len(transaction.touched), 3, "it is said after the commit as well")
            with reading(engine) as reader:
                opened(reader, NAME, b"a").get(b"new")
                expect_equal(set(reader.touched), set(), "a reader touches nothing")

    def test_buckets_touch_themselves(self) -> None:
        """One that is created or deleted, repeatedly; its parent is not touched by that."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                bucket.create_bucket(b"old").create_bucket(b"inner").put(b"key", b"value")
            with writing(engine) as transaction:
                bucket = opened(transaction, NAME)
                bucket.create_bucket(b"new")
                bucket.delete_bucket(b"old")
                bucket.create_bucket_if_absent(b"new")
                expect_equal(
                    set(transaction.touched),
                    {(NAME, b"new"), (NAME, b"old")},
                    "what is made or deleted is touched",
                )
                bucket.create_bucket(b"old").create_bucket(b"other").put(b"key", b"value")
                expect_equal(
                    set(transaction.touched),
                    {(NAME, b"new"), (NAME, b"old"), (NAME, b"old", b"other")},
                    "one that is made anew is touched, and so is what is made inside",
                )

    def test_a_moved_bucket_touches_both_places(self) -> None:
        """Later changes inside it touch the new path, through any handle."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                bucket.create_bucket(b"source").create_bucket(b"moved").create_bucket(b"inner")
                bucket.create_bucket(b"target")
            with writing(engine) as transaction:
                source = opened(transaction, NAME, b"source")
                target = opened(transaction, NAME, b"target")
                inner = opened(transaction, NAME, b"source", b"moved", b"inner")
                source.move_bucket(b"moved", target)
                places = {(NAME, b"source", b"moved"), (NAME, b"target", b"moved")}
                expect_equal(set(transaction.touched), places, "a move touches both places")
                inner.put(b"key", b"value")
                expect_equal(
                    set(transaction.touched),
                    places | {(NAME, b"target", b"moved", b"inner")},
                    "a handle touches where its bucket lies now",
                )
