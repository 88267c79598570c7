"""Start-up loads only what a command needs, and `orlop --help` says what the modules say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orlop.cli.help_page import summary
from orlop.cli.lazy import ENTRIES
from orlop.cli.main import app

HEAVY = (
    "rich",
    "orlop.database",
    "orlop.collect",
    "orlop.oci",
    "orlop.backends",
    "orlop.bolt",
    "re2",
)


def modules_after(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(*sys.modules, sep='\\n', file=sys.stderr)"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(ended.stderr.split())


@pytest.mark.parametrize("name", ENTRIES)
def test_the_summary_of_a_command_is_that_of_its_module(name: str) -> None:
    command = app.commands[name]

    assert summary(command.help) == ENTRIES[name].summary


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(option: str) -> None:
    loaded = modules_after(f"from orlop.cli.main import main\nassert main([{option!r}]) == 0")

    assert [one for one in HEAVY if one in loaded] == []


def test_importing_the_library_loads_nothing_heavy() -> None:
    loaded = modules_after("import orlop\nassert orlop.__version__")

    assert [one for one in HEAVY if one in loaded] == []
    assert "dataclasses" not in loaded


def test_every_public_name_is_there_and_listed() -> None:
    program = (
        "import orlop\n"
        "assert set(orlop.__all__) <= set(dir(orlop))\n"
        "for name in orlop.__all__: getattr(orlop, name)\n"
        "try: orlop.nothing\n"
        "except AttributeError as error: print(error)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert ended.stdout == "module 'orlop' has no attribute 'nothing'\n"
