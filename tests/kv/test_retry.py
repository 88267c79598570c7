"""Disturbed reads are retried, a limited number of times."""

from __future__ import annotations

import pytest

from orlop.kv import FileBusyError, StaleReadError, read_again


class Reading:
    """A reading that is disturbed so many times."""

    def __init__(self, disturbances: int, error: type[StaleReadError] = StaleReadError) -> None:
        self.left = disturbances
        self.calls = 0
        self.error = error

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error("changed")
        return "read"


def test_a_reading_is_repeated_until_it_counts() -> None:
    reading = Reading(3)
    assert read_again(reading) == "read"
    assert reading.calls == 4


def test_a_reading_is_given_up() -> None:
    reading = Reading(100)
    with pytest.raises(StaleReadError):
        read_again(reading, attempts=3)
    assert reading.calls == 3


def test_a_file_that_is_too_busy_is_not_read_again() -> None:
    reading = Reading(100, FileBusyError)
    with pytest.raises(FileBusyError):
        read_again(reading)
    assert reading.calls == 1
