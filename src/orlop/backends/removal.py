"""Deleting a directory with all that it holds, however deep it is and whoever else writes to it.

Every level is first moved up to the root of the tree and emptied there. So the depth costs
neither recursion nor file descriptors nor long paths, and nothing is ever opened through a
path that somebody else might have bent meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from typing import TYPE_CHECKING, Final

from orlop.backends import access

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MARK_BYTES: Final = 8


def remove_tree(path: Path) -> None:
    """Delete `path`: a directory with all below it, or a single file or link.

    Links are deleted, not followed. Deleting what does not exist is no error.

    Raises:
        OSError: something could not be deleted; the rest may be gone.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        path.unlink(missing_ok=True)
        return
    with contextlib.suppress(FileNotFoundError):
        with _opened(str(path), None) as root:
            _empty(root)
        path.rmdir()


def _empty(root: int) -> None:
    """Delete everything in the directory that `root` is open on."""
    mark = secrets.token_hex(_MARK_BYTES)
    moved = 0
    waiting = _delete_files(root)
    while waiting:
        name = waiting.pop()
        with _opened(name, root) as current:
            for below in _delete_files(current):
                lifted = f"{mark}-{moved}"
                moved += 1
                _lift(below, current, lifted, root)
                waiting.append(lifted)
        os.rmdir(name, dir_fd=root)


def _delete_files(descriptor: int) -> list[str]:
    """Delete what is no directory; return the names of the directories."""
    directories = []
    with os.scandir(descriptor) as entries:
        listed = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in listed:
        if is_directory:
            directories.append(name)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=descriptor)
    return directories


def _lift(name: str, source: int, lifted: str, root: int) -> None:
    try:
        os.rename(name, lifted, src_dir_fd=source, dst_dir_fd=root)
    except PermissionError:
        # Moving a directory changes its "..": its owner needs to be allowed to write to it.
        with _opened(name, source):
            pass
        os.rename(name, lifted, src_dir_fd=source, dst_dir_fd=root)


@contextlib.contextmanager
def _opened(name: str, parent: int | None) -> Iterator[int]:
    """Open a directory so that it can be read and changed: its mode may forbid its owner."""
    readable, _ = access.open_for_changes(name, parent)
    try:
        yield readable
    finally:
        os.close(readable)
