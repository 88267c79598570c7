"""The public packages: each has `__all__`, and documents and examples use nothing else."""

from __future__ import annotations

import ast
import importlib
import re
from typing import TYPE_CHECKING, Final

import pytest

from architecture.house import REPOSITORY, modules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PUBLIC: Final = (
    "orlop",
    "orlop.bolt",
    "orlop.explain",
    "orlop.gc",
    "orlop.oci",
    "orlop.server",
    "orlop.testing",
)

_BLOCK: Final = re.compile(r"```python\n(.*?)```", re.DOTALL)


def sources() -> list[Path]:
    """Return the documents and examples that show how Orlop is used."""
    documents = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
    return [*documents, *sorted((REPOSITORY / "examples").glob("*.py"))]


def programs(source: Path) -> list[str]:
    """Return the Python in a document or an example."""
    text = source.read_text(encoding="utf-8")
    return _BLOCK.findall(text) if source.suffix == ".md" else [text]


def used_names(program: str) -> Iterator[tuple[str, str]]:
    """Yield the names of Orlop that a program uses: module, and name in it or an empty one."""
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Import):
            yield from (
                (one.name, "") for one in node.names if one.name.partition(".")[0] == "orlop"
            )
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "orlop":
            yield from ((node.module or "", one.name) for one in node.names)
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "orlop":
            yield "orlop", node.attr


def private_uses(program: str) -> set[tuple[str, str]]:
    """Return the private names of Orlop that a program uses."""
    return {
        (module, name)
        for module, name in used_names(program)
        if module not in PUBLIC
        or (name and name != "__version__" and name not in importlib.import_module(module).__all__)
    }


@pytest.mark.parametrize("package", PUBLIC)
def test_each_public_name_is_there_and_is_seen(package: str) -> None:
    module = importlib.import_module(package)

    assert len(module.__all__) == len(set(module.__all__))
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("package", PUBLIC)
def test_the_lazy_names_are_those_that_the_type_checker_sees(package: str) -> None:
    tree = ast.parse(modules()[package].read_text(encoding="utf-8"))
    (table,) = [
        {ast.literal_eval(key): ast.literal_eval(value) for key, value in zip(*pairs, strict=True)}
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "lazy_names"
        for pairs in [(call.args[1].keys, call.args[1].values)]  # type: ignore[attr-defined]
    ]
    seen = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("orlop")
        for alias in node.names
    }
    seen = {
        name: source.replace(":", ".") if source.startswith("orlop:") else source
        for name, source in seen.items()
    }

    assert table == seen
    assert set(importlib.import_module(package).__all__) - {"accelerated"} == set(table)


@pytest.mark.parametrize(
    "source", sources(), ids=lambda source: str(source.relative_to(REPOSITORY))
)
def test_documents_and_examples_use_only_what_is_public(source: Path) -> None:
    assert [private_uses(program) for program in programs(source)] == [
        set() for _ in programs(source)
    ]


@pytest.mark.parametrize(
    ("program", "private"),
    [
        ("import orlop\norlop.open", set()),
        ("from orlop.gc import Node", set()),
        ("import orlop.stores.images", {("orlop.stores.images", "")}),
        ("from orlop.kv import Engine", {("orlop.kv", "Engine")}),
        ("from orlop.gc import nonsense", {("orlop.gc", "nonsense")}),
        ("import orlop\norlop.errors", {("orlop", "errors")}),
        ("from pathlib import Path", set()),
    ],
)
def test_the_search_for_private_uses_itself(program: str, private: set[tuple[str, str]]) -> None:
    assert private_uses(program) == private


def test_a_document_with_python_is_among_them() -> None:
    assert sum(len(programs(source)) for source in sources()) > len(sources()) / 2
