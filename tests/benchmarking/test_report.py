"""The report table for given values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.measurements import Figure, Unit
from benchmarks.plot import write_plot
from benchmarks.report import Row, table

if TYPE_CHECKING:
    from pathlib import Path


def row(
    peer: list[float],
    orlop: list[float],
    goal: float | None,
    unit: Unit = Unit.SECONDS,
    *,
    accelerated: list[float] | None = None,
    stricter: float | None = None,
) -> Row:
    return Row(
        measurement="read",
        figure=Figure(title="get", goal=goal, unit=unit, stricter=stricter),
        count=1000,
        peer=peer,
        orlop=orlop,
        accelerated=accelerated or [],
    )


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            row([1.0, 2.0, 4.0], [5.0, 6.0, 6.6], 3),
            "| get | 1,000 | 2.0 s (-50% +100%) | 6.0 s (-17% +10%) | 3.00× | ≤ 3.00× | reached |",  # noqa: RUF001
        ),
        (
            row([0.003], [0.0014], 1 / 20),
            "| get | 1,000 | 3.0 ms (+0% +0%) | 1.4 ms (+0% +0%) | 1/2.1 | ≤ 1/20 | not reached |",
        ),
        (row([0.02], [0.0], None), "| get | 1,000 | 20 ms (+0% +0%) | 0 | 0 |  |  |"),
        (
            row([], [5e8], 4e8, Unit.BYTES),
            "| get | 1,000 |  | 500 MB (+0% +0%) |  | ≤ 400 MB | not reached |",
        ),
    ],
)
def test_a_line_says_median_spread_ratio_and_goal(given: Row, line: str) -> None:
    assert table([given], "peer").splitlines()[2] == line


def test_the_accelerated_side_has_columns_and_a_goal_of_its_own() -> None:
    both = row([1.0], [4.0], 3, accelerated=[2.0], stricter=1.5)
    same_goal = row([1.0], [4.0], 3, accelerated=[2.0])
    pure_only = row([1.0], [2.0], 3, stricter=1.5)

    lines = table([both, same_goal, pure_only], "peer").splitlines()

    assert lines[0] == (
        "| what | n | peer | Orlop | ratio | goal | | accelerated | ratio | goal | |"
    )
    assert lines[1].count("|") == lines[0].count("|")
    assert lines[2].endswith("| not reached | 2.0 s (+0% +0%) | 2.00× | ≤ 1.50× | not reached |")  # noqa: RUF001
    assert lines[3].endswith("| 2.0 s (+0% +0%) | 2.00× | ≤ 3.00× | reached |")  # noqa: RUF001
    assert lines[4].endswith("| 2.00× | ≤ 3.00× | reached |  |  | ≤ 1.50× |  |")  # noqa: RUF001


def test_the_plot_shows_what_was_measured_at_several_sizes(tmp_path: Path) -> None:
    figure = Figure(title="mark of everything")
    found = [
        Row(
            measurement="mark",
            figure=figure,
            count=count,
            peer=[1.0],
            orlop=[2.0],
            accelerated=[1.5],
        )
        for count in (10, 100)
    ]

    write_plot([*found, row([1.0], [1.0], None)], "containerd 1", tmp_path / "growth.svg")

    drawn = (tmp_path / "growth.svg").read_text(encoding="utf-8")
    assert drawn.count("<!-- mark of everything -->") == 1
    assert drawn.count("<!-- Orlop, accelerated -->") == 1
    assert "<!-- get -->" not in drawn
