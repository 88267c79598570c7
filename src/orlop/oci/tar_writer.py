"""Writes a tar archive that depends on its files alone: no times, no owners.

The headers are those that Go's writer makes, so that an archive is the same, byte for byte,
as the one that containerd exports.

Source: POSIX.1-2001 pax(1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.errors import InternalError
from orlop.oci.tar_header import BLOCK

if TYPE_CHECKING:
    from typing import BinaryIO

_LONGEST_NAME = 100
_LONGEST_PREFIX = 155
_LARGEST_OCTAL = 1 << 33
_SUM = slice(148, 156)


class TarWriter:
    """Writes files and directories to `stream`, one after the other."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._missing = 0
        self._padding = 0

    def directory(self, name: str, mode: int) -> None:
        """Begin a directory; its name ends in a slash."""
        self._header(name, mode, 0, b"5")

    def file(self, name: str, mode: int, size: int) -> None:
        """Begin a file of `size` bytes, which `write` then has to fill."""
        self._header(name, mode, size, b"0")
        self._missing = size
        self._padding = -size % BLOCK

    def write(self, data: bytes) -> None:
        """Write on in the file that was begun."""
        self._missing -= len(data)
        if self._missing < 0:
            raise InternalError("more data than a file in a tar archive was to have")
        self._stream.write(data)

    def finish(self) -> None:
        """End the archive; the stream stays open."""
        self._end_file()
        self._stream.write(bytes(2 * BLOCK))

    def _end_file(self) -> None:
        if self._missing:
            raise InternalError("less data than a file in a tar archive was to have")
        self._stream.write(bytes(self._padding))
        self._padding = 0

    def _header(self, name: str, mode: int, size: int, flag: bytes) -> None:
        """Write a header, after pax records for values that do not fit into it."""
        self._end_file()
        records = b""
        prefix, short = _split(name.encode())
        if len(short) > _LONGEST_NAME:
            records += _record("path", name)
        if size >= _LARGEST_OCTAL:
            records += _record("size", str(size))
            size = 0
        if records:
            folder, _, base = name.rpartition("/")
            extended = f"{folder}/PaxHeaders.0/{base}".lstrip("/").encode()
            self._block(b"", extended, 0, len(records), b"x")
            self._stream.write(records + bytes(-len(records) % BLOCK))
        self._block(prefix, short, mode, size, flag)

    def _block(self, prefix: bytes, name: bytes, mode: int, size: int, flag: bytes) -> None:
        name = name[:_LONGEST_NAME]
        block = bytearray(BLOCK)
        block[0 : len(name)] = name
        block[100:108] = b"%07o\x00" % mode
        block[108:116] = block[116:124] = block[329:337] = block[337:345] = b"%07o\x00" % 0
        block[124:136] = b"%011o\x00" % size
        block[136:148] = b"%011o\x00" % 0
        block[156:157] = flag
        block[257:265] = b"ustar\x0000"
        block[345 : 345 + len(prefix)] = prefix
        block[_SUM] = b" " * 8
        block[_SUM] = b"%06o\x00 " % sum(block)
        self._stream.write(block)


def _record(key: str, value: str) -> bytes:
    """Return a pax record: its length counts the digits of the length, too."""
    rest = f" {key}={value}\n"
    length = len(rest) + len(str(len(rest)))
    if len(rest) + len(str(length)) != length:
        length += 1
    return f"{length}{rest}".encode()


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Split a name that is too long for its field at a slash, if it can be."""
    if len(name) <= _LONGEST_NAME:
        return b"", name
    slash = name.rfind(b"/", 0, _LONGEST_PREFIX + 1)
    if slash < 0 or len(name) - slash - 1 > _LONGEST_NAME:
        return b"", name
    return name[:slash], name[slash + 1 :]
