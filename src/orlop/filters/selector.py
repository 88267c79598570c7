"""Parsed filters, and how they match records."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

Adaptor = Callable[[Sequence[str]], tuple[str, bool]]
"""Maps a field path to the field's value and whether the record has it."""

_log: Final = logging.getLogger(__name__)

# RE2 takes \C, a single byte, which Go's regexp refuses because it breaks UTF-8. This finds it
# outside of \Q...\E, where a backslash is a plain character.
_SINGLE_BYTE: Final = re.compile(r"(?>[^\\]|\\Q(?>.*?(?:\\E|\Z))|\\[^CQ])*+\\C", re.DOTALL)
_BROKEN: Final = re.compile(r"[\ud800-\udfff]")


class Operator(Enum):
    """How a field is compared with a value."""

    PRESENT = ""
    EQUAL = "=="
    NOT_EQUAL = "!="
    MATCHES = "~="


# Looked up once: to take a member of an enumeration costs more than to compare with it.
_EQUAL: Final = Operator.EQUAL
_NOT_EQUAL: Final = Operator.NOT_EQUAL
_MATCHES: Final = Operator.MATCHES


@dataclass(frozen=True, slots=True)
class Selector:
    """One condition on one field."""

    path: tuple[str, ...]
    operator: Operator = Operator.PRESENT
    value: str = ""
    _search: Callable[[str], bool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        search = _compile(self.value) if self.operator is Operator.MATCHES else _never
        object.__setattr__(self, "_search", search)

    def matches(self, adaptor: Adaptor) -> bool:
        """Return whether the condition holds for a record."""
        value, present = adaptor(self.path)
        return self.holds(value, present=present)

    def holds(self, value: str, *, present: bool) -> bool:
        """Return whether the condition holds for a field's value; empty where it is absent."""
        operator = self.operator
        if operator is _EQUAL:
            return present and value == self.value
        if operator is _NOT_EQUAL:
            return value != self.value
        if operator is _MATCHES:
            return self._search(value)
        return present


@dataclass(frozen=True, slots=True)
class Filter:
    """Alternatives, one of which must match; each is selectors, all of which must match."""

    alternatives: tuple[tuple[Selector, ...], ...]

    @property
    def matches_all(self) -> bool:
        """Whether nothing is asked of records, so that they need not be looked at."""
        return () in self.alternatives

    def matches(self, adaptor: Adaptor) -> bool:
        """Return whether a record is wanted."""
        for selectors in self.alternatives:
            for selector in selectors:
                if not selector.matches(adaptor):
                    break
            else:
                return True
        return False


def _compile(expression: str) -> Callable[[str], bool]:
    """Return a search for a regular expression; one that is none matches nothing."""
    compiled = _regular_expression(expression)
    if compiled is None:
        _log.warning("%a is no regular expression that RE2 takes: it matches nothing", expression)
        return _never

    def search(value: str) -> bool:
        # Go's regexp sees a replacement character for each byte that is no UTF-8; RE2 would
        # let nothing match there.
        text = value if value.isascii() else _BROKEN.sub("\N{REPLACEMENT CHARACTER}", value)
        return compiled.search(text.encode()) is not None

    return search


def _regular_expression(expression: str) -> Any | None:
    import re2  # noqa: PLC0415 (few filters have regular expressions)

    if _SINGLE_BYTE.match(expression):
        return None
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(expression.encode(errors="surrogateescape"), options)
    except re2.error:
        return None


def _never(_value: str) -> bool:
    return False
