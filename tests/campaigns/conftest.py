"""Fixtures of the campaigns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from campaigns.tally import PROPERTY, Tally
from differential.conftest import metadata_driver
from real.conftest import bbolt, session_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["bbolt", "metadata_driver", "session_folder"]


@pytest.fixture
def tally(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Iterator[Tally]:
    """Return a tally of the cases that a test tries, for the summary of the run."""
    tally = Tally()
    yield tally
    campaign = request.node.path.stem.removeprefix("test_").removesuffix("_campaign")
    record_property(PROPERTY, tally.as_property(campaign))
