"""The list of compiled modules, read from pyproject.toml."""

from __future__ import annotations

import ast
import tomllib
from typing import TYPE_CHECKING, Any

from architecture.house import REPOSITORY, modules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGE = 10**9
"""So large a factor makes a product of what is no larger than a page number exceed 62 bits."""

UNBOUNDED = {"high_water"}
"""Fields of a file that may be any number of 64 bits."""

CONSUMERS = {"all", "any", "bytes", "dict", "frozenset", "join", "list", "set", "sum", "tuple"}
"""What takes all of an iterator at once, or as much as it needs of it."""


def build_hook() -> dict[str, Any]:
    """Return the settings of the build hook for mypyc in pyproject.toml."""
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
    """Return the files of a pattern: from the root if it begins with a slash, else anywhere."""
    found = REPOSITORY.glob(pattern[1:] if pattern.startswith("/") else f"src/**/{pattern}")
    return set(found)


def departures(tree: ast.Module) -> Iterator[str]:
    """Yield the constructs that behave differently in a compiled module."""
    yield from _large_products(tree)
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


def _large_products(tree: ast.Module) -> Iterator[str]:
    """Yield products that may exceed a machine word: within them Python looks at signals.

    What a handler raises there ends the interpreter, where code is compiled.
    """
    large = {
        target.id
        for statement in tree.body
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and _is_large(statement.value)
        for target in (
            statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        )
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.Mult):
            factors = [node.left, node.right] if isinstance(node, ast.BinOp) else [node.value]
            names = set(_words(factors))
            if names & (large | UNBOUNDED) or any(map(_is_large, factors)):
                yield f"{node.lineno}: a product that may exceed a machine word"


def _is_large(expression: ast.expr | None) -> bool:
    """Return whether an expression of numbers alone has a large value somewhere."""
    if expression is None or any(isinstance(node, ast.Call) for node in ast.walk(expression)):
        return False
    numbers = [node for node in ast.walk(expression) if isinstance(node, (ast.BinOp, ast.Constant))]
    for node in numbers:
        try:
            value = eval(ast.unparse(node), {"__builtins__": {}})  # noqa: S307 (our own constants)
        except (NameError, TypeError):
            continue
        if isinstance(value, int) and abs(value) >= LARGE:
            return True
    return False


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
