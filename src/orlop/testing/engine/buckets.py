"""The contract of buckets: values, names, order, nesting."""

from __future__ import annotations

import random
from contextlib import closing

from orlop.kv.errors import NestingTooDeepError
from orlop.testing.engine.expectations import (
    Model,
    contents,
    expect_bucket,
    expect_equal,
    expect_refusal,
)
from orlop.testing.engine.store import NAME, Suite, committing, opened, reading, writing

_DEPTH = 100


class BucketSuite(Suite):
    """Clauses on values and on nested buckets."""

    def test_a_new_database_is_empty(self) -> None:
        """It holds no bucket, and its outermost one has counted nothing."""
        with self.engine() as engine, reading(engine) as transaction:
            expect_equal(list(transaction.root.items()), [], "a new database is empty")
            expect_equal(transaction.root.sequence, 0, "a new database has counted nothing")

    def test_a_value_is_returned_as_it_was_put(self) -> None:
        """Any bytes are kept."""
        every_byte = bytes(range(256))
        with self.bucket() as bucket:
            for value in (every_byte, b"\0", b"\0" * 100, b"\xff\xfe", b"a" * 5000):
                bucket.put(b"key", value)
                expect_equal(bucket.get(b"key"), value, "a value is what was put")
            bucket.put(every_byte, b"value")
            expect_equal(bucket.get(every_byte), b"value", "a key may hold any byte")

    def test_an_empty_value_is_a_value(self) -> None:
        """It is told from a missing one and from a bucket."""
        with self.bucket() as bucket:
            bucket.put(b"key", b"")
            expect_equal(bucket.get(b"key"), b"", "an empty value is there")
            expect_equal(list(bucket.items()), [(b"key", b"")], "an empty value is an item")

    def test_a_put_replaces_the_value(self) -> None:
        """By a longer, a shorter and an equal one."""
        with self.bucket() as bucket:
            for value in (b"one", b"x" * 3000, b"", b"two", b"two"):
                bucket.put(b"key", value)
                expect_equal(list(bucket.items()), [(b"key", value)], "the last put counts")

    def test_a_deleted_value_is_gone(self) -> None:
        """And only that one."""
        with self.bucket() as bucket:
            for key in (b"a", b"b", b"c"):
                bucket.put(key, b"value")
            bucket.delete(b"b")
            expect_equal(bucket.get(b"b"), None, "a deleted value is gone")
            expect_equal(
                list(bucket.items()),
                [(b"a", b"value"), (b"c", b"value")],
                "deleting one value leaves the others",
            )

    def test_deleting_what_is_not_there_does_nothing(self) -> None:
        """Neither an error nor a change."""
        with self.bucket() as bucket:
            bucket.delete(b"none")
            bucket.put(b"key", b"value")
            for key in (b"ke", b"keys", b"a", b"z", b""):
                bucket.delete(key)
            expect_equal(contents(bucket), {b"key": b"value"}, "nothing was there to delete")

    def test_a_name_stands_for_a_value_or_for_a_bucket(self) -> None:
        """Each is found as its own kind only, and a missing name as neither."""
        with self.bucket() as bucket:
            bucket.put(b"value", b"1")
            bucket.create_bucket(b"bucket")
            expect_equal(bucket.get(b"bucket"), None, "a bucket is no value")
            expect_equal(bucket.bucket(b"value"), None, "a value is no bucket")
            for name in (b"none", b"", b"bucke", b"buckets"):
                expect_equal(bucket.get(name), None, "what is missing is no value")
                expect_equal(bucket.bucket(name), None, "what is missing is no bucket")

    def test_items_name_values_and_buckets(self) -> None:
        """A bucket's item has no value."""
        with self.bucket() as bucket:
            bucket.put(b"b", b"1")
            bucket.create_bucket(b"a").put(b"inside", b"2")
            bucket.create_bucket(b"c")
            expect_equal(
                list(bucket.items()),
                [(b"a", None), (b"b", b"1"), (b"c", None)],
                "the item of a bucket has None in the place of a value",
            )

    def test_keys_are_ordered_bytewise(self) -> None:
        """As unsigned bytes, a prefix first, regardless of any text encoding."""
        keys = [b"\0", b"\0\0", b"\0\1", b"\1", b"A", b"Z", b"a", b"a\0", b"aa", b"b"]
        keys += [b"\x7f", b"\x80", "ä".encode(), b"\xfe\xff", b"\xff", b"\xff\xff"]
        shuffled = random.Random(1).sample(keys, len(keys))  # noqa: S311 (a repeatable order)
        with self.bucket() as bucket:
            for number, key in enumerate(shuffled):
                if number % 3:
                    bucket.put(key, b"value")
                else:
                    bucket.create_bucket(key)
            expect_equal([key for key, _ in bucket.items()], keys, "keys are ordered bytewise")

    def test_many_values_of_all_sizes_are_kept(self) -> None:
        """Put and deleted in any order, over several transactions and a reopening."""
        chance = random.Random(2)  # noqa: S311 (a repeatable order)
        model: Model = {}
        with self.store() as store:
            with closing(store.open()) as engine:
                for _ in range(4):
                    with committing(engine) as bucket:
                        for _ in range(400):
                            key = b"key-%d" % chance.randrange(900)
                            if chance.choice((True, True, False, False, False)):
                                bucket.delete(key)
                                model.pop(key, None)
                            else:
                                value = chance.randbytes(chance.choice((0, 5, 90, 700, 5000)))
                                bucket.put(key, value)
                                model[key] = value
                        expect_equal(contents(bucket), model, "a writer finds what it has put")
            with closing(store.open()) as engine, reading(engine) as transaction:
                expect_equal(contents(opened(transaction)), model, "what was put is kept")

    def test_the_longest_key_is_kept(self) -> None:
        """As a key and as the name of a bucket, beside keys of the same length."""
        length = self.limits.key_bytes or 32_768
        keys = [b"k" * (length - 1) + bytes([last]) for last in (1, 2, 3)]
        with self.engine() as engine:
            with committing(engine) as bucket:
                bucket.put(keys[0], b"first")
                bucket.create_bucket(keys[1]).put(keys[0], b"inside")
                bucket.put(keys[2], b"third")
            with reading(engine) as transaction:
                expect_equal(
                    contents(opened(transaction)),
                    {keys[0]: b"first", keys[1]: {keys[0]: b"inside"}, keys[2]: b"third"},
                    f"keys of {length} bytes are kept",
                )

    def test_a_large_value_is_kept(self) -> None:
        """Of four megabytes, beside a small one."""
        value = random.Random(3).randbytes(4_000_001)  # noqa: S311 (repeatable bytes)
        with self.engine() as engine:
            with committing(engine) as bucket:
                bucket.put(b"large", value)
                bucket.put(b"small", b"1")
            with reading(engine) as transaction:
                bucket = opened(transaction)
                expect_equal(bucket.get(b"large"), value, "a large value is kept")
                expect_equal(bucket.get(b"small"), b"1", "so is a small one beside it")

    def test_a_created_bucket_is_empty_and_found(self) -> None:
        """By its name, and it is another one than that around it."""
        with self.bucket() as bucket:
            bucket.put(b"key", b"outside")
            inner = bucket.create_bucket(b"inner")
            expect_equal(list(inner.items()), [], "a created bucket is empty")
            inner.put(b"key", b"inside")
            expect_equal(
                contents(bucket),
                {b"inner": {b"key": b"inside"}, b"key": b"outside"},
                "the same key in two buckets is two keys",
            )

    def test_create_bucket_if_absent_returns_what_is_there(self) -> None:
        """Or makes it where nothing is."""
        with self.bucket() as bucket:
            bucket.create_bucket_if_absent(b"inner").put(b"key", b"value")
            again = bucket.create_bucket_if_absent(b"inner")
            expect_equal(again.get(b"key"), b"value", "what is there is returned as it is")
            expect_equal(contents(bucket), {b"inner": {b"key": b"value"}}, "and only once")

    def test_two_handles_on_one_bucket_see_the_same(self) -> None:
        """A writing transaction sees its own changes, through whichever handle."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                bucket.create_bucket(b"inner").put(b"key", b"before")
            with writing(engine) as transaction:
                first = opened(transaction, NAME, b"inner")
                second = opened(transaction, NAME, b"inner")
                first.put(b"key", b"after")
                first.create_bucket(b"new").put(b"deep", b"1")
                expect_equal(
                    contents(second),
                    {b"key": b"after", b"new": {b"deep": b"1"}},
                    "two handles on one bucket see the same",
                )

    def test_a_deleted_bucket_is_gone_with_all_it_holds(self) -> None:
        """Created in this transaction or in an earlier one; other buckets stay."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                for name in (b"first", b"second"):
                    outer = bucket.create_bucket(name)
                    for number in range(300):
                        outer.put(b"key-%d" % number, b"x" * 50)
                    outer.create_bucket(b"inner").put(b"deep", b"value")
                bucket.delete_bucket(b"first")
                expect_equal(bucket.bucket(b"first"), None, "a deleted bucket is gone")
            with committing(engine) as bucket:
                bucket.delete_bucket(b"second")
                bucket.put(b"left", b"1")
                expect_equal(contents(bucket), {b"left": b"1"}, "a deleted bucket is gone")
            with reading(engine) as transaction:
                expect_equal(contents(opened(transaction)), {b"left": b"1"}, "for good")

    def test_a_bucket_that_is_made_again_is_empty(self) -> None:
        """Nothing of the one before it shows."""
        with self.bucket() as bucket:
            inner = bucket.create_bucket(b"inner")
            inner.put(b"key", b"value")
            inner.set_sequence(7)
            bucket.delete_bucket(b"inner")
            again = bucket.create_bucket(b"inner")
            expect_equal(list(again.items()), [], "a bucket that is made again is empty")
            expect_equal(again.sequence, 0, "a bucket that is made again begins to count anew")

    def test_a_name_can_become_the_other_kind(self) -> None:
        """After the value or bucket of that name was deleted."""
        with self.bucket() as bucket:
            bucket.put(b"name", b"value")
            bucket.delete(b"name")
            bucket.create_bucket(b"name")
            expect_equal(contents(bucket), {b"name": {}}, "a value's name for a bucket")
            bucket.delete_bucket(b"name")
            bucket.put(b"name", b"value")
            expect_equal(contents(bucket), {b"name": b"value"}, "a bucket's name for a value")

    def test_many_buckets_are_kept(self) -> None:
        """Side by side, small and not so small."""
        model: Model = {}
        with self.engine() as engine:
            with committing(engine) as bucket:
                for number in range(300):
                    name, value = b"bucket-%d" % number, b"x" * (number * 7 % 900)
                    bucket.create_bucket(name).put(b"key", value)
                    model[name] = {b"key": value}
            with reading(engine) as transaction:
                expect_equal(contents(opened(transaction)), model, "many buckets are kept")

    def test_buckets_nest_a_hundred_deep(self) -> None:
        """Across a commit, and are deleted as one."""
        names = [b"%d" % depth for depth in range(_DEPTH)]
        with self.engine() as engine:
            with writing(engine) as transaction:
                bucket = transaction.root
                for name in names:
                    bucket = bucket.create_bucket(name)
                    bucket.put(b"filler", b"x" * 200)
                bucket.put(b"deepest", b"here")
                transaction.commit()
            with writing(engine) as transaction:
                bucket = opened(transaction, *names)
                expect_equal(bucket.get(b"deepest"), b"here", "buckets nest a hundred deep")
                bucket.put(b"deepest", b"changed")
                transaction.commit()
            with writing(engine) as transaction:
                bucket = opened(transaction, *names)
                expect_equal(bucket.get(b"deepest"), b"changed", "and change there")
                transaction.root.delete_bucket(names[0])
                transaction.commit()
            with reading(engine) as transaction:
                expect_equal(contents(transaction.root), {}, "and go as one")

    def test_a_bucket_deeper_than_the_limit_is_refused(self) -> None:
        """Where the engine has a limit; the deepest that it allows is of use."""
        if self.limits.nesting is None:
            return
        with self.engine() as engine, writing(engine) as transaction:
            movable = transaction.root.create_bucket(NAME)
            movable.create_bucket(b"inner")
            bucket = transaction.root
            for _ in range(self.limits.nesting):
                bucket = bucket.create_bucket(b"deeper")
            deepest = bucket
            for operation in (deepest.create_bucket, deepest.create_bucket_if_absent):
                expect_refusal(NestingTooDeepError, lambda make=operation: make(b"x"), "too deep")  # type: ignore[misc]
            expect_refusal(
                NestingTooDeepError, lambda: movable.move_bucket(b"inner", deepest), "too deep"
            )
            deepest.put(b"key", b"value")
            transaction.commit()
            with reading(engine) as reader:
                bucket = reader.root
                for _ in range(self.limits.nesting):
                    bucket = expect_bucket(bucket.bucket(b"deeper"))
                expect_equal(list(bucket.items()), [(b"key", b"value")], "the deepest holds values")
