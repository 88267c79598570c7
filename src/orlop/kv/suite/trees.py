"""How every engine reads buckets with all that they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.kv.suite.expectations import contents, expect_equal
from orlop.kv.suite.store import NAME, Suite, committing, opened, reading, writing

if TYPE_CHECKING:
    from orlop.kv.contract import Bucket, Tree

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
