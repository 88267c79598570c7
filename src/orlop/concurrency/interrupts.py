"""Exceptions of signal handlers that look like errors of the system.

An alarm's handler mostly raises a `TimeoutError`, which is an OSError. Code that handles an OSError
of its own calls must not take it for an answer of the system, which has an errno. Where a plug-in
is called its exceptions count, whatever they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType


def reraise_interrupt(error: BaseException) -> None:
    """Raise a TimeoutError again that has no errno: a signal handler raised it.

    Raises:
        TimeoutError: the one that was given.
    """
    if is_interrupt(error):
        raise error


def is_interrupt(error: BaseException) -> bool:
    """Whether an error comes from a signal handler."""
    return isinstance(error, TimeoutError) and error.errno is None


class suppress_os_errors:  # noqa: N801 (it is used as a function, like contextlib.suppress)
    """Suppresses errors of the system, and of further classes; not those of signal handlers."""

    __slots__ = ("_others",)

    def __init__(self, *others: type[Exception]) -> None:
        self._others = others

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if error is None or is_interrupt(error):
            return False
        return isinstance(error, (OSError, *self._others))
