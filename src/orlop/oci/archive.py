"""Tar archives as sets of files: each file is located once, then read in place.

Sections of one archive do not disturb each other: each has its own position.

Source: POSIX.1-2001 pax(1).
"""

from __future__ import annotations

import io
import os
import posixpath
from typing import TYPE_CHECKING, NamedTuple

from orlop.errors import DataLossError, InvalidArgumentError, NotFoundError
from orlop.oci import compression, documents
from orlop.oci.tar_header import BLOCK, EntryKind, parse_header
from orlop.oci.tar_stream import TarReader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

    from typing_extensions import Buffer

    from orlop.oci.tar_header import Extent, TarEntry


_MOST_FILES = 1_000_000
_MOST_LINKS = 32
_MAGIC = b"ustar"
_BLOBS = "blobs/"


class _Place(NamedTuple):
    """Where a file lies in the archive, in bytes; `extents` says where its data belongs.

    `extents` is `None` for a file without holes, which is stored as it is.
    """

    offset: int
    size: int
    stored: int
    extents: tuple[Extent, ...] | None


class Archive:
    """The files of an archive, by name; of files with the same name the last counts.

    Of blobs with the same name it is the one that is chosen (`choose`): all of them are kept.

    Raises:
        InvalidArgumentError: it is no tar archive, or compressed as a whole.
        DataLossError: it is cut off or damaged.
        OSError: it cannot be read.
    """

    def __init__(self, label: str, descriptor: int) -> None:
        """Find the files.

        Args:
            label: what to call the archive in errors.
            descriptor: an open plain file, which is closed with this.
        """
        self.label = label
        self._files: dict[str, _Place] = {}
        self._links: dict[str, str] = {}
        self._repeated: dict[str, list[_Place]] = {}
        self._repeats = 0
        self._extents = 0
        self._descriptor = descriptor
        try:
            require_tar(os.pread(descriptor, BLOCK, 0), label)
            self._find_files(os.fstat(descriptor).st_size)
        except BaseException:
            self.close()
            raise

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return self._resolve(name) in self._files

    def size(self, name: str) -> int | None:
        """Return the size of a file in bytes; `None` where there is none."""
        place = self._files.get(self._resolve(name))
        return None if place is None else place.size

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading; NotFoundError where there is none."""
        place = self._files.get(self._resolve(name))
        if place is None:
            raise NotFoundError(f"{self.label}: file {name!r} in the archive")
        return self._open(place, name)

    def choose(self, name: str, sound: Callable[[BinaryIO], bool]) -> None:
        """Let the first sound one of several blobs of a name count; the last where none is."""
        name = self._resolve(name)
        for place in self._repeated.pop(name, ()):
            with self._open(place, name) as file:
                if sound(file):
                    self._files[name] = place
                    return

    def read(self, name: str) -> bytes:
        """Return a file that is small enough for a document.

        Raises:
            NotFoundError: there is none of that name.
            InvalidArgumentError: it is larger than a document may be.
        """
        with self.open(name) as file:
            return documents.read_document(file, f"{self.label}: {name}")

    def close(self) -> None:
        """Close the file; closing twice is allowed."""
        # Forgotten first: an interrupt behind it must not have it closed twice.
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _open(self, place: _Place, name: str) -> BinaryIO:
        section = ArchiveSection(
            self._descriptor, place.offset, place.stored, f"{self.label}: {name}"
        )
        if place.extents is None:
            return io.BufferedReader(section)
        return io.BufferedReader(SparseArchiveSection(section, place.extents, place.size))

    def _find_files(self, end: int) -> None:
        """Go through the headers once."""
        with io.FileIO(self._descriptor, closefd=False) as raw:
            stream = io.BufferedReader(raw)

            def skip(count: int) -> int:
                position = stream.tell()
                return stream.seek(min(position + count, end)) - position

            reader = TarReader(stream, label=self.label, skip=skip)
            for entry in reader:
                self._note(entry, reader.offset)
                count = len(self._files) + len(self._links) + self._repeats + self._extents
                if count > _MOST_FILES:
                    raise InvalidArgumentError(
                        f"{self.label}: more than {_MOST_FILES} files or parts of them"
                    )
            stream.detach()

    def _note(self, entry: TarEntry, offset: int) -> None:
        name = _clean(os.fsdecode(entry.name))
        if entry.kind is EntryKind.FILE:
            self._extents += len(entry.extents or ())
            place = _Place(offset, entry.size, entry.stored, entry.extents)
            if name in self._files and name.startswith(_BLOBS):
                self._repeated.setdefault(name, [self._files[name]]).append(place)
                self._repeats += 1
            self._files[name] = place
            self._links.pop(name, None)
        elif entry.kind is EntryKind.SYMBOLIC_LINK:
            # docker save has written a layer once, and links to it where it comes again.
            target = posixpath.join(posixpath.dirname(name), os.fsdecode(entry.link))
            self._links[name] = _clean(target)

    def _resolve(self, name: str) -> str:
        name = _clean(name)
        for _ in range(_MOST_LINKS):
            if name in self._files or name not in self._links:
                break
            name = self._links[name]
        return name


def require_tar(head: bytes, label: str) -> None:
    """Refuse a file that is no tar archive by its first block.

    Raises:
        InvalidArgumentError: it is no tar archive, or compressed as a whole.
        DataLossError: its first header is damaged.
    """
    kind = compression.detect(head)
    if kind is not compression.Compression.NONE:
        raise InvalidArgumentError(
            f"{label}: compressed with {kind.value} as a whole; decompress it first"
        )
    if len(head) < BLOCK:
        raise InvalidArgumentError(f"{label}: too short for a tar archive")
    try:
        if any(head):
            parse_header(head, label)
    except DataLossError:
        if _MAGIC in head:
            raise
        raise InvalidArgumentError(f"{label}: not a tar archive") from None


def _clean(name: str) -> str:
    return posixpath.normpath(name)


class ArchiveSection(io.RawIOBase):
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


class SparseArchiveSection(io.RawIOBase):
    """A sparse file of `size` bytes; its extents are stored consecutively in a section.

    What no extent covers reads as zeros.
    """

    def __init__(self, data: ArchiveSection, extents: Sequence[Extent], size: int) -> None:
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
