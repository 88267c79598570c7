"""Progress reports of import, unpacking and export."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol


class Stage(enum.Enum):
    """The stages of an import, an export or an unpacking."""

    IMPORT = "import"
    UNPACK = "unpack"
    EXPORT = "export"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A unit of work: one blob or layer.

    Attributes:
        stage: what is being done.
        digest: of the blob as it is stored.
        media_type: of the blob.
        total: how many bytes it has.
    """

    stage: Stage
    digest: str
    media_type: str
    total: int


class Progress(Protocol):
    """The receiver of progress. Every unit of work is started, and finished unless it fails."""

    def started(self, work: Work) -> None:
        """A unit of work begins."""

    def advanced(self, work: Work, done: int) -> None:
        """`done` of its bytes are read."""

    def finished(self, work: Work, *, reused: bool) -> None:
        """It is done; `reused` when it was there already and nothing had to be."""


class Silent:
    """A receiver that ignores all progress."""

    def started(self, work: Work) -> None:
        """Nothing."""

    def advanced(self, work: Work, done: int) -> None:
        """Nothing."""

    def finished(self, work: Work, *, reused: bool) -> None:
        """Nothing."""
