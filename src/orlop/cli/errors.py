"""From an error to an exit code and one line that says what, where and what to do next."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TextIO

from orlop.cli.output import naming_standard_output, printable
from orlop.cli.parser import UsageError
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

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_CLEAN_UP: Final = "orlop gc run removes what was half done"


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
        return f"interrupted; {_CLEAN_UP}"
    if isinstance(error, (OSError, errors.OrlopError, EngineError)):
        failed = _what_failed(error)
        full = any(isinstance(cause, OSError) and cause.errno in _FULL for cause in _causes(error))
        return f"{failed}; make space, then {_CLEAN_UP}" if full else failed
    return f"this is a bug in orlop ({type(error).__name__}: {error}); ORLOP_DEBUG=1 says where"


def _what_failed(error: Exception) -> str:
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    if error.filename is None:
        return error.strerror
    return f"{os.fsdecode(error.filename)}: {error.strerror}"


def run(command: Callable[[], object]) -> int:
    """Run a command and return its exit code, with at most one line on stderr."""
    try:
        outcome = command()
        with naming_standard_output():
            sys.stdout.flush()
    except UsageError as error:
        _tell(_usage(error))
        return USAGE
    except BrokenPipeError:
        # The reader has seen enough.
        _silence(sys.stdout)
        return DONE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 (the last one who can tell the user)
        if os.environ.get("ORLOP_DEBUG"):
            traceback.print_exc()
        _tell(f"orlop: {printable(message(error))}")
        return exit_code(error)
    return outcome if isinstance(outcome, int) else DONE


def _usage(error: UsageError) -> str:
    return error.help_text or f"orlop: {printable(str(error))}; see {error.path} --help"


def _tell(text: str) -> None:
    try:
        sys.stderr.write(text if text.endswith("\n") else f"{text}\n")
        sys.stderr.flush()
    except OSError:
        # Nobody listens; the exit code says it, too.
        _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    """Send what a stream still has to say to nowhere: Python writes it at the end."""
    with suppress(io.UnsupportedOperation):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
