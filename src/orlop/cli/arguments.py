"""Values of arguments that several commands parse: labels, durations, times."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from orlop.errors import InvalidArgumentError
from orlop.schema.codec.timestamps import parse_duration, parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whenever import Instant

_NANOSECONDS_A_MICROSECOND = 1000


def labels(pairs: Iterable[str]) -> dict[str, str]:
    """Read `key=value` pairs; `key=` and `key` give an empty value, which removes a label.

    Raises:
        InvalidArgumentError: a pair has no key.
    """
    result = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if not key:
            raise InvalidArgumentError(f'label "{pair}": write it as key=value')
        result[key] = value
    return result


def duration(text: str | None) -> timedelta | None:
    """Read a duration as Go writes them: `90s`, `1h30m`.

    Raises:
        InvalidArgumentError: it is none, or not longer than nothing.
    """
    if text is None:
        return None
    try:
        nanoseconds = parse_duration(text)
    except ValueError as error:
        raise InvalidArgumentError(f'duration "{text}": write it as 90s or 1h30m') from error
    if nanoseconds <= 0:
        raise InvalidArgumentError(f'duration "{text}": it must be longer than nothing')
    return timedelta(microseconds=nanoseconds / _NANOSECONDS_A_MICROSECOND)


def moment(text: str | None) -> Instant | None:
    """Read a time in RFC 3339.

    Raises:
        InvalidArgumentError: it is none.
    """
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise InvalidArgumentError(f'time "{text}": write it as 2026-01-31T12:00:00Z') from error
