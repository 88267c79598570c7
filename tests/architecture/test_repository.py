"""Rules for every file of the repository that no linter checks."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from architecture.house import PACKAGE, REPOSITORY, modules

MODULE_LINES_MAX = 600
"""A module that grows longer holds a second concept: give that its own file."""

TEXT_SUFFIXES = {".cfg", ".go", ".json", ".md", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml"}

HOMES = r"/(?:home|Users)/[A-Za-z]\w*/"

COMMON_PLACES = {"/", "/home", "/mnt", "/opt", "/root", "/src", "/srv", "/tmp", "/usr", "/var"}  # noqa: S108 -- names to leave out, nothing is written there
"""Where a checkout may lie without making the place's name a secret of that machine."""

PLACES = (".ci", ".github", "benchmarks", "docs", "examples", "src", "tests")


def test_modules_stay_small() -> None:
    lengths = {
        str(path.relative_to(REPOSITORY)): len(path.read_text(encoding="utf-8").splitlines())
        for folder in (PACKAGE, REPOSITORY / "benchmarks", REPOSITORY / "tests")
        for path in folder.rglob("*.py")
    }

    assert {name: lines for name, lines in lengths.items() if lines > MODULE_LINES_MAX} == {}


def test_test_files_have_unique_names() -> None:
    # A failure is reported, and a test is run alone, by this name.
    names = Counter(path.name for path in (REPOSITORY / "tests").rglob("test_*.py"))

    assert [name for name, count in names.items() if count > 1] == []


def test_test_folders_are_no_packages() -> None:
    assert list((REPOSITORY / "tests").rglob("__init__.py")) == []


def test_every_package_has_an_init_file() -> None:
    # Without one a folder is a namespace package: it is missing from a wheel without a word.
    folders = {path.parent for path in PACKAGE.rglob("*.py")}

    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
    assert len(modules()) == len(list(PACKAGE.rglob("*.py")))


def text_files() -> list[Path]:
    inside = [path for place in PLACES for path in (REPOSITORY / place).rglob("*")]
    return [
        path
        for path in [*inside, *REPOSITORY.iterdir()]
        if path.is_file()
        and (
            path.suffix in TEXT_SUFFIXES
            or (path.suffix == "" and path.parent != REPOSITORY / ".git")
        )
        and "__pycache__" not in path.parts
    ]


def machine_paths(repository: Path) -> re.Pattern[str]:
    """Return a pattern of paths in this checkout's folders or in a home directory."""
    places = [place for place in (repository, repository.parent) if str(place) not in COMMON_PLACES]
    names = [re.escape(f"{place}/") for place in places]
    return re.compile(rf"(?<![\w.}}/-])(?:{'|'.join([*names, HOMES])})")


def test_no_file_names_a_path_of_a_developers_machine() -> None:
    pattern = machine_paths(REPOSITORY)
    named = {}
    for path in text_files():
        if found := pattern.search(path.read_text(encoding="utf-8", errors="replace")):
            named[str(path.relative_to(REPOSITORY))] = found.group()

    assert named == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see /srv/build/orlop/src/x.py", True),
        ("see /srv/build/notes.md", True),
        ("open /home/" + "jane/orlop", True),
        ("/Users/" + "jane/orlop", True),
        ("the layer has root/home/app", False),
        ("/var/lib/orlop/srv/build/x", False),
    ],
)
def test_the_pattern_itself(text: str, found: bool) -> None:  # noqa: FBT001 -- a table's column
    assert bool(machine_paths(Path("/srv/build/orlop")).search(text)) is found
