"""Validation of names, labels and sizes before anything is written.

Values that the file cannot store are refused here, as invalid arguments: a fault that shows
only in the middle of a write would leave half a record in the transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop import labels
from orlop.errors import InvalidArgumentError
from orlop.schema import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SIZE_MAX: Final = 2**63 - 1
_SHOWN: Final = 64

__all__ = [
    "check_key",
    "check_keys",
    "check_labels",
    "check_map",
    "check_size",
    "check_texts",
    "new_entries",
]


def check_key(text: str, what: str) -> None:
    """Refuse a name that is empty, longer than the file takes, or no UTF-8.

    Raises:
        InvalidArgumentError: it is.
    """
    names.check_key(text, what)
    check_texts(text)


def new_entries(entries: Mapping[str, str], stored: Mapping[str, str]) -> Mapping[str, str]:
    """Return the entries that differ from stored ones, which need no new validation."""
    return {key: value for key, value in entries.items() if stored.get(key) != value}


def check_keys(keys: Iterable[str], what: str) -> None:
    """Refuse keys that are empty or longer than the file takes.

    Raises:
        InvalidArgumentError: one of them is.
    """
    for key in keys:
        check_key(key, f"a key of {what}")


def check_map(entries: Mapping[str, str], what: str) -> None:
    """Refuse a map that cannot be stored.

    Raises:
        InvalidArgumentError: a key is empty or too long, or something is no text.
    """
    check_keys(entries, what)
    check_texts(*entries.values())


def check_labels(entries: Mapping[str, str], what: str) -> None:
    """Refuse labels that are longer than containerd allows, or cannot be stored.

    Raises:
        InvalidArgumentError: one of them does.
    """
    for key, value in entries.items():
        if not (
            0 < len(key) <= labels.MAX_LENGTH - len(value) and key.isascii() and value.isascii()
        ):
            check_map(entries, what)
            labels.validate(entries, what)
            return


def check_texts(*texts: str) -> None:
    """Refuse text that cannot be written as UTF-8, which no client of containerd could read.

    Raises:
        InvalidArgumentError: one of them is such a text.
    """
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            message = f"{text[:_SHOWN]!r} is no UTF-8"
            refused = InvalidArgumentError(message).because(error)
        else:
            continue
        raise refused


def check_size(size: int, what: str) -> None:
    """Refuse a size, in bytes, that is not positive or does not fit into 64 bits.

    Raises:
        InvalidArgumentError: it is so.
    """
    if not 0 < size <= _SIZE_MAX:
        raise InvalidArgumentError(f"{what} must be greater than zero, it is {size}")
