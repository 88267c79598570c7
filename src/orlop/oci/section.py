"""A part of a file, read as a file of its own.

Sections of one file do not disturb each other: each has its own position.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from orlop.model.errors import DataLossError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

    from orlop.oci.tar_entry import Extent


class Section(io.RawIOBase):
    """The `length` bytes from `offset` of the open file `descriptor`, which stays the caller's.

    Raises:
        DataLossError: while reading, the file is shorter than it was.
    """

    def __init__(self, descriptor: int, offset: int, length: int, label: str) -> None:
        self._descriptor = descriptor
        self._position = offset
        self._end = offset + length
        self._label = label

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Read on into `buffer`; return how many bytes, 0 at the end."""
        view = memoryview(buffer).cast("B")[: self._end - self._position]
        if not view:
            return 0
        count = os.preadv(self._descriptor, [view], self._position)
        if not count:
            raise DataLossError(f"{self._label}: the file ends early; it has changed meanwhile")
        self._position += count
        return count


class SparseSection(io.RawIOBase):
    """A sparse file of `size` bytes whose extents are stored one after the other in a section.

    What no extent covers reads as zeros.
    """

    def __init__(self, data: Section, extents: Sequence[Extent], size: int) -> None:
        self._data = data
        # The end has an extent of its own, so that there is always a next one.
        self._extents = [(one.offset, one.offset + one.length) for one in extents] + [(size, size)]
        self._next = 0
        self._position = 0

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Read on into `buffer`; return how many bytes, 0 at the end."""
        view = memoryview(buffer).cast("B")
        while self._position >= self._extents[self._next][1] and self._next + 1 < len(
            self._extents
        ):
            self._next += 1
        start, end = self._extents[self._next]
        if self._position < start:
            count = min(len(view), start - self._position)
            view[:count] = bytes(count)
        else:
            count = self._data.readinto(view[: end - self._position])
        self._position += count
        return count
