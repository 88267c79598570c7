"""Draws the floors into docs/architecture.md, from the imports: `make architecture`."""

from __future__ import annotations

import re
from typing import Final

from architecture.house import (
    FACADE,
    FLOORS,
    REPOSITORY,
    circles,
    dependencies,
    floor_of,
    part_of,
)

PAGE: Final = REPOSITORY / "docs" / "architecture.md"
_BLOCK: Final = re.compile(r"(?<=<!-- floors -->\n).*?(?=<!-- end of floors -->)", re.DOTALL)
_FILES: Final = {
    "database": "database.py and its neighbours",
    "records": "records.py and its neighbours",
    "transactions": "transactions.py and its neighbours",
    FACADE: "orlop",
}


def drawn(page: str) -> str:
    """Return a page with the picture of today's imports between its two marks."""
    return _BLOCK.sub(lambda _: f"```mermaid\n{picture()}```\n", page)


def picture() -> str:
    """Return the parts on their floors and the imports between them, for Mermaid."""
    graph = part_graph()
    lines = ["flowchart TD"]
    for number, parts in reversed(list(enumerate(FLOORS))):
        lines.append(f'  subgraph floor{number}["floor {number}"]')
        lines += [f"    {_box(part)}" for part in sorted(parts & graph.keys())]
        lines.append("  end")
    lines.append(f"  {_box(FACADE)}")
    lines += [f"  {upper} --> {lower}" for upper in graph for lower in sorted(graph[upper])]
    return "\n".join(lines) + "\n"


def part_graph() -> dict[str, set[str]]:
    """Return the imports between parts, without transitive ones."""
    graph: dict[str, set[str]] = {}
    for module, imported in dependencies().items():
        below = graph.setdefault(part_of(module), set())
        below |= {part_of(one) for one in imported} - {part_of(module)}
    assert circles(graph) == []
    # From the top down, so that the picture is the same whatever order files are listed in.
    order = sorted(graph, key=lambda part: (-(floor_of(part) or 0), part))
    return {part: _direct(graph, part) for part in order}


def _direct(graph: dict[str, set[str]], part: str) -> set[str]:
    return {
        lower
        for lower in graph[part]
        if not any(lower in _below(graph, other) for other in graph[part])
    }


def _below(graph: dict[str, set[str]], part: str) -> set[str]:
    found: set[str] = set()
    for lower in graph[part]:
        found |= {lower} | _below(graph, lower)
    return found


def _box(part: str) -> str:
    name = _FILES.get(part)
    if name is None:
        is_package = (REPOSITORY / "src" / "orlop" / part).is_dir()
        name = f"{part}/" if is_package else f"{part}.py"
    return f'{part}["{name}"]'


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
