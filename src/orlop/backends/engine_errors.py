"""What an engine's errors mean to those who use a backend."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from orlop.kv import errors as engine
from orlop.model.errors import (
    DataLossError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn an error of the engine of `path` into one of the model.

    `StaleReadError` passes: it says "read again", which only the reader can do.
    """
    try:
        yield
    except engine.StaleReadError:
        raise
    except engine.LockedError as error:
        raise UnavailableError(str(error)) from error
    except (engine.ReadOnlyError, engine.EngineClosedError) as error:
        raise FailedPreconditionError(f"{path} cannot be written to: {error}") from error
    except engine.EnginePoisonedError as error:
        raise UnavailableError(f"{path} must be opened again: {error}") from error
    except engine.CorruptError as error:
        raise DataLossError(f"{path}: {error}") from error
    except (
        engine.KeyRequiredError,
        engine.KeyTooLargeError,
        engine.ValueTooLargeError,
        engine.IncompatibleValueError,
    ) as error:
        raise InvalidArgumentError(f"{path}: {error}") from error
    except engine.EngineError as error:
        raise InternalError(f"{path}: {error}") from error
