"""The table, and the same as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.measurements import Unit
from benchmarks.running import ORLOP, PEER

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
    """A figure at one size, with what both sides needed in each run."""

    measurement: str
    figure: Figure
    count: int
    peer: Sequence[float]
    orlop: Sequence[float]

    @property
    def ratio(self) -> float | None:
        """Orlop's median over the peer's; `None` where the peer has no such figure."""
        return median(self.orlop) / median(self.peer) if self.peer else None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; `None` without one."""
        if self.figure.goal is None:
            return None
        value = self.ratio
        return (median(self.orlop) if value is None else value) <= self.figure.goal


def rows(taken: Taken) -> list[Row]:
    """Return the rows of a measurement."""
    return [
        Row(
            measurement=taken.measurement.name,
            figure=figure,
            count=taken.count,
            peer=taken.values[PEER].get(name, []),
            orlop=taken.values[ORLOP].get(name, []),
        )
        for name, figure in taken.measurement.figures.items()
    ]


def table(found: Iterable[Row], peer: str) -> str:
    """Return the rows as a table in Markdown; `peer` names the other side and its version."""
    lines = [
        f"| what | n | {peer} | Orlop | ratio | goal | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    lines += [
        "| "
        + " | ".join(
            (
                row.figure.title,
                f"{row.count:,}",
                _spread(row.peer, row.figure.unit),
                _spread(row.orlop, row.figure.unit),
                "" if row.ratio is None else _ratio(row.ratio),
                _goal(row.figure),
                {True: "reached", False: "not reached", None: ""}[row.reached],
            )
        )
        + " |"
        for row in found
    ]
    return "\n".join(lines)


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


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    if figure.unit is Unit.BYTES:
        return f"≤ {_value(figure.goal, figure.unit)}"
    return f"≤ {_ratio(figure.goal)}"
