"""Counts of the cases that a campaign tried, printed at the end of the run.

A count is a property of the test, so that it finds its way from the workers of a parallel run.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

PROPERTY = "campaign"


class Tally:
    """The counts of one test."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._began = time.monotonic()

    def add(self, what: str, count: int = 1) -> None:
        """Add `count` to the count of `what`."""
        self.counts[what] = self.counts.get(what, 0) + count

    def as_property(self, campaign: str) -> dict[str, object]:
        """Return the counts as a property for the summary of the run."""
        seconds = time.monotonic() - self._began
        return {"campaign": campaign, "counts": self.counts, "seconds": seconds}


def summary(reports: Iterable[pytest.TestReport]) -> Iterator[str]:
    """Iterate over the lines with the counts of all tests of a run."""
    counts: dict[str, dict[str, int]] = {}
    seconds: dict[str, float] = {}
    for report in reports:
        for name, value in report.user_properties:
            if name == PROPERTY and report.when == "teardown" and isinstance(value, dict):
                campaign = str(value["campaign"])
                seconds[campaign] = seconds.get(campaign, 0) + value["seconds"]
                of_campaign = counts.setdefault(campaign, {})
                for what, count in value["counts"].items():
                    of_campaign[what] = of_campaign.get(what, 0) + count
    for campaign in sorted(counts):
        tried = ", ".join(f"{count:,.0f} {what}" for what, count in counts[campaign].items())
        yield f"{campaign}: {tried or 'nothing'} ({seconds[campaign]:,.0f} s)"
