"""Which modules the accelerator compiles: what pyproject.toml says, and nobody else."""

from __future__ import annotations

import ast
import tomllib
from typing import TYPE_CHECKING, Any

from architecture.house import REPOSITORY, modules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONSUMERS = {"all", "any", "bytes", "dict", "frozenset", "join", "list", "set", "sum", "tuple"}
"""What takes all of an iterator at once, or as much as it needs of it."""


def build_hook() -> dict[str, Any]:
    """Return what pyproject.toml says of the hook that compiles."""
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        wheel = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]
    hook: dict[str, Any] = wheel["hooks"]["mypyc"]
    return hook


def compiled_modules() -> dict[str, Path]:
    """Return the modules that are compiled, with their files."""
    hook = build_hook()
    named = {path for pattern in hook["include"] for path in files(pattern)}
    left_out = {path for pattern in hook["exclude"] for path in files(pattern)}
    return {name: path for name, path in modules().items() if path in named - left_out}


def files(pattern: str) -> set[Path]:
    """Return what a pattern names: from the root where it begins with a slash, else anywhere."""
    found = REPOSITORY.glob(pattern[1:] if pattern.startswith("/") else f"src/**/{pattern}")
    return set(found)


def departures(tree: ast.Module) -> Iterator[str]:
    """Yield what a compiled module would do otherwise than an interpreted one."""
    at_once = {argument for node in ast.walk(tree) for argument in _taken_at_once(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.cause is not None:
            yield f"{node.lineno}: `from` is lost"
        if isinstance(node, ast.GeneratorExp) and node not in at_once:
            yield f"{node.lineno}: a generator expression becomes a list"
        if isinstance(node, ast.ClassDef) and "dataclass" in _words(node.decorator_list):
            yield f"{node.lineno}: a data class is another class"
        if isinstance(node, ast.Attribute) and node.attr == "_thread":
            yield f"{node.lineno}: the name {node.attr} becomes a word of C"


def _taken_at_once(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Starred):
        return [node.value]
    if isinstance(node, ast.Call) and set(_words([node.func])) & CONSUMERS:
        return node.args
    return []


def _words(expressions: list[ast.expr]) -> list[str]:
    nodes = [node for expression in expressions for node in ast.walk(expression)]
    names = [node.id for node in nodes if isinstance(node, ast.Name)]
    return names + [node.attr for node in nodes if isinstance(node, ast.Attribute)]
