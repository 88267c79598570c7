"""Translates errors of an engine for users of a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.errors import (
    DataLossError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    OrlopError,
    UnavailableError,
)
from orlop.kv import errors as engine

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class translated:  # noqa: N801 (it is used as a function; a generator costs three times as much)
    """Turns an error of the engine of `path` that leaves the block into one of the model.

    `StaleReadError` passes: it says "read again", which only the reader can do.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, engine.EngineError) and not isinstance(error, engine.StaleReadError):
            raise _meaning(error, self._path) from error


def _meaning(error: engine.EngineError, path: Path) -> OrlopError:
    for one in (error, error.__cause__):
        if isinstance(one, engine.CorruptError):
            return DataLossError(f"{path}: {error}", hint=one.hint)
    match error:
        case engine.LockedError():
            return UnavailableError(error.text, hint=error.hint)
        case engine.ReadOnlyError() | engine.EngineClosedError():
            return FailedPreconditionError(f"{path} cannot be written to: {error}")
        case engine.EnginePoisonedError():
            return UnavailableError(f"{path} must be opened again: {error}")
        case (
            engine.KeyRequiredError()
            | engine.KeyTooLargeError()
            | engine.ValueTooLargeError()
            | engine.IncompatibleValueError()
        ):
            return InvalidArgumentError(f"{path}: {error}")
    return InternalError(f"{path}: {error}")
