"""Turns errors into one line (what, where, what to do next) and an exit code."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TextIO

from orlop import errors
from orlop.cli.exit_codes import BUG, DONE, TABLE, USAGE, exit_code
from orlop.cli.output import OutputError, naming_standard_output, printable
from orlop.cli.parser import UsageError
from orlop.kv import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.cli.invocation import Invocation


class Failure(NamedTuple):
    """The message of an error, with a hint and an exit code.

    Attributes:
        exit_code: what the command ends with.
        message: what went wrong, and where.
        hint: what to do next; empty where nothing is known that helps.
    """

    exit_code: int
    message: str
    hint: str = ""

    def as_text(self) -> str:
        """Return it as one line."""
        text = f"{self.message}; {self.hint}" if self.hint else self.message
        return f"orlop: {printable(text)}"

    def as_json(self) -> str:
        """Return it as a JSON document of one line, in ASCII."""
        import json  # noqa: PLC0415 (few errors are JSON)

        return json.dumps(
            {
                "error": {
                    "code": TABLE[self.exit_code].name,
                    "exit_code": self.exit_code,
                    "message": self.message,
                    "hint": self.hint or None,
                }
            }
        )


def failure_of(error: BaseException, invocation: Invocation) -> Failure:
    """Return the message for an error.

    Args:
        error: what a command ended with.
        invocation: the call of the command line.
    """
    leftovers_hint = invocation.leftovers_hint if invocation.is_writing else ""
    code = exit_code(error)
    if isinstance(error, UsageError):
        return Failure(USAGE, str(error).rstrip("."), f"see {error.path} --help")
    if isinstance(error, KeyboardInterrupt):
        return Failure(code, str(error) or "interrupted", leftovers_hint)
    if isinstance(error, MemoryError):
        return Failure(code, "the memory is used up")
    if not isinstance(error, (OSError, errors.OrlopError, EngineError)) or code == BUG:
        what = f"this is a bug in orlop ({type(error).__name__}: {error})"
        return Failure(BUG, what, "ORLOP_DEBUG=1 says where")
    return Failure(code, _what_failed(error), _hint(error, invocation, leftovers_hint))


def _hint(error: Exception, invocation: Invocation, leftovers_hint: str) -> str:
    if isinstance(error, OutputError):
        done = "what was to be done is done; only the answer is lost"
        return done if invocation.is_writing else ""
    if any(
        isinstance(one, OSError) and one.errno in errors.FULL_DISK for one in errors.causes(error)
    ):
        return f"make space, then {leftovers_hint}" if leftovers_hint else "make space"
    return getattr(error, "hint", "")


def _what_failed(error: Exception) -> str:
    if isinstance(error, errors.OrlopError):
        return error.message
    if isinstance(error, EngineError):
        return error.text
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    if error.filename is None:
        return error.strerror
    return f"{os.fsdecode(error.filename)}: {error.strerror}"


def run(command: Callable[[], object], invocation: Invocation) -> int:
    """Run a command and return its exit code, with at most one line of an error on stderr."""
    try:
        outcome = command()
        with naming_standard_output():
            sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 (the last one who can tell the user)
        if isinstance(error, OutputError):
            _silence(sys.stdout)
            if error.errno == errno.EPIPE:
                return DONE  # the reader has seen enough
        return _report(error, invocation)
    return outcome if isinstance(outcome, int) else DONE


def _report(error: BaseException, invocation: Invocation) -> int:
    """Tell the user of an error; return the exit code."""
    if os.environ.get("ORLOP_DEBUG"):
        traceback.print_exc()
    failure = failure_of(error, invocation)
    if invocation.as_json:
        _tell(failure.as_json())
    elif isinstance(error, UsageError) and error.group is not None:
        from orlop.cli.help_page import help_page  # noqa: PLC0415 (few errors need it)

        _tell(help_page(error.group, error.path))
    else:
        _tell(failure.as_text())
    return failure.exit_code


def _tell(text: str) -> None:
    try:
        sys.stderr.write(text if text.endswith("\n") else f"{text}\n")
        sys.stderr.flush()
    except OSError:
        # Nobody listens; the exit code says it, too.
        _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    """Discard the buffered output of a stream, which Python would write at exit."""
    with suppress(io.UnsupportedOperation):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
