"""A standard stream that the caller has closed leaves its number to no other file."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import chain, combinations
from typing import TYPE_CHECKING

import pytest

from cli.command_tree import COMMANDS
from orlop.cli.exit_codes import DONE, SYSTEM, USAGE

if TYPE_CHECKING:
    from pathlib import Path

    from cli.players import Orlop

STREAMS = (0, 1, 2)
CLOSED = list(chain.from_iterable(combinations(STREAMS, count) for count in (1, 2, 3)))
PROGRAM = """
import os, sys
def note(event, arguments):
    if event == "open" and str(arguments[0]).startswith(sys.argv[2]):
        # What is opened next gets this number.
        number = os.open(os.devnull, os.O_RDONLY)
        os.close(number)
        numbers.add(number)
numbers = set()
sys.addaudithook(note)
from orlop.__main__ import main
sys.argv[:] = ["orlop", *sys.argv[2:]]
sys.argv[1:2] = ["--root", sys.argv[1]]
code = main()
with open(os.environ["ANSWER"], "w") as file:
    print(code, *sorted(numbers), file=file)
"""


@pytest.mark.parametrize("closed", CLOSED, ids=str)
def test_no_file_of_the_root_gets_the_number_of_a_closed_stream(
    with_image: Orlop, tmp_path: Path, closed: tuple[int, ...]
) -> None:
    redirections = " ".join(f"{number}>&-" for number in closed)
    answer = tmp_path / "answer"
    for command in ("image ls", "lease create", "gc run", "nonsense"):
        subprocess.run(
            [
                "bash",
                "-c",
                f'"$1" -c "$2" x "$3" {command} {redirections}',
                "bash",
                sys.executable,
                PROGRAM,
                with_image.root,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=60,
            env={**os.environ, "ANSWER": str(answer)},
        )
        code, *numbers = map(int, answer.read_text(encoding="ascii").split())
        answered = SYSTEM if 1 in closed else DONE
        assert code == (USAGE if command == "nonsense" else answered)
        assert all(number > max(STREAMS) for number in numbers), (command, numbers)
        assert numbers or command == "nonsense"
    with_image("db", "check")


@pytest.mark.parametrize("command", list(COMMANDS.values())[::4], ids=list(COMMANDS)[::4])
def test_commands_without_any_stream(with_image: Orlop, command: list[str]) -> None:
    ended = subprocess.run(
        [
            "bash",
            "-c",
            '"$@" <&- >&- 2>&-',
            "bash",
            sys.executable,
            "-m",
            "orlop",
            "--root",
            with_image.root,
            *command,
        ],
        check=False,
        timeout=60,
        cwd=with_image.root.parent,
    )

    assert ended.returncode in range(9)
    with_image("db", "check")
