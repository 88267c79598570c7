"""Conditions: references that hold while a snapshot was used lately, or was not.

The label `containerd.io/gc.cond.snapshot.<snapshotter>` has a value such as
`usedat<72h|<snapshot key>`; when the snapshot was used last, another label on it says.

Source: containerd, core/metadata/gc.go; spec/metadata.md 3.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from orlop.model.timestamps import parse_duration

_USED_AT: Final = "usedat"
_OPERATOR: Final = re.compile(r"[!<>=]=?")
_INT64_MAX: Final = (1 << 63) - 1
_INT64_MIN: Final = -(1 << 63)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One condition: how long ago the snapshot was used, against a duration.

    Attributes:
        is_less: whether it must be less than the duration; else more.
        nanoseconds: the duration.
    """

    is_less: bool
    nanoseconds: int

    def holds(self, used_at: int, now: int) -> bool:
        """Tell whether it holds for a snapshot that was used at `used_at`.

        Args:
            used_at: in nanoseconds since 1970.
            now: the present, in nanoseconds since 1970.
        """
        # Go's durations end where 64 bits do.
        elapsed = min(max(now - used_at, _INT64_MIN), _INT64_MAX)
        return elapsed < self.nanoseconds if self.is_less else elapsed > self.nanoseconds


def parse(value: str) -> tuple[tuple[Comparison, ...], str] | None:
    """Return the conditions in the value of a label, and the key of the snapshot.

    Any of the conditions suffices. Those that cannot be understood are left out; `None`
    where nothing can be.
    """
    conditions, bar, key = value.partition("|")
    if not bar:
        return None
    parsed = (_comparison(one) for one in conditions.split(","))
    comparisons = tuple(one for one in parsed if one is not None)
    return (comparisons, key) if comparisons else None


def _comparison(text: str) -> Comparison | None:
    operator = _OPERATOR.search(text)
    if operator is None or text[: operator.start()] != _USED_AT:
        return None
    if operator[0] not in {"<", ">"}:
        return None
    try:
        return Comparison(operator[0] == "<", parse_duration(text[operator.end() :]))
    except ValueError:
        return None
