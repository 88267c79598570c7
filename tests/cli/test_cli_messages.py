"""Commands and options that messages recommend exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.command_tree import commands
from orlop.cli.main import WITH_VALUE, WITHOUT_VALUE, app
from orlop.cli.parser import HELP, Group

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parents[2] / "src" / "orlop"
SHARED = {*WITH_VALUE, *WITHOUT_VALUE, "--version", HELP}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
COMMAND = re.compile(r"\borlop((?: (?:--)?[a-z][a-z-]*)+)")


def texts(path: Path) -> Iterator[str]:
    """Iterate over a module's texts except docstrings; `X` replaces interpolated values."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            parts = (part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
            yield "".join(map(str, parts))
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in skipped
            and "\n" not in node.value  # the description of an attribute
        ):
            yield node.value


MODULES = sorted(path for path in SOURCE.rglob("*.py") if "suite" not in path.parts)
MESSAGES = [
    pytest.param(text, id=f"{path.relative_to(SOURCE)}: {text[:40]}")
    for path in MODULES
    for text in texts(path)
    if (COMMAND.search(text) or OPTION.search(text)) and " " in text
]
ALL_OPTIONS = SHARED | {
    name
    for _, command in commands()
    for parameter in command.parameters
    for name in parameter.switches
}


def test_there_are_such_messages() -> None:
    assert len(MESSAGES) > 20


@pytest.mark.parametrize("text", MESSAGES)
def test_a_message_names_options_that_exist(text: str) -> None:
    assert set(OPTION.findall(text)) <= ALL_OPTIONS


@pytest.mark.parametrize("text", MESSAGES)
def test_a_message_names_commands_that_exist(text: str) -> None:
    for words in COMMAND.findall(text):
        group: object = app
        names = SHARED
        for word in words.split():
            if isinstance(group, Group) and not word.startswith("--"):
                assert word in group.commands, f"orlop{words}"
                group = group.commands[word]
                names = SHARED | {name for one in group.parameters for name in one.switches}
            elif word.startswith("--"):
                assert word in names, f"orlop{words}"
        assert HELP in words or not isinstance(group, Group), f"orlop{words} is no command"
