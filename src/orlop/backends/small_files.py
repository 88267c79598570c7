"""Small files that are replaced durably, also on a full disk."""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING, Final

from orlop.backends import files

if TYPE_CHECKING:
    from pathlib import Path

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_DIRECTORY_MODE: Final = 0o700
_MODE: Final = 0o600

_logger = logging.getLogger(__name__)


def read_small(path: Path) -> bytes | None:
    """Return the contents of a file; `None` if it is missing or cannot be read."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        _logger.warning("%s counts as missing: %s", path, error)
        return None


def write_small(directory: Path, name: str, data: bytes) -> None:
    """Replace a file in a directory, durably; the directory is created if it is missing.

    On a full disk the old file, if there is one, is overwritten in place, which needs no space:
    the root must open for a collection that frees some. A power loss may tear it then.

    Raises:
        OSError: it cannot be written.
    """
    files.make_directories(directory, _DIRECTORY_MODE)
    with files.directory(directory) as descriptor:
        try:
            files.write_atomically(name, data, dir_fd=descriptor, mode=_MODE)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            if not _overwrite(descriptor, name, data):
                raise
        os.fsync(descriptor)


def _overwrite(directory: int, name: str, data: bytes) -> bool:
    """Overwrite a file in place; return whether it exists."""
    try:
        file = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return False
    try:
        if os.pwrite(file, data, 0) < len(data):
            raise OSError(errno.ENOSPC, "no space left", name)
        os.ftruncate(file, len(data))
        os.fsync(file)
    finally:
        os.close(file)
    return True
