"""Pipes, closed streams, devices, and names that would play with a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from orlop.cli.exit_codes import DONE, NOT_FOUND, SYSTEM, USAGE

if TYPE_CHECKING:
    from pathlib import Path

    from cli.players import Orlop

NAME = "example.com/greeting:v1"
NASTY = "red\x1b[31m\nnext\rback\x07bell\x9b2J\u202emirrored"


def shell(orlop: Orlop, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash, in which `orlop` is the command line; its status is orlop's own."""
    prelude = f'orlop() {{ "{sys.executable}" -m orlop --root "{orlop.root}" "$@"; }}; '
    return subprocess.run(
        ["bash", "-c", f"{prelude}{line}"], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("buffering", ["", "PYTHONUNBUFFERED=1 "])
@pytest.mark.parametrize(
    "command", ["content ls", "db dump", "image export - " + NAME, "image ls --help"]
)
def test_a_pipe_that_closes_early(with_image: Orlop, command: str, buffering: str) -> None:
    line = f"export {buffering}NOTHING=; orlop {command} 2>&1 >&3 3>&- | cat >&2"
    ended = shell(with_image, f"exec 3> >(exec true); sleep 0.2; {line}; exit ${{PIPESTATUS[0]}}")

    assert (ended.returncode, ended.stdout, ended.stderr.count("Traceback")) == (DONE, "", 0)
    assert "BrokenPipe" not in ended.stderr


def test_progress_that_nobody_reads_does_not_stop_an_import(orlop: Orlop, greeting: Path) -> None:
    ended = shell(
        orlop, f"exec 3> >(exec true); sleep 0.2; orlop image import {greeting} 2>&3; exit $?"
    )

    assert (ended.returncode, ended.stdout) == (DONE, NAME + "\n")
    assert len(orlop("image", "ls", "--json").lines) == 1


NOTHING_TO_ANSWER = [
    "orlop image tag " + NAME + " copy >&- 2>&-",
    "orlop image label " + NAME + " missing= -q >/dev/null",
    "orlop lease ls --json >&-",
    "orlop image export out.tar " + NAME + " >&-",
    "orlop image tag " + NAME + " copy 2>&-",
]
"""Commands that print nothing, or whose answer arrives."""


@pytest.mark.parametrize("line", NOTHING_TO_ANSWER)
def test_a_command_without_an_answer_needs_no_standard_output(
    with_image: Orlop, tmp_path: Path, line: str
) -> None:
    ended = shell(with_image, f"cd {tmp_path}; {line}")

    assert (ended.returncode, ended.stdout) == (DONE, "")
    assert "orlop:" not in ended.stderr


@pytest.mark.parametrize("redirection", [">&-", "1</dev/null", ">/dev/full"])
@pytest.mark.parametrize(
    "command",
    [
        "image ls",
        "db dump",
        "db info",
        "gc plan",
        "gc plan --json",
        "gc run",
        "lease create",
        "image export - " + NAME,
        "image export /dev/stdout " + NAME,
        "content cat {digest}",
        "image import {archive}",
        "image ls --help",
        "--version",
    ],
)
def test_an_answer_that_cannot_be_written_is_no_success(
    with_image: Orlop, greeting: Path, redirection: str, command: str
) -> None:
    if command.startswith("image export /dev") and redirection != ">&-":
        pytest.skip("that file can be opened once more, and written to or not")
    (image,) = with_image("image", "ls", "--json").objects()
    line = command.format(digest=image["target"]["digest"], archive=greeting)

    ended = shell(with_image, f"orlop {line} -q {redirection}")

    assert (ended.returncode, ended.stdout) == (SYSTEM, "")
    assert "standard output" in ended.stderr or "/dev/stdout" in ended.stderr
    assert ended.stderr.count("\n") == 1
    with_image("db", "check")


def test_what_a_command_did_is_done_although_its_answer_is_lost(with_image: Orlop) -> None:
    ended = shell(with_image, "orlop lease create made >&-")

    assert ended.returncode == SYSTEM
    assert "what was to be done is done" in ended.stderr
    (lease,) = with_image("lease", "ls", "--json").objects()
    assert lease["id"] == "made"


@pytest.mark.parametrize("redirection", ["<&-", "0>/dev/null", "<&- >&-", "<&- 2>&-"])
@pytest.mark.parametrize(
    "command", ["content ingest empty -", "image import -", "content ingest empty /dev/stdin"]
)
def test_a_standard_input_that_cannot_be_read_is_refused_before_anything_is_written(
    orlop: Orlop, command: str, redirection: str
) -> None:
    if "/dev/stdin" in command and redirection.startswith("0>"):
        pytest.skip("that file can be opened once more, and read")

    ended = shell(orlop, f"orlop {command} {redirection}")

    assert (ended.returncode, ended.stdout) == (SYSTEM, "")
    if "2>&-" not in redirection:
        assert "standard input" in ended.stderr or "/dev/stdin" in ended.stderr
    assert not orlop.root.exists()


def test_an_empty_standard_input_is_an_empty_blob(orlop: Orlop) -> None:
    ended = shell(orlop, "orlop content ingest empty - </dev/null")

    assert ended.returncode == DONE
    assert [blob["size"] for blob in orlop("content", "ls", "--json").objects()] == [0]


@pytest.mark.parametrize(
    ("line", "code"),
    [("orlop image inspect missing 2>&-", NOT_FOUND), ("orlop nonsense >&- 2>&-", USAGE)],
)
def test_errors_keep_their_codes_where_nothing_can_be_said(
    with_image: Orlop, line: str, code: int
) -> None:
    ended = shell(with_image, line)

    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", "")


def test_export_writes_into_a_pipe_that_has_a_name(with_image: Orlop, tmp_path: Path) -> None:
    whole = with_image("image", "export", "-", NAME, "--quiet").raw
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()

    with_image("image", "export", pipe, NAME, "--quiet")

    reader.join(10)
    assert received == [whole]
    assert pipe.is_fifo()


def test_export_keeps_a_symbolic_link(with_image: Orlop, tmp_path: Path) -> None:
    whole = with_image("image", "export", "-", NAME, "--quiet").raw
    link = tmp_path / "link.tar"
    link.symlink_to(tmp_path / "target.tar")

    with_image("image", "export", link, NAME, "--quiet")

    assert link.is_symlink()
    assert (tmp_path / "target.tar").read_bytes() == whole


def test_names_cannot_play_with_the_terminal(orlop: Orlop, tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text("{}", encoding="utf-8")
    answers = [
        orlop("lease", "create", NASTY, "--label", f"{NASTY}={NASTY}"),
        orlop("lease", "add", NASTY, "images", NASTY),
        orlop("snapshot", "prepare", NASTY, "--label", f"{NASTY}={NASTY}"),
        orlop("content", "ingest", NASTY, "-", "--label", f"a={NASTY}", stdin=b"data"),
        orlop("container", "create", "c", "--image", NASTY, "--spec", spec),
        *(orlop(group, "ls") for group in ("lease", "snapshot", "content", "container")),
        orlop("lease", "resources", NASTY),
        orlop("lease", "inspect", NASTY),
        orlop("snapshot", "tree"),
        orlop("snapshot", "usage"),
        orlop("db", "tree"),
        orlop("gc", "plan", "--now", "2199-01-01T00:00:00Z"),
        orlop("snapshot", "commit", f"{NASTY}2", NASTY),
        orlop("image", "inspect", NASTY, code=NOT_FOUND),
        orlop("lease", "rm", NASTY),
    ]

    for answer in answers:
        for text in (answer.out, answer.err):
            assert all(character.isprintable() or character == "\n" for character in text)
    # A table has a line for each record: the line feed in the name is none.
    assert len(answers[5].lines) == 2


def test_json_has_every_name_as_it_is(orlop: Orlop) -> None:
    orlop("lease", "create", NASTY)

    answer = orlop("lease", "ls", "--json")

    assert answer.raw.isascii()
    assert len(answer.lines) == 1
    assert json.loads(answer.raw)["id"] == NASTY


def test_a_table_of_many_is_complete_and_aligned(orlop: Orlop) -> None:
    for number in range(60):
        orlop("lease", "create", f"lease-{'x' * number}", "--label", f"number={number}")

    head, *rows = orlop("lease", "ls").lines

    assert len(rows) == 60
    assert {row.index("number=") for row in rows} == {head.index("LABELS")}
    assert rows[-1].split()[1] == "lease-" + "x" * 59
