"""Faults that are known, and what is left out until they are mended."""

from __future__ import annotations

from typing import Final

OFF: Final[dict[str, str]] = {
    "child": "a forked child keeps the lock of its parent",
    "process: birth": "a root whose birth is killed is in doubt",
}
"""What is left out, with the reason: faults that are known and not mended yet."""

CRASHES: Final[dict[str, str]] = {
    "_is_below": "frames of threads are walked while these run on, which CPython does not allow",
    "_is_above": "frames of threads are walked while these run on, which CPython does not allow",
}
"""Functions in which the interpreter itself is known to crash; that is counted, not a failure."""


def is_known_crash(failure: str) -> bool:
    return any(name in failure for name in CRASHES)
