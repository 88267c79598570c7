"""Which tests `make check` leaves out because they take long: measured, and kept in a list.

`make slow-tests` runs all that it considers, and writes the list again: the test functions whose
cases together take the most processor time, until the rest of them fits into the bound.
"""

from __future__ import annotations

from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest

LIST: Final = Path(__file__).with_suffix(".txt")
PROPERTY: Final = "processor seconds"

SECONDS_MAX: Final = 50.0
"""What all tests together may take that are not in the list, in processor time."""

FOLDERS: Final[Mapping[str, str]] = {
    "benchmarking": "slow",
    "campaigns": "campaign",
}
"""The marks of all tests in a folder."""


def listed() -> frozenset[str]:
    """Return the test functions that are in the list, as `folder/test_file.py::test_name`."""
    return frozenset(LIST.read_text(encoding="utf-8").split())


def function_of(node_id: str) -> str:
    """Return the name of a test in the list, without its parameters."""
    return node_id.partition("[")[0].removeprefix("tests/")


def folder_mark(node_id: str) -> str | None:
    """Return the mark that a test has by its folder."""
    return FOLDERS.get(function_of(node_id).partition("/")[0])


def processor_seconds() -> float:
    """Return the processor time of this process so far, and of those that it has waited for."""
    own, children = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def slowest(seconds: Mapping[str, float], seconds_max: float) -> list[str]:
    """Return the fewest functions to skip so that the rest take at most `seconds_max`."""
    remaining = sum(seconds.values())
    found = []
    for name in sorted(seconds, key=lambda one: (-seconds[one], one)):
        if remaining <= seconds_max:
            break
        remaining -= seconds[name]
        found.append(name)
    return sorted(found)


def measured(reports: Iterable[pytest.TestReport]) -> dict[str, float]:
    """Return the processor seconds of each test function."""
    found: dict[str, float] = {}
    for report in reports:
        for name, value in report.user_properties:
            if name == PROPERTY and isinstance(value, float):
                function = function_of(report.nodeid)
                found[function] = found.get(function, 0.0) + value
    return found


def write(seconds: Mapping[str, float]) -> None:
    """Write the list."""
    LIST.write_text("\n".join(slowest(seconds, SECONDS_MAX)) + "\n", encoding="utf-8")
