"""The 512-byte header of a tar archive, and the records of a pax extended header.

Three dialects are read: v7, ustar (with pax) and GNU. A field that cannot be read is an
error: a reader that guesses would unpack something else than what was hashed.

Source: POSIX.1-2001 pax(1); the GNU tar manual, appendix "Tar Internals".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orlop.model.errors import DataLossError

if TYPE_CHECKING:
    from collections.abc import Mapping

BLOCK = 512
"""Bytes of a tar block."""

_SIGN_BIT = 0x80
_NEGATIVE_BIT = 0x40
_LARGEST = 1 << 63
_NANOSECONDS = 1_000_000_000
_USTAR = b"ustar\x0000"
_GNU = b"ustar  \x00"
MOST_DIGITS = 19
"""How many decimal digits a 63-bit number may have."""

_SECONDS = re.compile(rb"(-?)([0-9]+)(?:\.([0-9]*))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TarHeader:
    """A header block as it stands; `gnu` says whether the block is of GNU's dialect."""

    name: bytes
    mode: int
    owner: int
    group: int
    size: int
    modified: int
    flag: bytes
    link: bytes
    device: tuple[int, int]
    gnu: bool
    block: bytes


def parse_header(block: bytes, where: str) -> TarHeader:
    """Read a header block of `BLOCK` bytes; `where` names it in errors.

    Raises:
        DataLossError: the checksum is wrong or a field cannot be read.
    """
    _check_sum(block, where)
    magic = block[257:265]
    plain = magic in {_USTAR, _GNU}
    name = text_field(block[0:100])
    prefix = text_field(block[345:500]) if magic == _USTAR else b""
    return TarHeader(
        name=prefix + b"/" + name if prefix else name,
        mode=number_field(block[100:108], where) & 0o7777,
        owner=number_field(block[108:116], where),
        group=number_field(block[116:124], where),
        size=number_field(block[124:136], where),
        modified=number_field(block[136:148], where),
        flag=block[156:157],
        link=text_field(block[157:257]),
        device=(
            (number_field(block[329:337], where), number_field(block[337:345], where))
            if plain
            else (0, 0)
        ),
        gnu=magic == _GNU,
        block=block,
    )


def text_field(raw: bytes) -> bytes:
    """Return a text field up to its first NUL."""
    return raw.split(b"\x00", 1)[0]


def number_field(raw: bytes, where: str) -> int:
    """Read a number: octal digits, or GNU's base 256 where the highest bit is set.

    Raises:
        DataLossError: it is neither.
    """
    if raw[0] & _SIGN_BIT:
        value = int.from_bytes(bytes([raw[0] & ~_SIGN_BIT]) + raw[1:], "big")
        if raw[0] & _NEGATIVE_BIT:
            value -= 1 << (8 * len(raw) - 1)
        if not -_LARGEST <= value < _LARGEST:
            raise DataLossError(f"{where}: a number in the tar header is out of range")
        return value
    digits = raw.strip(b" \x00")
    if not digits:
        return 0
    # A NUL within ends the number, as in every reader of tar.
    digits = digits.split(b"\x00", 1)[0].rstrip(b" ")
    if not digits.strip(b"01234567") == b"":
        raise DataLossError(f"{where}: {digits!r} in the tar header is no octal number")
    return int(digits, 8)


def parse_records(data: bytes, where: str) -> dict[bytes, bytes]:
    """Read the records of a pax extended header.

    A record is `<length> <key>=<value>` and a newline; the length counts all of it.

    Raises:
        DataLossError: the records do not fill the header exactly, or hold what they may not.
    """
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 20)
        digits = data[position:space] if space >= 0 else b""
        if not digits.isdigit():
            raise DataLossError(f"{where}: a pax record has no length")
        end = position + int(digits)
        if end <= space + 1 or end > len(data) or data[end - 1 : end] != b"\n":
            raise DataLossError(f"{where}: a pax record has a wrong length")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not key or not equals or b"\x00" in key:
            raise DataLossError(f"{where}: a pax record has no key")
        records[key] = value
        position = end
    return records


def record_number(records: Mapping[bytes, bytes], key: bytes, default: int, where: str) -> int:
    """Return a decimal number among pax records; an empty one stands for the default.

    Raises:
        DataLossError: it is no number, or out of range.
    """
    text = records.get(key)
    if not text:
        return default
    digits = text.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > MOST_DIGITS or int(digits) >= _LARGEST:
        raise DataLossError(f"{where}: pax record {key!r} is no number that fits")
    return int(text)


def record_time(records: Mapping[bytes, bytes], key: bytes, where: str) -> int | None:
    """Return a time among pax records, in nanoseconds since the epoch; `None` where missing.

    Raises:
        DataLossError: it is no decimal number of seconds.
    """
    text = records.get(key)
    if not text:
        return None
    match = _SECONDS.fullmatch(text)
    if match is None or len(match[2]) > MOST_DIGITS:
        raise DataLossError(f"{where}: pax record {key!r} is no time")
    fraction = int(((match[3] or b"") + b"0" * 9)[:9])
    nanoseconds = int(match[2]) * _NANOSECONDS + fraction
    return -nanoseconds if match[1] else nanoseconds


def _check_sum(block: bytes, where: str) -> None:
    """Compare the checksum; some old writers summed signed bytes."""
    stored = number_field(block[148:156], where)
    unsigned = sum(block) - sum(block[148:156]) + 8 * 0x20
    if stored == unsigned:
        return
    high = sum(1 for byte in block[:148] + block[156:] if byte & _SIGN_BIT)
    if stored != unsigned - 256 * high:
        raise DataLossError(f"{where}: the checksum of the tar header is wrong")
