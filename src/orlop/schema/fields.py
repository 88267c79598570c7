"""The fields of records that are read whole, from a bucket with all that it holds.

A field that is missing, or has the shape of a bucket where a value belongs or the other way
round, reads as nothing. `values` has the same for single fields of a bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from orlop.model import encoding
from orlop.schema import names, values

if TYPE_CHECKING:
    from collections.abc import Callable

    from whenever import Instant

    from orlop.kv import Bucket, Tree
    from orlop.model.any import ProtoAny

_T = TypeVar("_T")

Wanted: TypeAlias = "Callable[[str, Tree], bool]"
"""Tells by the name of a record, and by what is stored of it, whether it is wanted."""

_NOTHING: Final[Tree] = {}


def record(bucket: Bucket | None, name: str) -> Tree | None:
    """Return the record `name` with all that it holds; `None` where there is none."""
    return None if bucket is None else bucket.tree(names.to_bytes(name))


def records(
    bucket: Bucket | None,
    decode: Callable[[str, Tree], _T],
    check: Callable[[str, Tree], object],
    wanted: Wanted | None,
) -> list[_T]:
    """Return the records that are wanted, in byte order of their names.

    Args:
        bucket: where they lie; it may be missing.
        decode: makes a record of what is stored.
        check: raises what `decode` raises: a damaged record is told of, wanted or not.
        wanted: which ones; `None` for all.
    """
    if bucket is None:
        return []
    if wanted is None:
        return [decode(names.to_text(key), tree) for key, tree in bucket.trees()]
    found: list[_T] = []
    for key, tree in bucket.trees():
        name = names.to_text(key)
        if wanted(name, tree):
            found.append(decode(name, tree))
        else:
            check(name, tree)
    return found


def nested(tree: Tree, key: bytes) -> Tree:
    """Return the contents of a nested bucket, empty without one. Do not change them."""
    value = tree.get(key)
    return value if isinstance(value, dict) else _NOTHING


def text(tree: Tree, key: bytes) -> str:
    """Return a text; empty where there is none."""
    value = tree.get(key)
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else ""


def size(tree: Tree, key: bytes) -> int:
    """Return a size in bytes; 0 where there is none or where it cannot be read."""
    value = tree.get(key)
    return encoding.decode_varint(value) if isinstance(value, bytes) else 0


def times(tree: Tree) -> tuple[Instant | None, Instant | None]:
    """Return when a record was created and updated; `None` where a time is not set.

    Raises:
        DataLossError: the stored bytes are no time.
    """
    created, updated = tree.get(names.CREATED_AT), tree.get(names.UPDATED_AT)
    first = values.decode_time(names.CREATED_AT, created) if isinstance(created, bytes) else None
    if updated == created:  # as of most records
        return first, first
    return first, (
        values.decode_time(names.UPDATED_AT, updated) if isinstance(updated, bytes) else None
    )


def check_times(_: str, tree: Tree) -> None:
    """Raise the errors of `times` for damaged times."""
    times(tree)


def texts(tree: Tree, key: bytes) -> dict[str, str]:
    """Return a map of texts; an empty one where there is none."""
    entries = tree.get(key)
    found: dict[str, str] = {}
    if isinstance(entries, dict):
        # For a map of few texts, as most are, a loop costs less than a comprehension.
        for name, value in entries.items():
            if isinstance(value, bytes):
                word = value.decode("utf-8", "surrogateescape")
                found[name.decode("utf-8", "surrogateescape")] = word
    return found


def envelope(tree: Tree, key: bytes) -> ProtoAny | None:
    """Return an Any; `None` where there is none.

    Raises:
        DataLossError: the stored bytes are no Any.
    """
    value = tree.get(key)
    return values.decode_any(key, value) if isinstance(value, bytes) else None


def envelopes(tree: Tree, key: bytes) -> dict[str, ProtoAny]:
    """Return a map of Any; an empty one where there is none.

    Raises:
        DataLossError: the stored bytes of one are no Any.
    """
    return {
        names.to_text(name): values.decode_any(name, value)
        for name, value in nested(tree, key).items()
        if isinstance(value, bytes)
    }
