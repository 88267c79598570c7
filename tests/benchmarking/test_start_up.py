"""Commands start as fast as the table of the benchmarks promises, in processor time."""

from __future__ import annotations

import sys

import pytest

import orlop
from benchmarks.measurements import MEASUREMENTS
from benchmarks.programs import FailedError
from benchmarks.start_up import StartUp

RUNS = 11
[MEASUREMENT] = [one for one in MEASUREMENTS if one.name == "start-up"]


@pytest.fixture(scope="module")
def start_up(tmp_path_factory: pytest.TempPathFactory) -> StartUp:
    return StartUp(tmp_path_factory.mktemp("start-up"))


def test_the_goals_are_reached(start_up: StartUp) -> None:
    ours, bare = start_up.orlop(RUNS), start_up.interpreter(RUNS)

    assert set(ours) == set(bare) == set(MEASUREMENT.figures)
    ratios = {name: ours[name] / bare[name] for name in ours}
    goals = {name: figure.goal for name, figure in MEASUREMENT.figures.items()}
    assert {name: ratio for name, ratio in ratios.items() if ratio > (goals[name] or 0)} == {}


def test_the_root_is_a_small_one_that_can_be_listed(start_up: StartUp) -> None:
    with orlop.open(start_up.root, read_only=True) as database:
        images = database.namespace("default").images.list()

    assert len(images) == 10


def test_a_command_that_fails_is_no_measurement(start_up: StartUp) -> None:
    with pytest.raises(FailedError, match="No module named 'nothing'"):
        start_up.seconds([sys.executable, "-c", "import nothing"], 1)
