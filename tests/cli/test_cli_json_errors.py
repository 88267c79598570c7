"""With `--json`, every error is one JSON document on stderr, of every command and every kind."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

import orlop as library
from cli.command_tree import COMMANDS
from cli.players import METADATA
from orlop.cli.exit_codes import (
    CORRUPT,
    DONE,
    INTERRUPTED,
    NEGATIVE,
    NOT_FOUND,
    SYSTEM,
    TABLE,
    UNAVAILABLE,
    USAGE,
)
from orlop.cli.main import main

if TYPE_CHECKING:
    from cli.players import Answer, Orlop

pytestmark = pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)


def error_of(answer: Answer) -> dict[str, Any]:
    """Return the one error on stderr, after a look at its form."""
    assert answer.err.isascii()
    assert answer.err.count("\n") == 1, answer.err
    document = json.loads(answer.err)
    assert set(document) == {"error"}
    error = document["error"]
    assert set(error) == {"code", "exit_code", "message", "hint"}
    assert error["exit_code"] == answer.code
    assert error["code"] == TABLE[answer.code].name
    assert error["message"]
    assert error["hint"] is None or error["hint"]
    return dict(error)


def test_wrong_usage(orlop: Orlop, command: list[str]) -> None:
    for wrong in ([*command, "--nonsense"], [*command, "--timeout", "x"]):
        answer = orlop(*wrong, "--json", code=USAGE)

        assert answer.out == ""
        assert "--help" in error_of(answer)["hint"]


def test_a_root_that_is_not_there(orlop: Orlop, command: list[str]) -> None:
    answer = orlop.ended(*command, "--json")

    if answer.code in {DONE, NEGATIVE}:  # it has made the root, or found nothing to tell
        assert answer.err == "" or not answer.err.startswith("{")
    else:
        assert error_of(answer)["code"] in {"not_found", "system", "failed_precondition"}


def test_a_damaged_database(orlop: Orlop, command: list[str]) -> None:
    (orlop.root / METADATA).parent.mkdir(parents=True)
    (orlop.root / METADATA).write_text("no database at all" * 1000, encoding="utf-8")

    answer = orlop.ended(*command, "--json")

    if command[:2] not in (["db", "check"], ["db", "pages"]) and answer.code != NOT_FOUND:
        assert answer.code == CORRUPT, answer.err
        assert "orlop db check" in error_of(answer)["hint"]


def test_a_lock_that_is_held(orlop: Orlop, command: list[str]) -> None:
    library.open(orlop.root).close()
    with (orlop.root / METADATA).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        answer = orlop.ended(*command, "--json", "--timeout", "0")

    if answer.code == UNAVAILABLE:
        error = error_of(answer)
        assert f"process {os.getpid()} " in error["message"]
        assert "--timeout SECONDS" in error["hint"]
    elif answer.code not in {DONE, NEGATIVE}:
        error_of(answer)


def test_an_interrupt(orlop: Orlop, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    for function in ("stat", "open", "lstat"):
        monkeypatch.setattr(os, function, interrupted)
    answer = orlop.ended(*command, "--json")
    monkeypatch.undo()

    if answer.code != INTERRUPTED:
        pytest.skip("this command ends without a look at a file")
    assert error_of(answer)["message"] == "interrupted"


def test_an_output_that_is_full(with_image: Orlop, command: list[str]) -> None:
    errors = io.StringIO()
    full = open("/dev/full", "w", encoding="utf-8")  # noqa: PTH123, SIM115 (closing it fails)
    with contextlib.redirect_stdout(full), contextlib.redirect_stderr(errors):
        code = main(["--root", str(with_image.root), "--json", *command])
    full.close()  # it leads to nowhere where something could not be written

    said = errors.getvalue()
    if "standard output" in said:
        error = json.loads(said.splitlines()[-1])["error"]
        assert (code, error["exit_code"]) == (SYSTEM, SYSTEM)
        assert error["message"] == "standard output: No space left on device"
        assert "gc run" not in (error["hint"] or "")
    else:
        # It had nothing to write: it failed, or there is nothing to list.
        assert "No space left" not in said
        assert code in range(9)
