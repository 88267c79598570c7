"""How far a campaign goes: a few seeds in every run of the tests, many when asked for.

The environment variable ORLOP_CAMPAIGN says which: `long` for the long form of every campaign,
`FIRST:COUNT` for COUNT seeds from FIRST on. A seed stands for the same work in each form, so
that a failure in a long run is repeated by its seed alone.
"""

from __future__ import annotations

import os

WISH = "ORLOP_CAMPAIGN"


def is_long() -> bool:
    """Whether the long form of a campaign is wanted."""
    return os.environ.get(WISH, "") == "long"


def seeds(*, short: int, long: int) -> range:
    """Return the seeds to go through.

    Args:
        short: how many of them a run of all tests takes.
        long: how many the long form takes.
    """
    wish = os.environ.get(WISH, "")
    if not wish:
        return range(short)
    if wish == "long":
        return range(long)
    first, _, count = wish.partition(":")
    return range(int(first), int(first) + int(count or 1))
