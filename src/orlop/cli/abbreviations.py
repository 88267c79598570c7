"""Digests of which only the beginning is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop import digests
from orlop.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

SHORTEST: Final = 4
"""So many characters of a digest without its algorithm must be given."""

_SHOWN: Final = 8


def resolve_digest(text: str, known: Iterable[str]) -> str:
    """Return the digest that a text is or begins; the text itself where there is none.

    Args:
        text: a digest, or its beginning with or without the algorithm.
        known: the digests to look through; they are not looked at for a whole digest.

    Raises:
        InvalidArgumentError: it is the beginning of several.
    """
    if digests.is_valid(text):
        return text
    found = sorted({one for one in known if digests.begins_with(one, text, shortest=SHORTEST)})
    if len(found) > 1:
        more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise InvalidArgumentError(f'"{text}" is ambiguous: {", ".join(found[:_SHOWN])}{more}')
    return found[0] if found else text
