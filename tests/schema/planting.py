"""Buckets as nested dictionaries: plain to compare, and plain to write down."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orlop.kv import Bucket

Tree: TypeAlias = "dict[str, bytes | Tree]"


def tree(bucket: Bucket) -> Tree:
    """Return the contents of a bucket; keys are text, a nested bucket is a dictionary."""
    result: Tree = {}
    for key, value in bucket.items():
        nested = bucket.bucket(key) if value is None else None
        result[key.decode()] = (value or b"") if nested is None else tree(nested)
    return result


def plant(bucket: Bucket, contents: Mapping[str, object]) -> None:
    """Put a dictionary of `bytes` and dictionaries into a bucket."""
    for key, value in contents.items():
        if isinstance(value, bytes):
            bucket.put(key.encode(), value)
        elif isinstance(value, dict):
            plant(bucket.create_bucket_if_absent(key.encode()), value)


def branch(whole: Tree, *path: str) -> Tree:
    """Return the bucket at `path`."""
    for name in path:
        below = whole[name]
        assert isinstance(below, dict)
        whole = below
    return whole
