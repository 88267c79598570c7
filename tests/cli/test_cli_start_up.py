"""`orlop --help` agrees with the modules, and public names load when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orlop.cli.help_page import summary
from orlop.cli.lazy import ENTRIES
from orlop.cli.main import app


@pytest.mark.parametrize("name", ENTRIES)
def test_the_summary_of_a_command_is_that_of_its_module(name: str) -> None:
    command = app.commands[name]

    assert summary(command.help) == ENTRIES[name].summary


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
