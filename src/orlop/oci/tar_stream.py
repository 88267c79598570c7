"""Reads a tar archive front to back, one entry at a time, in bounded memory.

The standard library's reader is not used here for four reasons: it takes a damaged header
in the middle for the end of the archive, it keeps every member it has seen, it reads
extended headers of any size into memory, and it turns times into floats.

Source: POSIX.1-2001 pax(1); the GNU tar manual, appendix "Tar Internals".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from orlop.errors import DataLossError
from orlop.oci.tar_header import (
    BLOCK,
    EntryKind,
    TarEntry,
    TarHeader,
    parse_header,
    parse_records,
    record_number,
    record_time,
    text_field,
)
from orlop.oci.tar_sparse import gnu_extents, join_map, pax_extents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 1 << 20
"""How many bytes are copied at a time."""

LARGEST_EXTENDED_HEADER = 1 << 20
"""How many bytes an extended header may have: it is held in memory."""

_LONG_NAME = b"L"
_LONG_LINK = b"K"
_EXTENDED = b"x"
_GLOBAL = b"g"
_SPARSE = b"S"
_NANOSECONDS = 1_000_000_000
_TIMES = (b"mtime", b"atime", b"ctime")
_ATTRIBUTE = b"SCHILY.xattr."
_KINDS = {kind.value: kind for kind in EntryKind if kind.value} | {b"\x00": EntryKind.FILE}


class Readable(Protocol):
    """A stream that is read front to back. A short answer of `read` means the end."""

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes, fewer at the end."""


