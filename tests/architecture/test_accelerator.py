"""The compiled modules are the listed ones, and avoid constructs that compile differently."""

from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

import orlop
from architecture.accelerator import build_hook, compiled_modules, departures, files
from architecture.house import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

COMPILED = compiled_modules()


def test_modules_are_named() -> None:
    assert {"orlop.bolt.page", "orlop.bolt.btree", "orlop.kv.plain"} <= set(COMPILED)


def test_nothing_is_compiled_unless_asked_for() -> None:
    assert build_hook()["enable-by-default"] is False


def test_every_pattern_names_something() -> None:
    hook = build_hook()

    assert [one for one in (*hook["include"], *hook["exclude"]) if not files(one)] == []


def test_all_of_them_are_compiled_or_none_is() -> None:
    found = [str(importlib.import_module(name).__file__) for name in COMPILED]

    assert [name for name in found if name.endswith(".py") == orlop.accelerated] == []


@pytest.mark.parametrize("name", COMPILED)
def test_a_compiled_module_does_what_its_source_says(name: str) -> None:
    assert list(departures(ast.parse(COMPILED[name].read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise E from cause", "1: `from` is lost"),
        ("lazy = (a for a in b)", "1: a generator expression becomes a list"),
        ("print(a for a in b)", "1: a generator expression becomes a list"),
        ("all(a for a in b)", None),
        ("b''.join(a for a in b)", None),
        ("f(*(a for a in b))", None),
        ("@dataclass(slots=True)\nclass C: pass", "2: a data class is another class"),
        ("self._thread = 1", "1: the name _thread becomes a word of C"),
        ("raise E", None),
    ],
)
def test_what_would_be_done_otherwise_is_found(source: str, said: str | None) -> None:
    assert list(departures(ast.parse(source))) == ([] if said is None else [said])


def test_without_a_compiler_there_is_a_clear_message(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("make", "sh", "python3", "find", "grep"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    environment = {name: value for name, value in os.environ.items() if name != "CC"}

    done = subprocess.run(
        ["make", "accelerate", "ACCELERATED=" + str(tmp_path / "nowhere")],
        cwd=REPOSITORY,
        env=environment | {"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert "needs a C compiler and the headers of Python" in done.stdout
    assert not (tmp_path / "nowhere").exists()
