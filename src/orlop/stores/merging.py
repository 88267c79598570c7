"""Merging of labels that keeps all references to other records."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from orlop.labels import GC_REF

if TYPE_CHECKING:
    from collections.abc import Mapping


def merged(stored: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the stored labels with the given ones added; where both have a key, the given one.

    A label that holds another object (`containerd.io/gc.ref.*`) is not replaced: the given
    one gets a key of its own, `<key>/1` or a higher number, which holds as well.
    """
    labels = dict(stored)
    for key, value in given.items():
        if not value:
            continue  # an empty label is not stored
        labels[_key(labels, key, value) if key.startswith(GC_REF) else key] = value
    return labels


def _key(labels: Mapping[str, str], key: str, value: str) -> str:
    if labels.get(key, value) == value:
        return key
    numbered = (f"{key}/{number}" for number in count(1))
    return next(one for one in numbered if labels.get(one, value) == value)
