"""Where an archive must not be written: over a file of the root that the images come from."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from orlop.concurrency.interrupts import suppress_os_errors
from orlop.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWN: Final = "io.containerd.*"
_LARGE: Final = "io.containerd.snapshotter."
"""Begins the names of directories in which there are many files, few of them with two names."""

_Identity = tuple[int, int]


def refuse_own_file(root: Path | None, target: Path | BinaryIO) -> None:
    """Refuse to write to a file of a root, also through a link, a second name or a mount.

    Args:
        root: the root directory; `None`: there is none.
        target: a path, or an open file.

    Raises:
        InvalidArgumentError: it is a file of the root, or would be in one of its directories.
    """
    path = target if isinstance(target, Path) else _path_of(target)
    if root is None or path is None:
        return
    directories = [one for one in root.glob(_OWN) if one.is_dir()]
    own = {_identity(one.stat()) for one in directories}
    real = path.resolve()
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        if any(_identity(parent.stat()) in own for parent in real.parents):
            raise _refusal(root, path)
    with suppress_os_errors():
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            found = _find(directories, status)
            if found is not None:
                raise _refusal(root, path, found)


def _path_of(file: BinaryIO) -> Path | None:
    """Return the path of an open file; `None` where it has none."""
    with suppress_os_errors(ValueError, AttributeError):
        return Path(f"/proc/self/fd/{file.fileno()}")
    return None


def _find(directories: list[Path], status: os.stat_result) -> Path | None:
    """Return the file below some directories that has that inode, if there is one."""
    for directory in directories:
        below: Iterator[Path]
        if status.st_nlink == 1 and directory.name.startswith(_LARGE):
            below = directory.glob("*")  # its metadata.db, which may be mounted elsewhere
        else:
            below = _walk(directory)
        for path in below:
            with suppress_os_errors():
                if _identity(path.lstat()) == _identity(status):
                    return path
    return None


def _walk(directory: Path) -> Iterator[Path]:
    for place, _, names in os.walk(directory):
        for name in names:
            yield Path(place, name)


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _refusal(root: Path, path: Path, found: Path | None = None) -> InvalidArgumentError:
    which = f" ({found})" if found is not None and found != path else ""
    return InvalidArgumentError(
        f"{path} is a file of the root {root}{which}, which an archive would destroy: name another "
        "file, outside of the root"
    )
