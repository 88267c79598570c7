"""Sparse files in tar archives: where the data of a file with holes belongs.

GNU tar has written four forms: a map in the header (old GNU), and in pax records (0.0,
0.1) or before the data (1.0).

Source: the GNU tar manual, "Storing Sparse Files".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from orlop.model.errors import DataLossError, UnimplementedError
from orlop.oci.tar_entry import Extent
from orlop.oci.tar_header import BLOCK, MOST_DIGITS, TarHeader, number_field, record_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MOST_EXTENTS = 1 << 16
"""How many extents a sparse file may have: the map is held in memory."""

_MAJOR = b"GNU.sparse.major"
_MINOR = b"GNU.sparse.minor"
_MAP = b"GNU.sparse.map"
_OLDEST = b"GNU.sparse.numblocks"
_SIZE = b"GNU.sparse.size"
_REAL_SIZE = b"GNU.sparse.realsize"
_NAME = b"GNU.sparse.name"


class Sparse(NamedTuple):
    """What pax records say of a sparse file. `size` is in bytes; `name` empty for no other."""

    name: bytes
    size: int
    extents: tuple[Extent, ...]


def gnu_extents(
    header: TarHeader, read: Callable[[int], bytes], where: str
) -> tuple[int, tuple[Extent, ...]]:
    """Return size and map of a sparse file in the old GNU form.

    Args:
        header: the header with the first four extents.
        read: reads the blocks that hold more of them, which come before the data.
        where: names the entry in errors.

    Raises:
        DataLossError: the map is damaged, or larger than `MOST_EXTENTS`.
    """
    numbers = _pairs(header.block[386:482], where)
    more = header.block[482]
    while more:
        block = read(BLOCK)
        if len(block) < BLOCK or len(numbers) > 2 * MOST_EXTENTS:
            raise DataLossError(f"{where}: the map of a sparse file is cut off or too long")
        numbers += _pairs(block[:504], where)
        more = block[504]
    size = number_field(header.block[483:495], where)
    return size, _extents(numbers, size, where)


def pax_extents(
    records: Mapping[bytes, bytes], read: Callable[[int], bytes], where: str
) -> Sparse | None:
    """Return what pax records say of a sparse file; `None` where they speak of none.

    Args:
        records: the pax records of the entry.
        read: reads from the data of the entry, where form 1.0 has the map.
        where: names the entry in errors.

    Raises:
        DataLossError: the map is damaged, or larger than `MOST_EXTENTS`.
        UnimplementedError: the map has the oldest pax form, 0.0.
    """
    version = (records.get(_MAJOR), records.get(_MINOR))
    if version == (b"1", b"0"):
        size = record_number(records, _REAL_SIZE, -1, where)
        return Sparse(
            records.get(_NAME, b""), size, _extents(_leading_map(read, where), size, where)
        )
    if _MAP in records:
        size = record_number(records, _SIZE, -1, where)
        numbers = [_number(text, where) for text in records[_MAP].split(b",")]
        return Sparse(records.get(_NAME, b""), size, _extents(numbers, size, where))
    if _OLDEST in records:
        # Form 0.0 repeats its records for each extent, and only the last of a name is kept.
        raise UnimplementedError(f"{where}: a sparse file of form 0.0; make the layer with 1.0")
    return None


def _pairs(raw: bytes, where: str) -> list[int]:
    """Return offsets and lengths of a header's map, up to the first unused place."""
    numbers: list[int] = []
    for place in range(0, len(raw), 24):
        if not raw[place]:
            break
        numbers.append(number_field(raw[place : place + 12], where))
        numbers.append(number_field(raw[place + 12 : place + 24], where))
    return numbers


def _leading_map(read: Callable[[int], bytes], where: str) -> list[int]:
    """Return the numbers of form 1.0: decimal lines before the data, padded to a block."""
    buffer = bytearray()
    position = 0

    def line() -> int:
        nonlocal position
        while (end := buffer.find(b"\n", position)) < 0:
            if len(buffer) - position > BLOCK:
                raise DataLossError(f"{where}: the map of a sparse file is damaged")
            buffer.extend(read(BLOCK))
        text = bytes(buffer[position:end])
        position = end + 1
        return _number(text, where)

    count = line()
    if count > MOST_EXTENTS:
        raise DataLossError(f"{where}: a sparse file has more than {MOST_EXTENTS} extents")
    return [line() for _ in range(2 * count)]


def _number(text: bytes, where: str) -> int:
    if not text.isdigit() or len(text) > MOST_DIGITS:
        raise DataLossError(f"{where}: {text[:32]!r} in the map of a sparse file is no number")
    return int(text)


def _extents(numbers: Sequence[int], size: int, where: str) -> tuple[Extent, ...]:
    """Check that the extents follow each other within the file."""
    if len(numbers) % 2 or len(numbers) > 2 * MOST_EXTENTS:
        raise DataLossError(f"{where}: the map of a sparse file is damaged or too long")
    extents = tuple(map(Extent, numbers[0::2], numbers[1::2]))
    end = 0
    for offset, length in extents:
        if offset < end or length < 0 or offset + length > size:
            raise DataLossError(f"{where}: the map of a sparse file is out of order")
        end = offset + length
    if size < 0:
        raise DataLossError(f"{where}: a sparse file has no size")
    return extents
