"""Sparse files in tar archives: where the data of a file with holes belongs.

GNU tar has written four forms: a map in the header (old GNU), and in pax records (0.0,
0.1) or before the data (1.0). Form 0.0 has two records for each extent, which `join_map` turns
into the one of form 0.1.

Source: the GNU tar manual, "Storing Sparse Files".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from orlop.errors import DataLossError
from orlop.oci.tar_header import (
    BLOCK,
    Dialect,
    Extent,
    TarHeader,
    number_field,
    parse_integer,
    record_number,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

MOST_EXTENTS = 1 << 16
"""How many extents a sparse file may have: the map is held in memory."""

_MAJOR = b"GNU.sparse.major"
_MINOR = b"GNU.sparse.minor"
_MAP = b"GNU.sparse.map"
_COUNT = b"GNU.sparse.numblocks"
_OFFSET = b"GNU.sparse.offset"
_LENGTH = b"GNU.sparse.numbytes"
_SIZE = b"GNU.sparse.size"
_REAL_SIZE = b"GNU.sparse.realsize"
_NAME = b"GNU.sparse.name"
_MAP_IN_RECORDS = {(b"0", b"0"), (b"0", b"1")}
_MAP_BEFORE_DATA = (b"1", b"0")


class Sparse(NamedTuple):
    """A sparse file in pax records. `size` is in bytes; `name` empty for no other."""

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
    if header.dialect is not Dialect.GNU:
        raise DataLossError(f"{where}: a sparse file of a dialect that has another map")
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


def join_map(records: Iterable[tuple[bytes, bytes]], where: str) -> dict[bytes, bytes]:
    """Return pax records by key, the last of a key; a map of form 0.0 as one of form 0.1.

    Raises:
        DataLossError: offsets and lengths of a map do not take turns.
    """
    joined: dict[bytes, bytes] = {}
    numbers: list[bytes] = []
    for key, value in records:
        if key not in {_OFFSET, _LENGTH}:
            joined[key] = value
            continue
        if key != (_LENGTH if len(numbers) % 2 else _OFFSET) or b"," in value:
            raise DataLossError(f"{where}: the map of a sparse file is out of order")
        numbers.append(value)
    if numbers:
        joined[_MAP] = b",".join(numbers)
    return joined


def pax_extents(
    records: Mapping[bytes, bytes], size: int, read: Callable[[int], bytes], where: str
) -> Sparse | None:
    """Return the sparse file that pax records describe; `None` where they describe none.

    Args:
        records: the pax records of the entry.
        size: of the file where no record states it, in bytes.
        read: reads from the data of the entry, where form 1.0 has the map.
        where: names the entry in errors.

    Raises:
        DataLossError: the map is damaged, or larger than `MOST_EXTENTS`.
    """
    version = (records.get(_MAJOR, b""), records.get(_MINOR, b""))
    leading = version == _MAP_BEFORE_DATA
    if not leading and version not in _MAP_IN_RECORDS and (any(version) or not records.get(_MAP)):
        # Another version, or no sparse file: the data is that of a plain file.
        return None
    stated = _SIZE if records.get(_SIZE) else _REAL_SIZE
    size = record_number(records, stated, size, where)
    numbers = _leading_map(read, where) if leading else _map_in_records(records, where)
    return Sparse(records.get(_NAME, b""), size, _extents(numbers, size, where))


def _map_in_records(records: Mapping[bytes, bytes], where: str) -> list[int]:
    """Return the numbers of forms 0.0 and 0.1."""
    text = records.get(_MAP, b"")
    numbers = [_number(one, where) for one in text.split(b",")] if text else []
    if parse_integer(records.get(_COUNT, b"")) != len(numbers) / 2:
        raise DataLossError(f"{where}: the map of a sparse file has not as many extents as stated")
    return numbers


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
    if not 0 <= count <= MOST_EXTENTS:
        raise DataLossError(f"{where}: a sparse file has {count} extents of {MOST_EXTENTS}")
    return [line() for _ in range(2 * count)]


def _number(text: bytes, where: str) -> int:
    number = parse_integer(text)
    if number is None:
        raise DataLossError(f"{where}: {text[:32]!r} in the map of a sparse file is no number")
    return number


def _extents(numbers: Sequence[int], size: int, where: str) -> tuple[Extent, ...]:
    """Check that the extents follow each other within the file."""
    if len(numbers) % 2 or len(numbers) > 2 * MOST_EXTENTS:
        raise DataLossError(f"{where}: the map of a sparse file is damaged or too long")
    extents = tuple(map(Extent, numbers[0::2], numbers[1::2]))
    end = 0
    for offset, length in extents:
        if offset < end or offset < 0 or length < 0 or offset + length > size:
            raise DataLossError(f"{where}: the map of a sparse file is out of order")
        end = offset + length
    if size < 0:
        raise DataLossError(f"{where}: a sparse file has no size")
    return extents
