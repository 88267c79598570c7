"""What the table says of given values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.measurements import Figure, Unit
from benchmarks.plot import write_plot
from benchmarks.report import Row, table

if TYPE_CHECKING:
    from pathlib import Path


def row(
    peer: list[float], orlop: list[float], goal: float | None, unit: Unit = Unit.SECONDS
) -> Row:
    figure = Figure(title="get", goal=goal, unit=unit)
    return Row(measurement="read", figure=figure, count=1000, peer=peer, orlop=orlop)


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


def test_the_plot_shows_what_was_measured_at_several_sizes(tmp_path: Path) -> None:
    figure = Figure(title="mark of everything")
    found = [
        Row(measurement="mark", figure=figure, count=count, peer=[1.0], orlop=[2.0])
        for count in (10, 100)
    ]

    write_plot([*found, row([1.0], [1.0], None)], "containerd 1", tmp_path / "growth.svg")

    drawn = (tmp_path / "growth.svg").read_text(encoding="utf-8")
    assert drawn.count("<!-- mark of everything -->") == 1
    assert "<!-- get -->" not in drawn
