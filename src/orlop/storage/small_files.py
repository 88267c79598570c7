"""Small JSON files of Orlop beside containerd's data: safe to read, replaced durably."""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import TYPE_CHECKING, Any, Final, TypeVar

from orlop.concurrency.interrupts import reraise_interrupt
from orlop.errors import FULL_DISK
from orlop.storage import files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_T = TypeVar("_T")

_DIRECTORY_MODE: Final = 0o700
_MODE: Final = 0o600
_PADDED_BYTES: Final = 2048
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_OVERWRITE: Final = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A pipe in the place of a file must not be waited for."""


class DamagedFileError(Exception):
    """A file is no document of the expected form, or cannot be read."""


def read_document(path: Path, parse: Callable[[Any], _T]) -> _T:
    """Return the result of `parse` on the JSON document of a file.

    Args:
        path: the file. Any program may have written it.
        parse: takes the document; a ValueError, KeyError, TypeError, AttributeError or
            ArithmeticError says that it is none of the expected form.

    Raises:
        FileNotFoundError: there is none.
        DamagedFileError: it is damaged, cannot be read, or is no regular file.
    """
    try:
        return parse(json.loads(read_small(path)))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
    except OSError as error:
        reraise_interrupt(error)
        raise DamagedFileError(f"{path} cannot be read: {error.strerror}") from error
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
        MemoryError,
    ) as error:
        raise DamagedFileError(f"{path} is damaged ({type(error).__name__}: {error})") from error


def read_small(path: Path) -> bytes:
    """Return the contents of a file.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    descriptor = os.open(path, _READ)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return file.read()


def padded(document: bytes) -> bytes:
    """Return a JSON document as long as any later one, so that it can be overwritten in place."""
    return document.ljust(_PADDED_BYTES - 1) + b"\n"


def write_small(directory: Path, name: str, data: bytes, *, in_place: bool = False) -> None:
    """Replace a file in a directory, durably; the directory is created if it is missing.

    Args:
        directory: of the file.
        name: of the file.
        data: its new contents.
        in_place: whether a file that is not shorter may be overwritten on a full disk, which
            needs no space. A power loss may tear it then: for files that may count as missing.

    Raises:
        OSError: it cannot be written; what was there is unchanged.
    """
    files.make_directories(directory, _DIRECTORY_MODE)
    with files.directory(directory) as descriptor:
        try:
            files.write_atomically(name, data, dir_fd=descriptor, mode=_MODE)
        except OSError as error:
            reraise_interrupt(error)
            files.remove_temporary(name, dir_fd=descriptor)
            if (
                error.errno not in FULL_DISK
                or not in_place
                or not _overwrite(descriptor, name, data)
            ):
                raise
        os.fsync(descriptor)


def _overwrite(directory: int, name: str, data: bytes) -> bool:
    """Overwrite a file in place; return whether it exists, and is long enough."""
    try:
        file = os.open(name, _OVERWRITE, dir_fd=directory)
    except FileNotFoundError:
        return False
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size < len(data):
            return False
        os.pwrite(file, data, 0)
        os.ftruncate(file, len(data))
        os.fsync(file)
    finally:
        os.close(file)
    return True
