"""Decompresses layers: gzip, zstd or plain, told apart by their first bytes.

The media type is not asked: tools get it wrong, and containerd looks at the bytes, too.
Nothing is ever expanded further than the reader asks, so that a bomb costs no memory.

Source: RFC 1952 (gzip), RFC 8878 (zstd).
"""

from __future__ import annotations

import enum
import io
import sys
import zlib
from typing import TYPE_CHECKING, Protocol

from orlop.errors import DataLossError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from orlop.oci.tar_stream import Readable

_GZIP_MAGIC = b"\x1f\x8b\x08"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
_GZIP_WINDOW = 31
_FLAGS = 3
"""Where the flags stand in the header of a gzip member."""
_RESERVED = 0xE0
_PIECE = 1 << 17
_LARGEST_WINDOW = 27
_HEAD = 10


class Compression(enum.Enum):
    """How a blob is compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


def detect(head: bytes) -> Compression:
    """Tell the compression from the first bytes of a blob (ten are enough)."""
    if head.startswith(_GZIP_MAGIC):
        return Compression.GZIP
    skippable = len(head) >= 8 and head[0] & 0xF0 == 0x50 and head[1:4] == _ZSTD_SKIPPABLE  # noqa: PLR2004 - RFC 8878, 3.1.2
    return Compression.ZSTD if head.startswith(_ZSTD_MAGIC) or skippable else Compression.NONE


def decompress(stream: Readable, *, label: str) -> tuple[Compression, io.BufferedReader]:
    """Return the compression of `stream`, and a reader of the decompressed bytes.

    Args:
        stream: the blob, read front to back.
        label: what to call the blob in errors.

    Raises:
        DataLossError: while reading, the blob is cut off or damaged.
    """
    head = stream.read(_HEAD)
    kind = detect(head)
    raw = _Expanded(head, stream, kind, label)
    return kind, io.BufferedReader(raw, buffer_size=4 * _PIECE)


class _Decoder(Protocol):
    """One gzip member or zstd frame."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _GzipMember:
    """A gzip member with the interface of the zstd decoder: it keeps unused input."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=_GZIP_WINDOW)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)


class _Expanded(io.RawIOBase):
    """The expanded bytes of a blob; several members or frames in a row count as one."""

    def __init__(self, head: bytes, stream: Readable, kind: Compression, label: str) -> None:
        self._pending = head
        self._stream = stream
        self._kind = kind
        self._label = label
        self._decoder: _Decoder | None = None
        self._members = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        try:
            data = (
                self._plain(len(view)) if self._kind is Compression.NONE else self._next(len(view))
            )
        except (zlib.error, zstd.ZstdError, EOFError) as error:
            raise DataLossError(
                f"{self._label}: the {self._kind.value} data is damaged ({error})"
            ) from error
        view[: len(data)] = data
        return len(data)

    def _plain(self, size: int) -> bytes:
        head, self._pending = self._pending[:size], self._pending[size:]
        return head or self._stream.read(size)

    def _next(self, size: int) -> bytes:
        """Return up to `size` expanded bytes; none at the end."""
        while True:
            if self._decoder is None and not self._open():
                return b""
            decoder = self._decoder
            if decoder is None:
                return b""
            piece, self._pending = self._pending, b""
            data = decoder.decompress(piece, size)
            if decoder.eof:
                self._pending = decoder.unused_data
                self._decoder = None
            if data:
                return data
            if self._decoder is not None and not self._refill():
                raise DataLossError(f"{self._label}: the {self._kind.value} data is cut off")

    def _open(self) -> bool:
        """Begin the next member or frame; false at the end of the blob."""
        if not self._pending and not self._refill():
            return False
        # Zeros after a gzip member are padding, as for gzip itself.
        while self._members and self._kind is Compression.GZIP and self._pending[0] == 0:
            self._pending = self._pending.lstrip(b"\x00")
            if not self._pending and not self._refill():
                return False
        self._members += 1
        if self._kind is Compression.GZIP:
            self._clear_reserved_flags()
            self._decoder = _GzipMember()
        else:
            self._decoder = zstd.ZstdDecompressor(
                options={zstd.DecompressionParameter.window_log_max: _LARGEST_WINDOW}
            )
        return True

    def _clear_reserved_flags(self) -> None:
        """Clear the flags that RFC 1952 reserves: zlib refuses them, Go and containerd do not."""
        while len(self._pending) <= _FLAGS and (more := self._stream.read(_PIECE)):
            self._pending += more
        head = self._pending[: _FLAGS + 1]
        if len(head) > _FLAGS and head[_FLAGS] & _RESERVED:
            flags = head[_FLAGS] & ~_RESERVED
            self._pending = head[:_FLAGS] + bytes([flags]) + self._pending[_FLAGS + 1 :]

    def _refill(self) -> bool:
        self._pending = self._stream.read(_PIECE)
        return bool(self._pending)
