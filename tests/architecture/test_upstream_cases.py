"""Each of containerd's test cases has a test of ours that exists, or a reason."""

from __future__ import annotations

import subprocess
import sys

import pytest

from architecture.house import REPOSITORY
from architecture.upstream_cases import CASES, Reason


@pytest.fixture(scope="module")
def known() -> frozenset[str]:
    """Return the tests that pytest finds, with and without the ids of their parameters."""
    folders = ("cli", "collector", "filters", "records", "schema", "storage", "stores")
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"),
            *(f"tests/{folder}" for folder in folders),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    found = set()
    for line in answer.stdout.splitlines():
        path, separator, name = line.partition("::")
        if separator:
            test = f"{path.removeprefix('tests/').removesuffix('.py')}::{name}"
            found |= {test, test.partition("[")[0]}
    return frozenset(found)


@pytest.mark.parametrize("suite", CASES)
def test_every_case_has_a_test_or_a_reason(suite: str, known: frozenset[str]) -> None:
    missing = {
        case: name
        for case, ours in CASES[suite].items()
        if not isinstance(ours, Reason)
        for name in ((ours,) if isinstance(ours, str) else ours)
        if name not in known
    }
    assert missing == {}


def test_no_case_was_forgotten() -> None:
    """As many as upstream has; where a table of theirs is one test of ours, it counts once."""
    assert {suite: len(cases) for suite, cases in CASES.items()} == {
        "core/metadata": 83,
        "pkg/gc, plugins/gc": 7,
        "pkg/filters": 4,
        "core/content/testsuite": 16,
        "core/snapshots/testsuite": 21,
        "core/snapshots/storage": 23,
        "helpers": 25,
    }
