"""One entry of a tar archive: its header, merged with extended headers.

Names and link targets stay bytes: an archive may hold any, and a layer must come out as it
went in.

Source: POSIX.1-2001 pax(1); the GNU tar manual, appendix "Tar Internals".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class EntryKind(enum.Enum):
    """The kind of an entry; the values are tar's type flags."""

    FILE = b"0"
    HARD_LINK = b"1"
    SYMBOLIC_LINK = b"2"
    CHARACTER_DEVICE = b"3"
    BLOCK_DEVICE = b"4"
    DIRECTORY = b"5"
    FIFO = b"6"
    OTHER = b""

    @property
    def has_data(self) -> bool:
        """Whether data follows the header; of other kinds the size is ignored."""
        return self is EntryKind.FILE or self is EntryKind.OTHER


class Extent(NamedTuple):
    """A part of a sparse file that holds data. `offset` and `length` are in bytes."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TarEntry:
    """An entry of a tar archive.

    Attributes:
        name: the path as it stands in the archive; not to be trusted.
        kind: what the entry describes.
        flag: the type flag as it stands in the header.
        mode: permissions with setuid, setgid and sticky.
        size: how long the file is, in bytes; for a sparse file with its holes.
        stored: how many bytes of data follow in the archive.
        modified: nanoseconds since the epoch.
        accessed: nanoseconds since the epoch; `None` where the archive does not say.
        link: the target of a hard or symbolic link; not to be trusted.
        device: major and minor number of a device.
        attributes: extended attributes, by full name.
        extents: where the data of a sparse file lies; `None` for a plain file.
    """

    name: bytes
    kind: EntryKind
    flag: bytes = b"0"
    mode: int = 0o644
    owner: int = 0
    group: int = 0
    size: int = 0
    stored: int = 0
    modified: int = 0
    accessed: int | None = None
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    attributes: Mapping[str, bytes] = field(default_factory=dict)
    extents: tuple[Extent, ...] | None = None
