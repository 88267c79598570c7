"""Pipes, closed streams, devices, and names that would play with a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from orlop.cli.exit_codes import DONE, NOT_FOUND

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


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("orlop image ls >&-", DONE),
        ("orlop db dump >&-", DONE),
        ("orlop image export - " + NAME + " >&-", DONE),
        ("orlop image tag " + NAME + " copy 2>&-", DONE),
        ("orlop image inspect missing 2>&-", NOT_FOUND),
        ("orlop content ingest empty - <&-", DONE),
        ("orlop nonsense >&- 2>&-", 2),
    ],
)
def test_closed_streams(with_image: Orlop, line: str, code: int) -> None:
    ended = shell(with_image, line)

    assert ended.returncode == code
    assert "bug" not in ended.stderr
    assert "Traceback" not in ended.stderr


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
