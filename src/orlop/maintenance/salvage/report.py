"""The report on a damaged file: the recovered keys, their sources, and the losses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from orlop.bolt.tools.walk import names_of

if TYPE_CHECKING:
    from orlop.bolt.tools.walk import BucketPath

MAX_LOSSES: Final = 10_000
"""More losses than these are counted, but not told."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A page, or a record on it, that could not be read, and its likely contents.

    Attributes:
        page: its number.
        bucket: the bucket that it belonged to; None: the outermost.
        why: what is wrong with it.
        least: no key on it was below this; None: not known.
        below: all keys on it were below this; None: not known.
        is_of_record: whether it is one record, and not the page.
        is_gap: whether something may be found elsewhere that fills the place.
    """

    page: int
    bucket: BucketPath | None
    why: str
    least: bytes | None = None
    below: bytes | None = None
    is_of_record: bool = False
    is_gap: bool = True

    @property
    def bucket_path(self) -> tuple[bytes, ...]:
        """The names of the buckets that lead to it: the last 32, if there are more."""
        return names_of(self.bucket)


@dataclass(frozen=True, slots=True)
class Recovered:
    """A leaf that nothing reached.

    Attributes:
        page: its number.
        bucket_path: the bucket that it was put into.
        entries: how many values and buckets were taken from there.
    """

    page: int
    bucket_path: tuple[bytes, ...]
    entries: int


@dataclass(slots=True)
class Salvaged:
    """The result of a salvage.

    Attributes:
        transaction: the version that was taken; None: no meta tells.
        is_whole: whether that version was sound, so that nothing of it is lost; where it is
            not the newest, what is wrong with that is the one loss.
        entries: how many values and buckets were taken from it.
        older_entries: how many came from the version before, in the gaps of the newest.
        losses: what could not be read, in the order in which it was met.
        untold: how many more losses there are, after the first 10,000.
        recovered: leaves that nothing reached; they may be older than the newest version.
        writers: processes that had the file open for writing, by number and command: what
            was taken may be of several versions.
    """

    transaction: int | None = None
    is_whole: bool = False
    entries: int = 0
    older_entries: int = 0
    losses: list[Loss] = field(default_factory=list)
    untold: int = 0
    recovered: list[Recovered] = field(default_factory=list)
    writers: tuple[tuple[int, str], ...] = ()

    def lose(self, loss: Loss) -> None:
        """Note a loss."""
        if len(self.losses) < MAX_LOSSES:
            self.losses.append(loss)
        else:
            self.untold += 1

    @property
    def is_lossless(self) -> bool:
        """Whether nothing is lost."""
        return self.is_whole and not self.losses

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was found."""
        return not (self.is_whole or self.entries or self.older_entries or self.recovered)
