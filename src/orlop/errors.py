"""The kinds of errors, as containerd's errdefs package has them.

Each kind is declared here once and mapped once to an exit code (`orlop.cli.exit_codes`). A
message reads `<context>: <text of the kind>`, as containerd's; a hint follows a
semicolon. Errors of the engine and of the system are given a kind here too, by `kind_of`, so
that the database, the snapshotters, opening and the command line agree.

Source: github.com/containerd/errdefs.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar, Final

from orlop.kv import errors as engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Self

__all__ = [
    "ENGINE_KINDS",
    "FULL_DISK",
    "REPLACE_BLOBS",
    "RESTORE_SNAPSHOTS",
    "SYSTEM_KINDS",
    "AbortedError",
    "AlreadyExistsError",
    "ConflictError",
    "DataLossError",
    "FailedPreconditionError",
    "InternalError",
    "InvalidArgumentError",
    "LostDatabaseError",
    "NotFoundError",
    "NotModifiedError",
    "OrlopError",
    "OutOfRangeError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
    "causes",
    "engine_error",
    "kind_of",
    "system_error",
]

REPLACE_BLOBS: Final = (
    "orlop content verify names all that is damaged, "
    "orlop image import ARCHIVE --verify puts it back"
)
"""The hint of errors about a stored blob that is not what its digest says."""

RESTORE_SNAPSHOTS: Final = (
    "orlop image unpack NAME --snapshotter SNAPSHOTTER, or where blobs are gone, too, "
    "orlop image import ARCHIVE --name NAME --unpack SNAPSHOTTER, puts the files of an image's "
    "layers back; any other snapshot has lost them: remove it (orlop snapshot rm) with what stands "
    "on it"
)
"""The hint of errors about a snapshot whose directory is gone."""


class OrlopError(Exception):
    """Base of every error that Orlop raises on purpose.

    Attributes:
        context: the operation and its object.
        hint: the next step for the user; empty if the context says it, or nothing helps.
        kind: the text that containerd uses for this kind of error.
    """

    kind: ClassVar[str] = "unknown"

    def __init__(self, context: str = "", *, hint: str = "") -> None:
        super().__init__(context)
        self.context = context
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message

    @property
    def message(self) -> str:
        """The text of the error, without the hint."""
        return f"{self.context}: {self.kind}" if self.context else self.kind

    def because(self, cause: BaseException) -> Self:
        """Return this error with its cause, as `raise ... from cause` has it.

        For modules that may be compiled: there, `raise ... from` loses the cause.
        """
        self.__cause__ = cause
        return self


class UnknownError(OrlopError):
    """An error without a kind of its own."""


class InvalidArgumentError(OrlopError):
    """The caller named something that can never be valid."""

    kind = "invalid argument"


class NotFoundError(OrlopError):
    """The named object does not exist."""

    kind = "not found"


class AlreadyExistsError(OrlopError):
    """The object to be created exists already."""

    kind = "already exists"


class PermissionDeniedError(OrlopError):
    """The caller may not do this."""

    kind = "permission denied"


class ResourceExhaustedError(OrlopError):
    """Space, memory or a quota has run out."""

    kind = "resource exhausted"


class FailedPreconditionError(OrlopError):
    """The state of the database does not allow it, and a retry without a change will not help."""

    kind = "failed precondition"


class LostDatabaseError(FailedPreconditionError):
    """A database is missing, empty or another one, although there is data that it must name."""

    def __init__(self, path: Path, evidence: str, *, found: str = "") -> None:
        """Name the database, and the next step.

        Args:
            path: where it was.
            evidence: the data that only this database could name.
            found: what is in its place; empty: a file without contents, or none.
        """
        state = found or ("empty" if path.exists() else "missing")
        super().__init__(
            f"{path} is {state}, although {evidence}: the database was lost",
            hint=f"{'move this file away, then ' * bool(found)}"
            "restore it from a backup, or write what a damaged copy still holds to that place "
            "with orlop db salvage; if there is neither, begin anew (orlop db init --begin-anew, "
            "or orlop.open(..., begin_anew=True)): all that exists is set aside then, and nothing "
            "is deleted",
        )


class ConflictError(OrlopError):
    """Another change came in between."""

    kind = "conflict"


class NotModifiedError(OrlopError):
    """There was nothing to change."""

    kind = "not modified"


class AbortedError(OrlopError):
    """The operation was given up."""

    kind = "aborted"


class OutOfRangeError(OrlopError):
    """An offset or a size is out of bounds."""

    kind = "out of range"


class UnimplementedError(OrlopError):
    """The operation is not supported (errdefs: NotImplemented)."""

    kind = "not implemented"


class InternalError(OrlopError):
    """An invariant was violated."""

    kind = "internal"


class UnavailableError(OrlopError):
    """The object is locked or busy; a retry may help."""

    kind = "unavailable"


class DataLossError(OrlopError):
    """Stored data is damaged or gone."""

    kind = "data loss"


class UnauthenticatedError(OrlopError):
    """The caller is not authenticated."""

    kind = "unauthorized"


ENGINE_KINDS: Final[Mapping[type[engine.EngineError], type[OrlopError]]] = {
    engine.KeyRequiredError: InvalidArgumentError,
    engine.KeyTooLargeError: InvalidArgumentError,
    engine.ValueTooLargeError: InvalidArgumentError,
    # The stores refuse names that clash; what is left is a file whose shape is damaged.
    engine.IncompatibleValueError: DataLossError,
    engine.CorruptError: DataLossError,
    engine.EmptyFileError: DataLossError,
    engine.NestingTooDeepError: FailedPreconditionError,
    engine.TransactionClosedError: FailedPreconditionError,
    engine.ReadOnlyError: FailedPreconditionError,
    engine.EngineClosedError: FailedPreconditionError,
    engine.ReplacedError: FailedPreconditionError,
    engine.EnginePoisonedError: UnavailableError,
    engine.LockedError: UnavailableError,
    engine.StaleReadError: UnavailableError,
    engine.FileBusyError: UnavailableError,
    # The stores look before they create or delete a bucket.
    engine.BucketExistsError: InternalError,
    engine.BucketNotFoundError: InternalError,
    engine.EngineError: InternalError,
}
"""The kind of each error of an engine, where its cause says no more."""

FULL_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The error numbers of a disk or a quota that is full."""

