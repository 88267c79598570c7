"""Where a bucket lies, at a cost that does not grow with how deep it lies.

A damaged file may nest buckets a hundred thousand deep. With a tuple of names for each of
them, a walk would take memory by the square of that.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_NAMES = 32
"""So many names of a path are told: the last ones, where there are more."""

SHARE_DEPTH = 2
"""At this depth lie the namespaces of a `meta.db`, whose shares of a file are told apart."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Place:
    """A bucket: its name, and the place of the bucket that it lies in.

    Attributes:
        name: its key in the bucket outside.
        outside: the place of that bucket; None: the outermost one.
        depth: how many buckets it lies in, the outermost one included.
        share: the place at depth 2 that this one lies in; None: it is not deeper.
    """

    name: bytes
    outside: Place | None
    depth: int = 1
    share: Place | None = None

    def path(self, limit: int = MAX_NAMES) -> tuple[bytes, ...]:
        """Return the last `limit` names that lead here."""
        names: list[bytes] = []
        place: Place | None = self
        while place is not None and len(names) < limit:
            names.append(place.name)
            place = place.outside
        return tuple(reversed(names))


def inside(place: Place | None, name: bytes) -> Place:
    """Return the place of the bucket `name` in the bucket at `place` (None: the outermost)."""
    if place is None:
        return Place(name, None)
    share = place if place.depth == SHARE_DEPTH else place.share
    return Place(name, place, place.depth + 1, share)


def path_of(place: Place | None) -> tuple[bytes, ...]:
    """Return the last names that lead to a place; none for the outermost bucket."""
    return () if place is None else place.path()
