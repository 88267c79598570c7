"""From an error to an exit code and one line that says what, where and what to do next."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import TYPE_CHECKING, Final

import typer

from orlop.cli.output import printable
from orlop.kv import CorruptError, EngineError, LockedError, StaleReadError
from orlop.model import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DONE: Final = 0
NEGATIVE: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
EXISTS: Final = 4
PRECONDITION: Final = 5
UNAVAILABLE: Final = 6
CORRUPT: Final = 7
SYSTEM: Final = 8
BUG: Final = 70
INTERRUPTED: Final = 130

EXIT_CODES: Final[dict[type[BaseException], int]] = {
    errors.InvalidArgumentError: USAGE,
    errors.OutOfRangeError: USAGE,
    errors.NotFoundError: NOT_FOUND,
    errors.AlreadyExistsError: EXISTS,
    errors.FailedPreconditionError: PRECONDITION,
    errors.ConflictError: PRECONDITION,
    errors.NotModifiedError: PRECONDITION,
    errors.AbortedError: PRECONDITION,
    errors.UnimplementedError: PRECONDITION,
    errors.UnavailableError: UNAVAILABLE,
    errors.DataLossError: CORRUPT,
    errors.PermissionDeniedError: SYSTEM,
    errors.ResourceExhaustedError: SYSTEM,
    errors.UnauthenticatedError: SYSTEM,
    errors.InternalError: BUG,
    errors.UnknownError: BUG,
    LockedError: UNAVAILABLE,
    StaleReadError: UNAVAILABLE,
    CorruptError: CORRUPT,
    FileNotFoundError: NOT_FOUND,
    FileExistsError: EXISTS,
    OSError: SYSTEM,
    KeyboardInterrupt: INTERRUPTED,
}
"""What each kind of error ends a command with; the most special class counts."""

_SYSTEM_ERRORS: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO}
)
"""What the system refused counts as that, however it was wrapped on its way up."""


def exit_code(error: BaseException) -> int:
    """Return the exit code for an error."""
    if any(
        isinstance(cause, OSError) and cause.errno in _SYSTEM_ERRORS for cause in _causes(error)
    ):
        return SYSTEM
    for kind in type(error).__mro__:
        if kind in EXIT_CODES:
            return EXIT_CODES[kind]
    return BUG


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def message(error: BaseException) -> str:
    """Return what to tell the user, in one line."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}"
    if isinstance(error, (errors.OrlopError, EngineError)):
        return str(error)
    return f"this is a bug in orlop ({type(error).__name__}: {error}); ORLOP_DEBUG=1 says where"


def run(command: Callable[[], object]) -> int:
    """Run a command and return its exit code, with at most one line on stderr."""
    try:
        outcome = command()
        sys.stdout.flush()
    except typer.Exit as ended:
        return ended.exit_code
    except typer.Abort:
        typer.echo("orlop: interrupted", err=True)
        return INTERRUPTED
    except typer.TyperException as error:
        text = error.format_message()
        # A group without a command answers with its help, which is no error text.
        typer.echo(text if "\n" in text else f"orlop: {text}; see orlop --help", err=True)
        return USAGE
    except BrokenPipeError:
        # The reader has seen enough. What is left in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 (the last one who can tell the user)
        if os.environ.get("ORLOP_DEBUG"):
            traceback.print_exc()
        typer.echo(f"orlop: {printable(message(error))}", err=True)
        return exit_code(error)
    return outcome if isinstance(outcome, int) else DONE
