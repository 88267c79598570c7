"""Reads the listings that `ctr` printed when the golden databases were copied."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

Row = dict[str, str]

_LISTINGS = {
    "images ls": "images",
    "content ls": "content",
    "content active": "ingests",
    "snapshots --snapshotter overlayfs ls": "overlayfs",
    "snapshots --snapshotter native ls": "native",
    "containers ls": "containers",
    "leases ls": "leases",
    "tasks ls": "tasks",
}


@dataclass
class Listings:
    """The tables of one namespace, by the type of their records; rows by column names."""

    tables: dict[str, list[Row]] = field(default_factory=dict)

    def __getitem__(self, what: str) -> list[Row]:
        return self.tables.get(what, [])


def read_listings(path: Path) -> dict[str, Listings]:
    """Return the listings of each namespace in the text at `path`."""
    namespaces: dict[str, Listings] = {}
    for section in re.split(r"^=== ns ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        name, _, rest = section.partition("\n")
        tables = re.split(r"^--- ", rest, flags=re.MULTILINE)[1:]
        namespaces[name] = Listings({})
        for table in tables:
            title, *lines = table.splitlines()
            namespaces[name].tables[_LISTINGS[title]] = _rows(lines)
    return namespaces


def _rows(lines: list[str]) -> list[Row]:
    header, *rows = lines
    if "\t" in header:
        # These are aligned with tabs; what is between two runs of them is a cell.
        names = header.split()
        return [dict(zip(names, re.split(r"\t+", row), strict=False)) for row in rows if row]
    starts = [match.start() for match in re.finditer(r"(?<=\S)\s+(?=\S)|^(?=\S)", header)]
    names = [header[at:].split(maxsplit=1)[0] for at in starts]
    if names[:3] == ["ID", "CREATED", "AT"]:
        names, starts = ["ID", "CREATED AT", "LABELS"], [starts[0], starts[1], starts[3]]
    bounds = [*(_first(header, at) for at in starts), None]
    return [
        {
            name: row[begin:end].strip()
            for name, begin, end in zip(names, bounds, bounds[1:], strict=False)
        }
        for row in rows
        if row.strip()
    ]


def _first(header: str, at: int) -> int:
    """Return where the name of a column begins, at `at` or behind the blanks there."""
    return at + len(header[at:]) - len(header[at:].lstrip())


def labels_of(cell: str) -> dict[str, str]:
    """Return the labels in a cell; `-` for none."""
    pairs = [] if cell == "-" else cell.split(",")
    return {key: value for key, _, value in (pair.partition("=") for pair in pairs)}


def binary_size(size: int) -> str:
    """Return a size as `ctr images ls` rounds it."""
    value, unit = float(size), 0
    while value >= 1024:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {('B', 'KiB', 'MiB', 'GiB')[unit]}"


def decimal_size(size: int) -> str:
    """Return a size as `ctr content ls` rounds it: four digits."""
    value, unit = float(size), 0
    while value >= 1000:
        value, unit = value / 1000, unit + 1
    return f"{value:.4g}{('B', 'kB', 'MB', 'GB')[unit]}"
