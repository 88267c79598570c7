"""Times and durations as text, as Go's time package reads and writes them.

Labels hold such texts, and a collector that read one otherwise than containerd would remove
what the other keeps.

Source: Go, package time (Parse with RFC3339, ParseDuration); RFC 3339.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

from whenever import Instant

from orlop.errors import InvalidArgumentError

_NANOSECONDS: Final = 10**9
_NANOSECOND_DIGITS: Final = 9
_MICROSECOND: Final = timedelta(microseconds=1)
_DAY: Final = 86_400
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
# The calendar repeats itself after so many years and days.
_CYCLE_YEARS: Final = 400
_CYCLE_DAYS: Final = 146_097
_LOWEST: Final = Instant.MIN.timestamp(unit="nanosecond")
_HIGHEST: Final = Instant.MAX.timestamp(unit="nanosecond")

_RFC3339: Final = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
    # Go takes an hour of one digit, and a comma before the fraction.
    r"T(?P<hour>\d\d?):(?P<minute>\d\d):(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?"
    r"(?:Z|(?P<sign>[+-])(?P<zone_hour>\d\d):(?P<zone_minute>\d\d))",
    re.ASCII,
)
# Where Go refuses more: the offset's limits are inclusive, as Go has them since 1.20.
_HIGHEST_OF: Final = {"hour": 23, "minute": 59, "second": 59, "zone_hour": 24, "zone_minute": 60}

_INT64_END: Final = 1 << 63
_COMPONENT: Final = re.compile(r"(?P<whole>\d*)(?:\.(?P<fraction>\d*))?(?P<unit>[^.\d]+)", re.ASCII)
_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "\N{MICRO SIGN}s": 10**3,
    "\N{GREEK SMALL LETTER MU}s": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}


def parse_rfc3339(text: str) -> Instant:
    """Parse a time as Go's `time.Parse(time.RFC3339, text)` takes it.

    Digits of the fraction beyond nanoseconds are cut off. Go knows times shortly before year 1
    and after year 9999 (a year 0, an offset at either end); they become the first and the last
    instant, so that they still compare with all others as they should.

    Raises:
        ValueError: Go would not take the text.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!a} is no time: expected one like 2006-01-02T15:04:05Z")
    parts = {name: int(match[name] or 0) for name in _RFC3339.groupindex if name != "sign"}
    for name, highest in _HIGHEST_OF.items():
        if parts[name] > highest:
            raise ValueError(f"{text!a} is no time: {name.replace('_', ' ')} is above {highest}")
    days = _days_since_epoch(text, parts["year"], parts["month"], parts["day"])
    offset = parts["zone_hour"] * 3600 + parts["zone_minute"] * 60
    seconds = days * _DAY + parts["hour"] * 3600 + parts["minute"] * 60 + parts["second"]
    seconds += offset if match["sign"] == "-" else -offset
    fraction = (match["fraction"] or "")[:_NANOSECOND_DIGITS].ljust(_NANOSECOND_DIGITS, "0")
    nanoseconds = seconds * _NANOSECONDS + int(fraction)
    return Instant.from_timestamp(min(max(nanoseconds, _LOWEST), _HIGHEST), unit="nanosecond")


def require_instant(value: object, what: str) -> Instant:
    """Return a moment that a caller gave.

    Raises:
        InvalidArgumentError: it is none, such as a datetime, which may not know its zone.
    """
    if not isinstance(value, Instant):
        raise InvalidArgumentError(
            f"{what} {value!r}",
            hint="give a whenever.Instant, such as Instant.parse_iso('2026-01-31T12:00:00Z')",
        )
    return value


def require_duration(value: object, what: str) -> timedelta:
    """Return a duration that a caller gave.

    Raises:
        InvalidArgumentError: it is none, such as a number, which may be seconds or not.
    """
    if not isinstance(value, timedelta):
        raise InvalidArgumentError(
            f"{what} {value!r}", hint="give a datetime.timedelta, such as timedelta(hours=1)"
        )
    return value


def moment_after(now: Instant, duration: timedelta) -> Instant:
    """Return the moment a duration after another; the first or last one that there is at most."""
    nanoseconds = now.timestamp(unit="nanosecond") + duration // _MICROSECOND * 1000
    return Instant.from_timestamp(min(max(nanoseconds, _LOWEST), _HIGHEST), unit="nanosecond")


def format_rfc3339(instant: Instant) -> str:
    """Format a time in UTC to the second (cut, not rounded), as Go's RFC3339."""
    return instant.format_iso(unit="second")


def format_rfc3339_nano(instant: Instant) -> str:
    """Format a time in UTC to the nanosecond without trailing zeros, as Go's RFC3339Nano."""
    return instant.format_iso()


def parse_duration(text: str) -> int:
    """Parse a duration such as `300ms`, `-1.5h` or `2h45m`, as Go's `time.ParseDuration`.

    Returns:
        The duration in nanoseconds, a signed integer of 64 bits; fractions of one are cut off.

    Raises:
        ValueError: Go would not take the text, or the duration does not fit.
    """
    unsigned = text[1:] if text.startswith(("-", "+")) else text
    if unsigned == "0":
        return 0
    total, position = 0, 0
    while match := _COMPONENT.match(unsigned, position):
        total += _component(text, match)
        position = match.end()
        if total > _INT64_END:
            raise _no_duration(text, "it does not fit into 64 bits")
    if not unsigned or position != len(unsigned):
        raise _no_duration(text, "expected numbers with units, such as 1h30m")
    if text.startswith("-"):
        return -total
    if total == _INT64_END:
        raise _no_duration(text, "it does not fit into 64 bits")
    return total


def _days_since_epoch(text: str, year: int, month: int, day: int) -> int:
    # Python's calendar begins with year 1, Go's has a year 0.
    shift = 0 if year else 1
    try:
        ordinal = date(year + shift * _CYCLE_YEARS, month, day).toordinal()
    except ValueError as error:
        raise ValueError(f"{text!a} is no time: {error}") from error
    return ordinal - shift * _CYCLE_DAYS - _EPOCH_DAY


def _component(text: str, match: re.Match[str]) -> int:
    """Return the nanoseconds of one number with its unit."""
    unit = _UNITS.get(match["unit"])
    if unit is None:
        raise _no_duration(text, f"unit {match['unit']!a} is unknown")
    if not match["whole"] and not match["fraction"]:
        raise _no_duration(text, "a unit stands without a number")
    nanoseconds = _whole(text, match["whole"]) * unit
    if match["fraction"]:
        numerator, scale = _fraction(match["fraction"])
        # Floating point, because Go counts so: another rounding could give another nanosecond.
        nanoseconds += int(float(numerator) * (float(unit) / scale))
    return nanoseconds


def _whole(text: str, digits: str) -> int:
    # Checked before it is converted: Python refuses numbers of thousands of digits.
    significant = digits.lstrip("0") or "0"
    if len(significant) > len(str(_INT64_END)):
        raise _no_duration(text, "it does not fit into 64 bits")
    return int(significant)


def _fraction(digits: str) -> tuple[int, float]:
    """Return the fraction's digits as a number, as many as 64 bits hold, and its scale."""
    number, scale = 0, 1.0
    for digit in digits:
        longer = number * 10 + int(digit)
        if number > (_INT64_END - 1) // 10 or longer > _INT64_END:
            break
        number, scale = longer, scale * 10
    return number, scale


def _no_duration(text: str, reason: str) -> ValueError:
    return ValueError(f"{text!a} is no duration: {reason}")
