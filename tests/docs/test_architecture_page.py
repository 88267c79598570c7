"""The architecture page names existing modules, and its diagram matches the imports."""

from __future__ import annotations

import re

from architecture.drawing import PAGE, drawn, part_graph, picture
from architecture.house import PACKAGE, REPOSITORY, floor_of, recipe

TEXT = PAGE.read_text(encoding="utf-8")
NAMED = re.compile(r"`([a-z_]+(?:/[a-z_]+)*(?:\.py|/))`")


def test_the_picture_is_that_of_the_imports() -> None:
    assert drawn(TEXT) == TEXT, "the imports have changed: make architecture"
    assert picture() in TEXT


def test_every_file_that_is_named_exists() -> None:
    named = NAMED.findall(TEXT)

    assert len(set(named)) > 60
    missing = [
        name for name in named if not (PACKAGE / name).exists() and not (REPOSITORY / name).exists()
    ]
    assert missing == [], "the page names what is not there any more"


def test_the_page_is_one_page() -> None:
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)

    assert len(prose.splitlines()) < 110


def test_arrows_of_the_picture_point_down() -> None:
    for upper, below in part_graph().items():
        for lower in below:
            assert (floor_of(lower) or 0) < (floor_of(upper) or 0)


def test_the_target_writes_the_page() -> None:
    commands = recipe("architecture")

    assert "-m architecture.drawing" in commands
