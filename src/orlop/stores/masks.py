"""Field masks: which fields of a record an update is about.

A path is the name of a field, or the name of a map and behind a dot a key in it, which may
itself hold dots. A key that the given record does not have counts as given empty.

Source: google/protobuf/field_mask.proto, as containerd's stores read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from orlop.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_T = TypeVar("_T")


def key_of(path: str, field: str) -> str | None:
    """Return the key that `path` names in the map `field`; `None` where it names none."""
    name, dot, key = path.partition(".")
    return key if dot and name == field else None


def with_entry(
    stored: Mapping[str, _T], given: Mapping[str, _T], key: str, missing: _T
) -> dict[str, _T]:
    """Return the stored map with one entry taken from the given one."""
    return {**stored, key: given.get(key, missing)}


def masked_map(
    stored: Mapping[str, str], given: Mapping[str, str], path: str, field: str
) -> Mapping[str, str] | None:
    """Return a map of texts after `path` was applied; `None`: the path is about another field."""
    if path == field:
        return given
    key = key_of(path, field)
    return None if key is None else with_entry(stored, given, key, "")


def masked_labels(
    stored: Mapping[str, str], given: Mapping[str, str], paths: Sequence[str], what: str
) -> Mapping[str, str]:
    """Return the labels of a record of which nothing but the labels may be changed.

    Raises:
        InvalidArgumentError: a path names something else.
    """
    result = stored
    for path in paths or ("labels",):
        masked = masked_map(result, given, path, "labels")
        if masked is None:
            raise refusal(path, what)
        result = masked
    return result


def refusal(path: str, what: str) -> InvalidArgumentError:
    """Return the error for a path that names no field, or one that cannot change."""
    return InvalidArgumentError(f'cannot update field "{path}" of {what}')
