"""Assertions of the suite as functions, so that it runs under any runner, and under `-O`.

Each failure is an AssertionError whose message says which clause does not hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from orlop.kv.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.kv.contract import Bucket

Model: TypeAlias = "dict[bytes, bytes | Model]"
"""A bucket as a dictionary: values, and dictionaries for the buckets inside."""

_MAX_SHOWN_CHARACTERS = 300


def expect_equal(actual: object, expected: object, clause: str) -> None:
    """Raise AssertionError unless the two are equal, and of one type where that shows."""
    if actual != expected or (actual is None) != (expected is None):
        raise AssertionError(f"{clause}: {_shown(actual)} instead of {_shown(expected)}")


def expect_refusal(error: type[EngineError], operation: Callable[[], object], clause: str) -> None:
    """Raise AssertionError unless `operation` raises `error`."""
    try:
        result = operation()
    except error:
        return
    except EngineError as other:
        raise AssertionError(f"{clause}: {other!r} instead of {error.__name__}") from other
    raise AssertionError(f"{clause}: {_shown(result)} instead of {error.__name__}")


def expect_bucket(bucket: Bucket | None) -> Bucket:
    """Return the bucket; raise AssertionError where there is none."""
    if bucket is None:
        raise AssertionError("a bucket that was made is not there")
    return bucket


def contents(bucket: Bucket) -> Model:
    """Read a bucket whole."""
    result: Model = {}
    for key, value in bucket.items():
        result[key] = contents(expect_bucket(bucket.bucket(key))) if value is None else value
    return result


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[:_MAX_SHOWN_CHARACTERS]}…"
