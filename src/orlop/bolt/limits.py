"""The limits of bbolt for keys and values, and our own for nesting.

Source: go.etcd.io/bbolt, bucket.go.
"""

from __future__ import annotations

from typing import Final

from orlop.kv.errors import KeyRequiredError, KeyTooLargeError, ValueTooLargeError

KEY_SIZE_MAX: Final = 32768
"""Bytes."""

VALUE_SIZE_MAX: Final = (1 << 31) - 2
"""Bytes."""

NESTING_MAX: Final = 256
"""How many buckets a bucket may lie in. bbolt has no limit; its Go stack grows, ours does not."""


def check_key(key: bytes) -> None:
    """Raise KeyRequiredError or KeyTooLargeError where a key or a name is out of bounds."""
    if not key:
        raise KeyRequiredError("an empty key or bucket name")
    if len(key) > KEY_SIZE_MAX:
        raise KeyTooLargeError(f"a key of {len(key)} bytes; {KEY_SIZE_MAX} are allowed")


def check_value(value: bytes) -> None:
    """Raise ValueTooLargeError where a value is out of bounds."""
    if len(value) > VALUE_SIZE_MAX:
        raise ValueTooLargeError(f"a value of {len(value)} bytes; {VALUE_SIZE_MAX} are allowed")
