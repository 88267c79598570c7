"""Headers of tar archives: entries, their 512-byte header, and records of pax extended headers.

Four dialects are read: v7, ustar (with pax), star and GNU. What a field means, and which fields
make a header unreadable, is what Go's archive/tar reads, since containerd unpacks with it. A
field that cannot be read is an error: a reader that guesses would unpack something else than
what was hashed. Names and link targets stay bytes: an archive may hold any.

Source: POSIX.1-2001 pax(1); the GNU tar manual, appendix "Tar Internals"; star(5).
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from orlop.errors import DataLossError

if TYPE_CHECKING:
    from collections.abc import Mapping

BLOCK = 512
"""Bytes of a tar block."""

_SIGN_BIT = 0x80
_NEGATIVE_BIT = 0x40
_LARGEST = 1 << 63
_NANOSECONDS = 1_000_000_000
_USTAR_MAGIC = b"ustar\x00"
_GNU_MAGIC = b"ustar  \x00"
_STAR_TRAILER = b"tar\x00"
_SHORTEST_RECORD = 5

_INTEGER = re.compile(rb"[+-]?[0-9]+")
_SECONDS = re.compile(rb"([+-]?)([0-9]+)(?:\.([0-9]*))?")
_NAMES = frozenset({b"path", b"linkpath", b"uname", b"gname"})
"""Records whose value may hold no NUL byte; of the others the key may not."""


class Dialect(enum.Enum):
    """Which fields follow those that every tar header has."""

    V7 = "v7"
    USTAR = "ustar"
    STAR = "star"
    GNU = "gnu"


@dataclass(frozen=True, slots=True, kw_only=True)
class TarHeader:
    """A header block as it stands; times are in seconds, `accessed` is `None` where not given."""

    name: bytes
    mode: int
    owner: int
    group: int
    size: int
    modified: int
    accessed: int | None
    flag: bytes
    link: bytes
    device: tuple[int, int]
    dialect: Dialect
    block: bytes


def parse_header(block: bytes, where: str) -> TarHeader:
    """Read a header block of `BLOCK` bytes; `where` names it in errors.

    Raises:
        DataLossError: the checksum is wrong or a field cannot be read.
    """
    _check_sum(block, where)
    dialect = _dialect(block)
    name = text_field(block[0:100])
    prefix, accessed = _extension(block, dialect, where)
    return TarHeader(
        name=prefix + b"/" + name if prefix else name,
        mode=number_field(block[100:108], where) & 0o7777,
        owner=number_field(block[108:116], where),
        group=number_field(block[116:124], where),
        size=number_field(block[124:136], where),
        modified=number_field(block[136:148], where),
        accessed=accessed,
        flag=block[156:157],
        link=text_field(block[157:257]),
        device=(
            (0, 0)
            if dialect is Dialect.V7
            else (number_field(block[329:337], where), number_field(block[337:345], where))
        ),
        dialect=dialect,
        block=block,
    )


def _dialect(block: bytes) -> Dialect:
    """Tell the dialect by magic and trailer; the version matters for GNU's alone."""
    if block[257:263] == _USTAR_MAGIC:
        return Dialect.STAR if block[508:512] == _STAR_TRAILER else Dialect.USTAR
    return Dialect.GNU if block[257:265] == _GNU_MAGIC else Dialect.V7


def _extension(block: bytes, dialect: Dialect, where: str) -> tuple[bytes, int | None]:
    """Return the prefix of the name, and the time of access, as a dialect keeps them."""
    if dialect is Dialect.USTAR:
        return text_field(block[345:500]), None
    if dialect is Dialect.STAR:
        number_field(block[488:500], where)  # the time of change, which must be readable
        return text_field(block[345:476]), number_field(block[476:488], where)
    if dialect is Dialect.GNU:
        try:
            times = [
                number_field(raw, where) if raw[0] else None
                for raw in (block[345:357], block[357:369])
            ]
        except DataLossError:
            # Early writers of Go put a prefix where GNU has times.
            prefix = text_field(block[345:500])
            return (prefix if prefix.isascii() else b""), None
        return b"", times[0]
    return b"", None


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
    return _octal(raw, where)


def _octal(raw: bytes, where: str) -> int:
    padded = raw.strip(b" \x00")
    if not padded:
        return 0
    # A NUL within ends the number, as in every reader of tar.
    digits = padded if padded.isdigit() else text_field(padded)
    try:
        return int(digits if digits.isdigit() else b"no number", 8)
    except ValueError:
        raise DataLossError(f"{where}: {digits!r} in the tar header is no octal number") from None


def parse_records(data: bytes, where: str) -> list[tuple[bytes, bytes]]:
    """Return the records of a pax extended header as key and value, in their order.

    A record is `<length> <key>=<value>` and a newline; the length counts all of it.

    Raises:
        DataLossError: the records do not fill the header exactly, or hold what they may not.
    """
    records: list[tuple[bytes, bytes]] = []
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 20)
        length = parse_integer(data[position:space] if space >= 0 else b"")
        if length is None:
            raise DataLossError(f"{where}: a pax record has no length")
        end = position + length
        if length < _SHORTEST_RECORD or end <= space + 1 or data[end - 1 : end] != b"\n":
            raise DataLossError(f"{where}: a pax record has a wrong length")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not key or not equals or b"\x00" in (value if key in _NAMES else key):
            raise DataLossError(f"{where}: a pax record has no key, or a NUL byte")
        records.append((key, value))
        position = end
    return records


def parse_integer(text: bytes) -> int | None:
    """Return a decimal number of 64 bits, with or without a sign; `None` where it is none."""
    # Longer ones are out of range, but for zeros in front, which nobody writes by the dozen.
    if len(text) > BLOCK or not _INTEGER.fullmatch(text):
        return None
    value = int(text)
    return value if -_LARGEST <= value < _LARGEST else None


def record_number(records: Mapping[bytes, bytes], key: bytes, default: int, where: str) -> int:
    """Return a decimal number among pax records; an empty one stands for the default.

    Raises:
        DataLossError: it is no number, or out of range.
    """
    text = records.get(key)
    if not text:
        return default
    value = parse_integer(text)
    if value is None:
        raise DataLossError(f"{where}: pax record {key!r} is no number that fits")
    return value


def record_time(records: Mapping[bytes, bytes], key: bytes, where: str) -> int | None:
    """Return a time among pax records, in nanoseconds since the epoch; `None` where missing.

    Raises:
        DataLossError: it is no decimal number of seconds.
    """
    text = records.get(key)
    if not text:
        return None
    match = _SECONDS.fullmatch(text)
    seconds = None if match is None else parse_integer(match[1] + match[2])
    if match is None or seconds is None:
        raise DataLossError(f"{where}: pax record {key!r} is no time")
    fraction = int(((match[3] or b"") + b"0" * 9)[:9])
    return seconds * _NANOSECONDS + (-fraction if match[1] == b"-" else fraction)


def _check_sum(block: bytes, where: str) -> None:
    """Compare the checksum; some old writers summed signed bytes."""
    stored = _octal(block[148:156], where)
    unsigned = sum(block) - sum(block[148:156]) + 8 * 0x20
    if stored == unsigned:
        return
    high = sum(1 for byte in block[:148] + block[156:] if byte & _SIGN_BIT)
    if stored != unsigned - 256 * high:
        raise DataLossError(f"{where}: the checksum of the tar header is wrong")


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