SYSTEM_KINDS: Final[Mapping[int, type[OrlopError]]] = {
    errno.ENOENT: NotFoundError,
    errno.EEXIST: AlreadyExistsError,
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), PermissionDeniedError),
    **dict.fromkeys(
        (*FULL_DISK, errno.EFBIG, errno.ENOMEM, errno.EMFILE, errno.ENFILE), ResourceExhaustedError
    ),
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG), InvalidArgumentError
    ),
}
"""The kinds of the system's errors, by their number. An error with another number has none."""


def kind_of(error: BaseException) -> type[OrlopError] | None:
    """Return the kind of an error of ours, of an engine or of the system; `None` for any other."""
    if isinstance(error, OrlopError):
        return type(error)
    if isinstance(error, OSError):
        return None if error.errno is None else SYSTEM_KINDS.get(error.errno)
    return _engine_kind(error) if isinstance(error, engine.EngineError) else None


def _engine_kind(error: engine.EngineError) -> type[OrlopError]:
    """Return the kind of an engine's error.

    A commit that failed has the kind of its cause if that is a full disk or damage: to open the
    database again does not help then.
    """
    cause = error.__cause__
    if isinstance(cause, OSError) and kind_of(cause) is ResourceExhaustedError:
        return ResourceExhaustedError
    if isinstance(error, engine.EnginePoisonedError) and isinstance(cause, engine.CorruptError):
        return DataLossError
    return next(ENGINE_KINDS[base] for base in type(error).__mro__ if base in ENGINE_KINDS)


def engine_error(error: engine.EngineError, path: Path) -> OrlopError:
    """Translate an engine error into an OrlopError that names the file `path`."""
    kind = _engine_kind(error)
    text, hint = error.text, error.hint
    if isinstance(error, engine.EnginePoisonedError) and kind is DataLossError:
        cause = error.__cause__
        text, hint = f"{cause}: nothing is written to a damaged file", getattr(cause, "hint", "")
    return kind(text if text.startswith(str(path)) else f"{path}: {text}", hint=hint)


def system_error(error: OSError, path: Path, *, hint: str = "") -> OrlopError | None:
    """Return an error of the system at `path` as one of ours; `None` if it has no kind.

    Args:
        error: if it names a file, the message names that one instead of `path`.
        path: the file or directory in use.
        hint: the next step for the user.
    """
    kind = kind_of(error)
    if kind is None:
        return None
    return kind(f"{error.filename or path}: {error.strerror}", hint=hint)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Iterate over an error and the chain of its causes."""
    while error is not None:
        yield error
        error = error.__cause__
