"""The errors of an engine, one class for each case that callers treat differently.

A refused operation (a wrong key, a missing bucket) leaves the transaction as it was.
"""

from __future__ import annotations

from typing import Final

_CHECK: Final = (
    "restore a backup if there is one; orlop db check FILE lists the damage, orlop db salvage FILE "
    "NEW keeps what can be read"
)


class EngineError(Exception):
    """Base of all errors of an engine.

    Attributes:
        text: what is wrong, and where.
        hint: what to do next; empty where nothing is known that helps.
    """

    def __init__(self, text: str = "", *, hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint


class KeyRequiredError(EngineError):
    """A key or a bucket name is empty."""


class KeyTooLargeError(EngineError):
    """A key or a bucket name is longer than the engine's limit (bbolt: 32,768 bytes)."""


class ValueTooLargeError(EngineError):
    """A value is longer than the engine's limit (bbolt: 2,147,483,646 bytes)."""


class IncompatibleValueError(EngineError):
    """A plain value was found where a bucket was expected, or the other way round."""


class BucketExistsError(EngineError):
    """The bucket to be created is there already."""


class BucketNotFoundError(EngineError):
    """The bucket to be deleted is not there, or was deleted while a handle on it was kept."""


class NestingTooDeepError(EngineError):
    """A bucket would be nested deeper than the engine's limit (bolt: 256)."""


class TransactionClosedError(EngineError):
    """The transaction has been committed or rolled back."""


class ReadOnlyError(EngineError):
    """A write was asked of a reading transaction or of an engine opened for reading."""


class EngineClosedError(EngineError):
    """The engine has been closed."""


class EnginePoisonedError(EngineError):
    """An earlier write or sync failed: nothing is accepted until the engine is opened again."""


class LockedError(EngineError):
    """Another holder has the engine's lock for longer than the timeout, or the caller has it."""

    def __str__(self) -> str:
        return f"{self.text}; {self.hint}" if self.hint else self.text


class StaleReadError(EngineError):
    """Another process changed the file during the read: its result is void, read again."""


class FileBusyError(StaleReadError):
    """The file changes too fast to be read, in any way: to read again at once is of no use."""


class ReplacedError(EngineError):
    """The file was replaced, or changed by another program, while it was open for writing."""


class CorruptError(EngineError):
    """The stored bytes break the engine's format."""

    def __init__(self, text: str = "", *, hint: str = _CHECK) -> None:
        super().__init__(text, hint=hint)


class EmptyFileError(CorruptError):
    """The file is empty, or its first writing was interrupted: there is nothing to be read."""

    def __init__(self) -> None:
        super().__init__(
            "the file is empty, and no database", hint="restore it from a backup, if there was one"
        )
