"""How each cost grows with the size of the data set: one small chart a figure, as SVG."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.report import Row

_COLUMNS: Final = 3
_INCHES: Final = 3.4


def write_plot(found: Iterable[Row], peer: str, path: Path) -> None:
    """Draw what was measured at several sizes; `peer` names the other side."""
    # Imported here: all else works without it.
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415

    charts: dict[str, list[Row]] = {}
    for row in found:
        charts.setdefault(row.figure.title, []).append(row)
    drawn = {title: several for title, several in charts.items() if len(several) > 1}
    lines = max(-(-len(drawn) // _COLUMNS), 1)
    canvas = Canvas(figsize=(_COLUMNS * _INCHES, lines * _INCHES), layout="constrained")
    axes = list(canvas.subplots(lines, _COLUMNS, squeeze=False).flat)
    for chart, (title, several) in zip(axes, drawn.items(), strict=False):
        for name, values in (
            (peer, [(row.count, row.peer) for row in several]),
            ("Orlop", [(row.count, row.orlop) for row in several]),
            ("Orlop, accelerated", [(row.count, row.accelerated) for row in several]),
        ):
            points = [(count, median(runs)) for count, runs in values if runs and median(runs)]
            if not points:
                continue
            chart.plot([x for x, _ in points], [y for _, y in points], marker="o", label=name)
        chart.set(title=title, xscale="log", yscale="log", xlabel="objects")
        chart.set_ylabel(several[0].figure.unit.value)
        chart.title.set_fontsize("small")
        chart.legend(fontsize="x-small")
    for chart in axes[len(drawn) :]:
        chart.set_axis_off()
    canvas.savefig(path, format="svg")
