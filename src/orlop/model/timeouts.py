"""The check of timeouts that callers give."""

from __future__ import annotations

from orlop.model.errors import InvalidArgumentError


def require_timeout(timeout: object) -> None:
    """Check a timeout in seconds; `None` stands for one without end.

    Raises:
        InvalidArgumentError: it is no number, or a negative one.
    """
    if timeout is None:
        return
    # Negated, so that it refuses what is no number at all, too: nan.
    if not isinstance(timeout, (int, float)) or not timeout >= 0:
        raise InvalidArgumentError(
            f"timeout {timeout!r}", hint="give seconds, 0 or more, or None to wait without end"
        )
