"""The kinds of errors, as containerd's errdefs package has them.

Each kind is declared here once and mapped once to an exit code (`orlop.cli.exit_codes`) and
later once to a gRPC code. A message reads `<context>: <text of the kind>`, as containerd's;
what to do next follows a semicolon.

Source: github.com/containerd/errdefs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

REPLACE_BLOBS: Final = (
    "orlop content verify names all that is damaged, orlop image import --verify puts it back"
)
"""The hint of errors about a stored blob that is not what its digest says."""

RESTORE_SNAPSHOTS: Final = (
    "orlop image import --unpack, or orlop image unpack, puts the files of an image's layers "
    "back; any other snapshot has lost them: remove it (orlop snapshot rm) with what stands on it"
)
"""The hint of errors about a snapshot whose directory is gone."""


class OrlopError(Exception):
    """Base of every error that Orlop raises on purpose.

    Attributes:
        context: what was being done to what.
        hint: what to do next; empty where the context says it, or nothing helps.
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

        For modules that the accelerator may compile: there, what follows `from` is lost.
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
    """A database is missing or empty, although there is data that only it could name."""

    def __init__(self, path: Path, evidence: str) -> None:
        """Say which database it is, and what to do.

        Args:
            path: where it was.
            evidence: what shows that there was one.
        """
        super().__init__(
            f"{path} is {'empty' if path.exists() else 'missing'}, although {evidence}: the "
            "database was lost",
            hint="restore it from a backup, or write what a damaged copy still holds to that place "
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
    """This is not supported (errdefs: NotImplemented)."""

    kind = "not implemented"


class InternalError(OrlopError):
    """Something that must always hold did not."""

    kind = "internal"


class UnavailableError(OrlopError):
    """It cannot be had now: it is locked or busy; a retry may help."""

    kind = "unavailable"


class DataLossError(OrlopError):
    """Stored data is damaged or gone."""

    kind = "data loss"


class UnauthenticatedError(OrlopError):
    """The caller is not authenticated."""

    kind = "unauthorized"
