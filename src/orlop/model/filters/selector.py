"""What a parsed filter is, and what it matches."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeVar

import re2

_T = TypeVar("_T")

Adaptor = Callable[[Sequence[str]], tuple[str, bool]]
"""Maps a field path to the field's value and whether the record has it."""

_log: Final = logging.getLogger(__name__)

_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
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
        match self.operator:
            case Operator.PRESENT:
                return present
            case Operator.EQUAL:
                return present and value == self.value
            case Operator.NOT_EQUAL:
                return value != self.value
            case Operator.MATCHES:
                return self._search(value)


@dataclass(frozen=True, slots=True)
class Filter:
    """Alternatives, one of which must match; each is selectors, all of which must match."""

    alternatives: tuple[tuple[Selector, ...], ...]

    def matches(self, adaptor: Adaptor) -> bool:
        """Return whether a record is wanted."""
        return any(
            all(selector.matches(adaptor) for selector in selectors)
            for selectors in self.alternatives
        )

    def select(self, records: Iterable[_T], adaptor: Callable[[_T], Adaptor]) -> list[_T]:
        """Return the records that are wanted, in their order.

        Args:
            records: what to choose from.
            adaptor: gives what the filter sees of a record.
        """
        if () in self.alternatives:
            # Nothing is asked of them, and so they need not be looked at.
            return list(records)
        return [one for one in records if self.matches(adaptor(one))]


def _compile(expression: str) -> Callable[[str], bool]:
    """Return a search for a regular expression; one that is none matches nothing."""
    compiled = _regular_expression(expression)
    if compiled is None:
        _log.warning("%a is no regular expression that RE2 takes: it matches nothing", expression)
        return _never

    def search(value: str) -> bool:
        # Go's regexp sees a replacement character for each byte that is no UTF-8; RE2 would
        # let nothing match there.
        text = _BROKEN.sub("\N{REPLACEMENT CHARACTER}", value)
        return compiled.search(text.encode()) is not None

    return search


def _regular_expression(expression: str) -> Any | None:
    if _SINGLE_BYTE.match(expression):
        return None
    try:
        return re2.compile(expression.encode(errors="surrogateescape"), _OPTIONS)
    except re2.error:
        return None


def _never(_value: str) -> bool:
    return False
