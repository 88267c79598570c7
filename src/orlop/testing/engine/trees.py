"""How every engine reads buckets with all that they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.kv.errors import (
    BucketExistsError,
    IncompatibleValueError,
    KeyRequiredError,
    KeyTooLargeError,
    NestingTooDeepError,
    ReadOnlyError,
    ValueTooLargeError,
)
from orlop.testing.engine.expectations import contents, expect_bucket, expect_equal, expect_refusal
from orlop.testing.engine.store import NAME, Suite, committing, opened, reading, writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.kv.contract import Bucket, Tree
    from orlop.kv.errors import EngineError

_SMALL: Tree = {b"key": b"value", b"labels": {b"a": b"1", b"b": b""}, b"none": {}}
_LARGE: Tree = {
    **{b"key-%05d" % number: b"x" * (number % 90) for number in range(1_000)},
    b"deep": {b"deeper": {b"deepest": {b"key": b"y" * 9_000}}, b"value": b""},
}


class TreeSuite(Suite):
    """Clauses on `tree` and `trees`."""

    def test_a_tree_is_all_that_a_bucket_holds(self) -> None:
        """Small and large, for readers and for writers."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                _fill(bucket)
            for writable in (False, True):
                with writing(engine) if writable else reading(engine) as transaction:
                    bucket = opened(transaction, NAME)
                    expect_equal(bucket.tree(b"small"), _SMALL, "a tree is what is there")
                    expect_equal(bucket.tree(b"large"), _LARGE, "whatever its size")
                    expect_equal(bucket.tree(b"empty"), {}, "an empty bucket is an empty tree")
                    expect_equal(bucket.tree(b"value"), None, "a value is no tree")
                    expect_equal(bucket.tree(b"missing"), None, "nor is what is missing")
                    expect_equal(
                        contents(opened(transaction, NAME, b"large")),
                        _LARGE,
                        "a bucket that was read as a tree can be opened as well",
                    )

    def test_trees_come_in_order_and_from_anywhere(self) -> None:
        """Values are passed over."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                _fill(bucket)
                for number in range(300):
                    bucket.create_bucket(b"n-%03d" % number).put(b"key", b"%d" % number)
            for writable in (False, True):
                with writing(engine) if writable else reading(engine) as transaction:
                    bucket = opened(transaction, NAME)
                    expect_equal(
                        list(bucket.trees()),
                        [
                            (b"empty", {}),
                            (b"large", _LARGE),
                            *(
                                (b"n-%03d" % number, {b"key": b"%d" % number})
                                for number in range(300)
                            ),
                            (b"small", _SMALL),
                        ],
                        "trees come in the order of their names",
                    )
                    expect_equal(
                        [name for name, _ in bucket.trees(b"n-298x")],
                        [b"n-299", b"small"],
                        "they begin with the first name that is not smaller",
                    )
                    expect_equal(list(bucket.trees(b"t")), [], "there may be none")

    def test_a_writer_sees_its_own_trees(self) -> None:
        """Also such as were changed a moment ago, through any handle."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                _fill(bucket)
            with writing(engine) as transaction:
                bucket = opened(transaction, NAME)
                opened(transaction, NAME, b"small", b"labels").put(b"a", b"2")
                opened(transaction, NAME, b"small").delete_bucket(b"none")
                bucket.create_bucket(b"new").put(b"key", b"value")
                after = {b"key": b"value", b"labels": {b"a": b"2", b"b": b""}}
                expect_equal(bucket.tree(b"small"), after, "what was changed is in the tree")
                expect_equal(
                    dict(bucket.trees())[b"new"], {b"key": b"value"}, "so is what was made"
                )

    def test_a_tree_is_created_with_all_it_holds(self) -> None:
        """It reads like items that were put one by one, can be changed, and is durable."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                bucket.create_tree(b"small", _SMALL)
                bucket.create_tree(b"large", dict(reversed(_LARGE.items())))
                bucket.create_tree(b"empty", {})
                expect_equal(bucket.tree(b"small"), _SMALL, "its writer sees a new tree")
                expect_bucket(bucket.bucket(b"empty")).put(b"key", b"value")
                labels = expect_bucket(expect_bucket(bucket.bucket(b"small")).bucket(b"labels"))
                expect_equal(labels.get(b"a"), b"1", "what is in a new tree can be opened")
                labels.put(b"c", b"3")
                expect_equal(labels.sequence, 0, "counters begin with 0")
            with reading(engine) as transaction:
                bucket = opened(transaction, NAME)
                expect_equal(bucket.tree(b"large"), _LARGE, "the order of keys does not matter")
                expect_equal(
                    bucket.tree(b"small"),
                    {**_SMALL, b"labels": {b"a": b"1", b"b": b"", b"c": b"3"}},
                    "a new tree can be changed",
                )
                expect_equal(bucket.tree(b"empty"), {b"key": b"value"}, "an empty one, too")

    def test_a_tree_that_cannot_be_is_refused_whole(self) -> None:
        """Where the name is taken, or something in it is out of bounds."""
        with self.engine() as engine, committing(engine) as bucket:
            bucket.create_bucket(b"there").put(b"key", b"value")
            bucket.put(b"value", b"1")
            before = contents(bucket)
            for name, tree, error in self._refused_trees():
                expect_refusal(
                    error,
                    lambda name=name, tree=tree: bucket.create_tree(name, tree),  # type: ignore[misc]
                    "a tree that cannot be is refused",
                )
                expect_equal(contents(bucket), before, "what is refused changes nothing")

    def _refused_trees(self) -> Iterator[tuple[bytes, Tree, type[EngineError]]]:
        yield b"there", _SMALL, BucketExistsError
        yield b"value", _SMALL, IncompatibleValueError
        yield b"", _SMALL, KeyRequiredError
        yield b"new", {b"a": {b"": b"1"}}, KeyRequiredError
        if self.limits.key_bytes is not None:
            long_key = b"k" * (self.limits.key_bytes + 1)
            yield long_key, _SMALL, KeyTooLargeError
            yield b"new", {b"a": {long_key: b"1"}}, KeyTooLargeError
        if self.limits.value_bytes is not None:
            # Zeros, since the system gives such memory only when it is looked at.
            yield b"new", {b"a": bytes(self.limits.value_bytes + 1)}, ValueTooLargeError
        if self.limits.nesting is not None:
            deep: Tree = {}
            for _ in range(self.limits.nesting):
                deep = {b"inner": deep}
            yield b"new", {b"a": b"1", b"b": deep}, NestingTooDeepError

    def test_a_created_tree_touches_its_bucket(self) -> None:
        """Its ancestors and its nested buckets are not reported."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                bucket.put(b"key", b"value")
            with writing(engine) as transaction:
                opened(transaction, NAME).create_tree(b"small", _SMALL)
                expect_equal(
                    set(transaction.touched), {(NAME, b"small")}, "a created tree is touched"
                )
            with reading(engine) as transaction:
                bucket = opened(transaction, NAME)
                expect_refusal(
                    ReadOnlyError,
                    lambda: bucket.create_tree(b"new", {}),
                    "a reader may not create a tree",
                )


def _fill(bucket: Bucket) -> None:
    bucket.put(b"value", b"1")
    bucket.create_bucket(b"empty")
    for name, tree in ((b"small", _SMALL), (b"large", _LARGE)):
        _put(bucket.create_bucket(name), tree)


def _put(bucket: Bucket, tree: Tree) -> None:
    for key, value in tree.items():
        if isinstance(value, bytes):
            bucket.put(key, value)
        else:
            _put(bucket.create_bucket(key), value)
