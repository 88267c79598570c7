"""How long something takes."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PASSES = 5
"""How often a short measurement is repeated within one process."""

STRIDE = 7919
"""A prime, so that steps of this size visit all objects without any order."""


def each(count: int, call: Callable[[int], object]) -> float:
    """Return the seconds that one of `count` calls takes."""
    begun = perf_counter()
    for number in range(count):
        call(number)
    return (perf_counter() - begun) / count


def timed(count: int, call: Callable[[], object]) -> float:
    """Return the seconds that one of `count` operations takes, all of them done by one call."""
    begun = perf_counter()
    call()
    return (perf_counter() - begun) / count
