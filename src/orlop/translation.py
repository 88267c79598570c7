"""Errors of the engine of a database, in words of the model."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from orlop.creation import lost_database
from orlop.errors import (
    DataLossError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    OrlopError,
    ResourceExhaustedError,
    UnavailableError,
)
from orlop.kv import errors as engine_errors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_KINDS: Final[Mapping[type[engine_errors.EngineError], type[OrlopError]]] = {
    engine_errors.KeyRequiredError: InvalidArgumentError,
    engine_errors.KeyTooLargeError: InvalidArgumentError,
    engine_errors.ValueTooLargeError: InvalidArgumentError,
    # The stores refuse names that clash; what is left is a file whose shape is damaged.
    engine_errors.IncompatibleValueError: DataLossError,
    engine_errors.CorruptError: DataLossError,
    engine_errors.NestingTooDeepError: FailedPreconditionError,
    engine_errors.LockedError: UnavailableError,
    engine_errors.StaleReadError: UnavailableError,
    engine_errors.EnginePoisonedError: UnavailableError,
    engine_errors.ReadOnlyError: FailedPreconditionError,
    engine_errors.EngineClosedError: FailedPreconditionError,
    engine_errors.TransactionClosedError: FailedPreconditionError,
}


def translated(error: engine_errors.EngineError, path: Path) -> OrlopError:
    """Return what an error of the engine is to a user of the database at `path`."""
    if isinstance(error, engine_errors.EmptyFileError) and (lost := lost_database(path)):
        return lost
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in _NO_SPACE:
        return ResourceExhaustedError(f"{path}: {error}")
    if isinstance(error, engine_errors.EnginePoisonedError) and isinstance(
        cause, engine_errors.CorruptError
    ):
        return DataLossError(
            f"{path}: {cause}: nothing is written to a damaged file", hint=cause.hint
        )
    kind = next((kind for base, kind in _KINDS.items() if isinstance(error, base)), InternalError)
    text = error.text
    return kind(text if text.startswith(str(path)) else f"{path}: {text}", hint=error.hint)
