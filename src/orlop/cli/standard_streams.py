"""Standard streams that the caller has closed, or that data cannot be read from."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, BinaryIO, Final, TextIO, cast

if TYPE_CHECKING:
    from typing import Never

    from typing_extensions import Buffer

_CLOSED: Final = "it is closed"
_NAMES: Final = ("stdin", "stdout", "stderr")


def replace_closed_streams() -> None:
    """Replace standard streams that the caller has closed, each under its own number.

    A file that is opened later, such as the database, would get that number, and with it what is
    meant for the stream. Reading from the stream and writing an answer to it fail; what is said on
    stderr is dropped.
    """
    for number, name in enumerate(_NAMES):
        if getattr(sys, name) is not None:
            continue
        if name == "stderr":
            sys.stderr = _nowhere()
        else:
            setattr(sys, name, _closed_stream())
            _occupy(number)


def standard_input() -> BinaryIO:
    """Return standard input for bytes, once it is sure that it can be read from.

    Raises:
        OSError: it is closed, a directory, or open for writing only.
    """
    try:
        os.read(sys.stdin.fileno(), 0)
    except io.UnsupportedOperation:
        if isinstance(sys.stdin.buffer, _Closed):
            sys.stdin.buffer.fail()
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard input") from error
    return sys.stdin.buffer


class _Closed(io.RawIOBase):
    """A closed stream: each read and write fails."""

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, _: Buffer, /) -> int:
        self.fail()

    def write(self, _: Buffer, /) -> int:
        self.fail()

    def fail(self) -> Never:
        """Raise the error of a read or a write."""
        raise OSError(errno.EBADF, _CLOSED, "standard input")


def _closed_stream() -> TextIO:
    # `write_through`: the first write fails, and nothing is left that Python writes at the end.
    return io.TextIOWrapper(cast("BinaryIO", _Closed()), encoding="utf-8", write_through=True)


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 (open to the end)


def _occupy(number: int) -> None:
    """Open a path descriptor under a number, which can be neither read nor written."""
    import socket  # noqa: PLC0415 (few callers close a stream)

    plug = socket.socket(socket.AF_UNIX).detach()
    if plug != number:
        os.dup2(plug, number)
        os.close(plug)