class TarReader:
    """Iterates over the entries of `stream`; the data of an entry is read before the next.

    Args:
        stream: the uncompressed archive.
        label: what to call the archive in errors.
        skip: skips up to as many bytes of `stream` as it is told and returns how many it
            was; without it what nobody asks for is read.

    Raises:
        DataLossError: while iterating or reading, the archive is cut off or damaged.
    """

    def __init__(
        self,
        stream: Readable,
        *,
        label: str = "tar archive",
        skip: Callable[[int], int] | None = None,
    ) -> None:
        self._stream = stream
        self._skip = skip
        self._label = label
        self._offset = 0
        self._remaining = 0
        self._padding = 0
        self._entry: TarEntry | None = None

    @property
    def offset(self) -> int:
        """How many bytes of the archive have been read: the start of the data of an entry."""
        return self._offset

    def __iter__(self) -> Iterator[TarEntry]:
        while (entry := self._next()) is not None:
            self._entry = entry
            yield entry

    def data(self) -> Iterator[tuple[int, bytes]]:
        """Iterate over the data of the current entry: where it belongs, and up to `CHUNK` bytes.

        What no chunk covers is a hole and reads as zeros.
        """
        entry = self._entry
        if entry is None:
            return
        if entry.extents is None:
            position = 0
            while self._remaining:
                chunk = self._data(min(CHUNK, self._remaining))
                yield position, chunk
                position += len(chunk)
            return
        for extent in entry.extents:
            position, left = extent
            while left:
                chunk = self._data(min(CHUNK, left))
                yield position, chunk
                position += len(chunk)
                left -= len(chunk)

    def read_all(self, limit: int) -> bytes:
        """Return the data of the current (plain) entry.

        Raises:
            DataLossError: the archive is cut off, or the data is larger than `limit` bytes.
        """
        if self._remaining > limit:
            raise DataLossError(
                f"{self._where()}: {self._remaining} bytes where {limit} are allowed"
            )
        return self._data(self._remaining)

    def _next(self) -> TarEntry | None:
        """Read on to the next entry; `None` at the end."""
        long_name = long_link = b""
        records: dict[bytes, bytes] = {}
        while (header := self._header()) is not None:
            flag = header.flag
            if flag == _LONG_NAME:
                long_name = text_field(self._extended())
            elif flag == _LONG_LINK:
                long_link = text_field(self._extended())
            elif flag == _EXTENDED:
                records = join_map(parse_records(self._extended(), self._where()), self._where())
            elif flag == _GLOBAL:
                # containerd ignores what global headers say, but it must be readable; and what
                # came before one belongs to it, and not to the next entry.
                join_map(parse_records(self._extended(), self._where()), self._where())
                long_name = long_link = b""
                records = {}
            else:
                return self._complete(header, records, long_name, long_link)
        return None

    def _header(self) -> TarHeader | None:
        """Skip the rest of the entry before, then read a header block."""
        self._entry = None
        if self._skip is not None:
            skipped = self._skip(self._remaining)
            self._offset += skipped
            self._remaining -= skipped
        while self._remaining:
            self._data(min(CHUNK, self._remaining))
        if len(self._read(self._padding)) < self._padding:
            return None
        self._padding = 0
        block = self._read(BLOCK)
        if not block:
            return None
        if len(block) < BLOCK:
            raise DataLossError(f"{self._where()}: the archive is cut off within a header")
        if not any(block):
            second = self._read(BLOCK)
            if any(second) or 0 < len(second) < BLOCK:
                raise DataLossError(f"{self._where()}: data after the end of the archive")
            return None
        header = parse_header(block, self._where())
        self._expect(header.size if _kind(header.flag).has_data else 0)
        return header

    def _expect(self, size: int) -> None:
        """Note that `size` bytes of data follow, and padding up to a block."""
        if size < 0:
            raise DataLossError(f"{self._where()}: a negative size")
        self._remaining = size
        self._padding = -size % BLOCK

    def _extended(self) -> bytes:
        """Return the data of an extended header."""
        return self.read_all(LARGEST_EXTENDED_HEADER)

    def _complete(
        self,
        header: TarHeader,
        records: dict[bytes, bytes],
        long_name: bytes,
        long_link: bytes,
    ) -> TarEntry:
        """Put a header and its extended headers together, and find where its data lies."""
        where = self._where()
        name = long_name or records.get(b"path") or header.name
        kind = _kind(header.flag)
        if header.flag == b"\x00" and name.endswith(b"/"):
            kind = EntryKind.DIRECTORY
        size = record_number(records, b"size", header.size, where) if records else header.size
        self._expect(size if kind.has_data else 0)
        extents = None
        if header.flag == _SPARSE:
            size, extents = gnu_extents(header, self._read, where)
        elif records and (sparse := pax_extents(records, size, self._data, where)):
            size, extents = sparse.size, sparse.extents
            name = sparse.name or name
        if extents is not None and not kind.has_data:
            raise DataLossError(f"{where}: a sparse file that is no file")
        if extents is not None and sum(extent.length for extent in extents) != self._remaining:
            raise DataLossError(f"{where}: the map of a sparse file does not fit its data")
        modified, accessed = _times(header, records, where)
        return TarEntry(
            name=name,
            kind=kind,
            flag=header.flag,
            mode=header.mode,
            owner=record_number(records, b"uid", header.owner, where) if records else header.owner,
            group=record_number(records, b"gid", header.group, where) if records else header.group,
            size=size if kind.has_data else 0,
            stored=self._remaining,
            modified=modified,
            accessed=accessed,
            link=long_link or records.get(b"linkpath") or header.link,
            device=header.device,
            attributes=_attributes(records),
            extents=extents,
        )

    def _data(self, size: int) -> bytes:
        """Return exactly `size` bytes of the current entry's data."""
        if size > self._remaining:
            raise DataLossError(f"{self._where()}: an entry is shorter than it says")
        data = self._read(size)
        if len(data) < size:
            raise DataLossError(
                f"{self._where()}: the archive is cut off, {self._remaining - len(data)} bytes"
                " of an entry are missing"
            )
        self._remaining -= size
        return data

    def _read(self, size: int) -> bytes:
        data = self._stream.read(size) if size else b""
        self._offset += len(data)
        return data

    def _where(self) -> str:
        return f"{self._label}, byte {self._offset}"


def _attributes(records: dict[bytes, bytes]) -> dict[str, bytes]:
    """Return the extended attributes among pax records, by full name."""
    return {
        key.removeprefix(_ATTRIBUTE).decode("utf-8", "surrogateescape"): value
        for key, value in records.items()
        if key.startswith(_ATTRIBUTE)
    }


def _times(header: TarHeader, records: dict[bytes, bytes], where: str) -> tuple[int, int | None]:
    """Return times of modification and access; that of change must be readable, too."""
    modified = header.modified * _NANOSECONDS
    accessed = None if header.accessed is None else header.accessed * _NANOSECONDS
    if not records:
        return modified, accessed
    stated, stated_access, _ = (record_time(records, key, where) for key in _TIMES)
    return (
        modified if stated is None else stated,
        accessed if stated_access is None else stated_access,
    )


def _kind(flag: bytes) -> EntryKind:
    return EntryKind.FILE if flag == _SPARSE else _KINDS.get(flag, EntryKind.OTHER)
