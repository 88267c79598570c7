"""Tests of `make check`: no campaigns, no real programs, and none of the slow tests."""

from __future__ import annotations

import ast

import slow_tests
from architecture.house import REPOSITORY, recipe

TESTS = REPOSITORY / "tests"


def functions_of(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    found = set()
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        found |= {f"{prefix}{one.name}" for one in inner if isinstance(one, ast.FunctionDef)}
    return found


def test_the_slow_tests_exist() -> None:
    files: dict[str, set[str]] = {}
    for name in slow_tests.listed():
        file, _, function = name.partition("::")
        files.setdefault(file, set()).add(function)

    gone = {file: names for file, names in files.items() if not (TESTS / file).exists()}
    assert gone == {}, "make slow-tests"
    missing = {
        f"{file}::{name}"
        for file, names in files.items()
        for name in names - functions_of(file)
        if "::" not in name  # a class may inherit its tests
    }
    assert missing == set(), "make slow-tests"


def test_the_list_is_the_fewest_that_bring_the_rest_within_the_bound() -> None:
    seconds = {"a": 3.0, "b": 2.0, "c": 1.0, "d": 0.5}

    assert slow_tests.slowest(seconds, 10.0) == []
    assert slow_tests.slowest(seconds, 3.5) == ["a"]
    assert slow_tests.slowest(seconds, 1.0) == ["a", "b", "c"]


def test_marks_come_with_the_folder() -> None:
    name = "tests/campaigns/test_world_campaign.py::test_histories[1]"

    assert slow_tests.folder_mark(name) == "campaign"
    assert slow_tests.function_of(name) == "campaigns/test_world_campaign.py::test_histories"
    assert slow_tests.folder_mark("tests/schema/test_any.py::test_x") is None


def test_the_target_leaves_out_what_takes_long() -> None:
    commands = recipe("check")

    assert "-m 'not real and not campaign and not slow and not listed'" in commands
    assert "ruff check" in commands
    assert "mypy" in commands
