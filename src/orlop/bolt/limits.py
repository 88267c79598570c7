"""The limits of bbolt for keys and values, and our own for nesting.

Source: go.etcd.io/bbolt, bucket.go.
"""

from __future__ import annotations

from typing import Final

from orlop.kv.errors import KeyRequiredError, KeyTooLargeError, ValueTooLargeError

MAX_KEY_SIZE: Final = 32768
"""Bytes."""

MAX_VALUE_SIZE: Final = (1 << 31) - 2
"""Bytes."""

MAX_NESTING: Final = 256
"""Maximum nesting of buckets. bbolt has no limit; its Go stack grows, ours does not."""


def check_key(key: bytes) -> None:
    """Raise KeyRequiredError or KeyTooLargeError where a key or a name is out of bounds."""
    if not key:
        raise KeyRequiredError("an empty key or bucket name")
    if len(key) > MAX_KEY_SIZE:
        raise KeyTooLargeError(f"a key of {len(key)} bytes; {MAX_KEY_SIZE} are allowed")


def check_value(value: bytes) -> None:
    """Raise ValueTooLargeError where a value is out of bounds."""
    if len(value) > MAX_VALUE_SIZE:
        raise ValueTooLargeError(f"a value of {len(value)} bytes; {MAX_VALUE_SIZE} are allowed")
