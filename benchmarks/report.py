"""The table, and the same as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.measurements import Unit
from benchmarks.running import ACCELERATED, ORLOP, PEER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.measurements import Figure
    from benchmarks.running import Taken

_SCALES = {
    Unit.SECONDS: ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
    Unit.BYTES: ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")),
}
_TENTHS_BELOW = 10
_TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure at one size, with what each side needed in each run."""

    measurement: str
    figure: Figure
    count: int
    peer: Sequence[float]
    orlop: Sequence[float]
    accelerated: Sequence[float] = ()

    @property
    def ratio(self) -> float | None:
        """Orlop's median over the peer's; `None` where the peer has no such figure."""
        return self._ratio(self.orlop)

    @property
    def accelerated_ratio(self) -> float | None:
        """The same for accelerated Orlop; `None` also where that was not measured."""
        return self._ratio(self.accelerated)

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; `None` without one."""
        return self._reached(self.orlop, self.figure.goal)

    @property
    def accelerated_reached(self) -> bool | None:
        """The same for accelerated Orlop and its goal."""
        return self._reached(self.accelerated, self.figure.accelerated_goal)

    def _ratio(self, ours: Sequence[float]) -> float | None:
        return median(ours) / median(self.peer) if ours and self.peer else None

    def _reached(self, ours: Sequence[float], goal: float | None) -> bool | None:
        if goal is None or not ours:
            return None
        ratio = self._ratio(ours)
        return (median(ours) if ratio is None else ratio) <= goal


def rows(taken: Taken) -> list[Row]:
    """Return the rows of a measurement."""
    return [
        Row(
            measurement=taken.measurement.name,
            figure=figure,
            count=taken.count,
            peer=taken.values[PEER].get(name, []),
            orlop=taken.values[ORLOP].get(name, []),
            accelerated=taken.values[ACCELERATED].get(name, []),
        )
        for name, figure in taken.measurement.figures.items()
    ]


def table(found: Sequence[Row], peer: str) -> str:
    """Return the rows as a table in Markdown; `peer` names the other side and its version.

    The accelerated side has columns where it was measured.
    """
    is_wide = any(row.accelerated for row in found)
    titles = ["what", "n", peer, "Orlop", "ratio", "goal", ""]
    lines = ["|---|---:|---:|---:|---:|---:|---|"]
    if is_wide:
        titles += ["accelerated", "ratio", "goal", ""]
        lines[0] += "---:|---:|---:|---|"
    for row in found:
        unit = row.figure.unit
        cells = [row.figure.title, f"{row.count:,}", _spread(row.peer, unit)]
        cells += _cells(row.orlop, row.ratio, row.figure.goal, row.reached, unit)
        if is_wide:
            goal, is_reached = row.figure.accelerated_goal, row.accelerated_reached
            cells += _cells(row.accelerated, row.accelerated_ratio, goal, is_reached, unit)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([f"| {' | '.join(titles)} |".replace("|  |", "| |"), *lines])


def _cells(
    values: Sequence[float],
    ratio: float | None,
    goal: float | None,
    is_reached: bool | None,  # noqa: FBT001 -- a state, always given whole
    unit: Unit,
) -> list[str]:
    """Return what the table says of one side of ours."""
    return [
        _spread(values, unit),
        "" if ratio is None else _ratio(ratio),
        _goal(goal, unit),
        {True: "reached", False: "not reached", None: ""}[is_reached],
    ]


def document(
    found: Iterable[Row], machine: Mapping[str, str], versions: Mapping[str, str]
) -> dict[str, Any]:
    """Return all that was measured, for `json.dump`; times in seconds, sizes in bytes."""
    return {
        "machine": dict(machine),
        "versions": dict(versions),
        "rows": [
            {
                "measurement": row.measurement,
                "what": row.figure.title,
                "count": row.count,
                "unit": row.figure.unit.value,
                "peer": list(row.peer),
                "orlop": list(row.orlop),
                "ratio": row.ratio,
                "goal": row.figure.goal,
                "reached": row.reached,
                "accelerated": list(row.accelerated),
                "accelerated_ratio": row.accelerated_ratio,
                "accelerated_goal": row.figure.accelerated_goal,
                "accelerated_reached": row.accelerated_reached,
            }
            for row in found
        ],
    }


def _spread(values: Sequence[float], unit: Unit) -> str:
    """Return the median, and how far lowest and highest are from it."""
    if not values:
        return ""
    middle = median(values)
    if not middle:
        return "0"
    low, high = min(values) / middle - 1, max(values) / middle - 1
    return f"{_value(middle, unit)} ({low:+.0%} {high:+.0%})"


def _value(value: float, unit: Unit) -> str:
    scales = _SCALES[unit]
    factor, name = next(((by, name) for by, name in scales if abs(value) >= by), scales[-1])
    scaled = value / factor
    return f"{_rounded(scaled)} {name}"


def _rounded(value: float) -> str:
    return f"{value:.{1 if abs(value) < _TENTHS_BELOW else 0}f}"


def _ratio(ratio: float) -> str:
    if not ratio:
        return "0"
    return f"{ratio:.2f}{_TIMES}" if ratio >= 1 / 2 else f"1/{_rounded(1 / ratio)}"


def _goal(goal: float | None, unit: Unit) -> str:
    if goal is None:
        return ""
    return f"≤ {_value(goal, unit)}" if unit is Unit.BYTES else f"≤ {_ratio(goal)}"
