"""The differences of two databases, by bucket and key, regardless of their pages."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.kv import Bucket, Transaction
    from orlop.kv.contract import Item


class Kind(enum.Enum):
    """The kind of a change from the first database to the second."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    SEQUENCE = "sequence"


@dataclass(frozen=True, slots=True)
class Difference:
    """One entry that differs.

    Attributes:
        kind: what became of it.
        path: the keys that lead to it, its own last.
        before: the value in the first database, a bucket's counter for `SEQUENCE`; None for
            a bucket, or where there is none.
        after: the same in the second.
    """

    kind: Kind
    path: tuple[bytes, ...]
    before: bytes | int | None = None
    after: bytes | int | None = None


def diff(before: Transaction, after: Transaction) -> Iterator[Difference]:
    """Iterate over the differences in key order: a bucket's own, then those of its contents.

    A bucket that only one has is one difference: what is in it is not listed.

    Raises: what the engine raises where a file is damaged.
    """
    path: list[bytes] = []
    one, other = before.root, after.root
    yield from _counters(one, other, path)
    # A stack of its own: buckets may nest deeper than Python's bears.
    walked = [(one, other, _side_by_side(one, other))]
    while walked:
        one, other, pairs = walked[-1]
        for mine, theirs in pairs:
            key = mine[0] if mine is not None else theirs[0] if theirs is not None else b""
            if mine is None or theirs is None or (mine[1], theirs[1]) != (None, None):
                yield from _of_entry(mine, theirs, (*path, key))
                continue
            nested, matching = one.bucket(key), other.bucket(key)
            if nested is not None and matching is not None:
                path.append(key)
                yield from _counters(nested, matching, path)
                walked.append((nested, matching, _side_by_side(nested, matching)))
                break
        else:
            walked.pop()
            if path:
                path.pop()


def _counters(one: Bucket, other: Bucket, path: list[bytes]) -> Iterator[Difference]:
    if one.sequence != other.sequence:
        yield Difference(Kind.SEQUENCE, tuple(path), one.sequence, other.sequence)


def _of_entry(
    mine: Item | None, theirs: Item | None, path: tuple[bytes, ...]
) -> Iterator[Difference]:
    """Compare two entries of one key; at most one of them is a bucket."""
    if mine is None:
        yield Difference(Kind.ADDED, path, after=theirs[1] if theirs is not None else None)
    elif theirs is None:
        yield Difference(Kind.REMOVED, path, before=mine[1])
    elif mine[1] != theirs[1]:
        yield Difference(Kind.CHANGED, path, mine[1], theirs[1])


def _side_by_side(one: Bucket, other: Bucket) -> Iterator[tuple[Item | None, Item | None]]:
    """Pair the items of two buckets by their keys."""
    left, right = iter(one.items()), iter(other.items())
    mine, theirs = next(left, None), next(right, None)
    while mine is not None or theirs is not None:
        if theirs is None or (mine is not None and mine[0] < theirs[0]):
            yield mine, None
            mine = next(left, None)
        elif mine is None or theirs[0] < mine[0]:
            yield None, theirs
            theirs = next(right, None)
        else:
            yield mine, theirs
            mine, theirs = next(left, None), next(right, None)
