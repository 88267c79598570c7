"""The exit codes of all commands, and which error ends a command with which."""

from __future__ import annotations

import errno
from typing import Final, NamedTuple

from orlop import errors
from orlop.kv import CorruptError

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
HANGUP: Final = 129
INTERRUPTED: Final = 130
TERMINATED: Final = 143


class ExitCode(NamedTuple):
    """The meaning of an exit code.

    Attributes:
        name: what an error of that code is called in JSON.
        meaning: the text in the documentation.
    """

    name: str
    meaning: str


TABLE: Final[dict[int, ExitCode]] = {
    DONE: ExitCode("done", "done"),
    NEGATIVE: ExitCode(
        "negative",
        "a negative answer: `check` or `verify` found something, nothing holds it (`why`), "
        "a cleanup failed",
    ),
    USAGE: ExitCode("usage", "usage, or an argument that can never be valid"),
    NOT_FOUND: ExitCode("not_found", "not found"),
    EXISTS: ExitCode("already_exists", "exists already"),
    PRECONDITION: ExitCode("failed_precondition", "the state does not allow it"),
    UNAVAILABLE: ExitCode("unavailable", "locked, or busy"),
    CORRUPT: ExitCode(
        "damaged", "damaged: a database, a blob, an archive; it is not what its checksum says"
    ),
    SYSTEM: ExitCode("system", "the system refused: space, permission, input and output"),
    BUG: ExitCode("bug", "a bug; `ORLOP_DEBUG=1` shows where"),
    HANGUP: ExitCode("hangup", "ended by SIGHUP: the terminal was closed"),
    INTERRUPTED: ExitCode("interrupted", "interrupted: SIGINT, Ctrl-C"),
    TERMINATED: ExitCode("terminated", "ended by SIGTERM"),
}
"""Every code that a command may end with. The documentation has the same table."""

KINDS: Final[dict[type[BaseException], int]] = {
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
    OSError: SYSTEM,
    MemoryError: SYSTEM,
    KeyboardInterrupt: INTERRUPTED,
}
"""What each kind of error ends a command with; an error of the system may have no kind."""

_SYSTEM_ERRORS: Final = errors.FULL_DISK | {errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO}
"""An error of the system counts as that, however it was wrapped on its way up."""

_DAMAGED: Final = (errors.DataLossError, CorruptError)
"""What is damaged, likewise."""

_WRAPPERS: Final = (errors.UnknownError, errors.AbortedError)
"""Errors that say less than what caused them."""


def exit_code(error: BaseException) -> int:
    """Return the exit code for an error."""
    chain = list(errors.causes(error))
    if any(isinstance(one, OSError) and one.errno in _SYSTEM_ERRORS for one in chain):
        return SYSTEM
    if isinstance(error, errors.LostDatabaseError):
        return PRECONDITION  # whether the file is missing or empty; there is nothing to salvage
    if any(isinstance(one, _DAMAGED) for one in chain):
        return CORRUPT
    told = next((one for one in chain if not isinstance(one, _WRAPPERS)), error)
    if isinstance(told, KeyboardInterrupt):
        return getattr(told, "exit_code", INTERRUPTED)
    kind = errors.kind_of(told) or type(told)
    return next((KINDS[base] for base in kind.__mro__ if base in KINDS), BUG)
