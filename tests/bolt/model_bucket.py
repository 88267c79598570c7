"""The simplest thing that behaves like a bucket: a dictionary of values and dictionaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from orlop.bolt.node import Branch

if TYPE_CHECKING:
    from orlop.bolt.bucket import BoltBucket
    from orlop.bolt.node import Node
    from orlop.bolt.transaction import BoltTransaction
    from orlop.kv import Bucket

Model: TypeAlias = "dict[bytes, bytes | Model]"


def contents(bucket: Bucket) -> Model:
    """Read a bucket whole."""
    result: Model = {}
    for key, value in bucket.items():
        if value is None:
            nested = bucket.bucket(key)
            assert nested is not None
            result[key] = contents(nested)
        else:
            result[key] = value
    assert list(result) == sorted(result)
    return result


def assert_sound_trees(transaction: BoltTransaction) -> None:
    """Check the invariants that bbolt's writer relies on: no branch has fewer than two children,
    and every key beside a child is exactly the child's first.
    """
    _assert_bucket(transaction.root, transaction)


def _assert_bucket(bucket: BoltBucket, transaction: BoltTransaction) -> None:
    if bucket.root.keys:
        _first_key(bucket.root, transaction)
    for key, value in bucket.items():
        if value is None:
            nested = bucket.bucket(key)
            assert nested is not None
            _assert_bucket(nested, transaction)


def _first_key(node: Node, transaction: BoltTransaction) -> bytes:
    if isinstance(node, Branch):
        assert len(node.children) > 1
        for key, child in zip(node.keys, node.children, strict=True):
            below = transaction.load(child) if isinstance(child, int) else child
            assert _first_key(below, transaction) == key
    return node.keys[0]
