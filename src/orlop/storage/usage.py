"""Disk usage of directories.

Source: github.com/containerd/continuity, fs.DiskUsage.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Final

from orlop.records import SnapshotUsage
from orlop.storage import access

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK_BYTES: Final = 512
"""The unit of st_blocks, whatever the file system's own block is (stat(2))."""


def disk_usage(root: Path, *, without: Path | None = None) -> SnapshotUsage:
    """Count the inodes below `root`, itself among them, and the bytes of their blocks.

    An inode with several names counts once. What vanishes during the walk is passed over.

    Args:
        root: where to begin.
        without: what is left out with all below it.

    Raises:
        OSError: `root` does not exist, or a directory below it cannot be read.
    """
    left_out = None if without is None else str(without)
    if left_out == str(root):
        return SnapshotUsage(inodes=0, size=0)
    own = root.lstat()
    inodes, blocks = 1, own.st_blocks
    linked: set[tuple[int, int]] = set()
    waiting = [str(root)] if stat.S_ISDIR(own.st_mode) else []
    with access.Widened() as widened:
        while waiting:
            for status, path in _entries(waiting.pop(), widened):
                if path == left_out:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(path)
                elif status.st_nlink > 1:
                    inode = (status.st_dev, status.st_ino)
                    if inode in linked:
                        continue
                    linked.add(inode)
                inodes += 1
                blocks += status.st_blocks
    return SnapshotUsage(inodes=inodes, size=blocks * _BLOCK_BYTES)


def _entries(path: str, widened: access.Widened) -> Iterator[tuple[os.stat_result, str]]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        try:
            entries = os.scandir(path)
        except PermissionError:
            widened.allow(path, access.LIST)
            entries = os.scandir(path)
        with entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    yield _status(entry, widened, path), entry.path


def _status(entry: os.DirEntry[str], widened: access.Widened, directory: str) -> os.stat_result:
    """Return the status of an entry, `None` if the directory may be listed but not searched."""
    try:
        return entry.stat(follow_symlinks=False)
    except PermissionError:
        widened.allow(directory, access.LIST)
        return entry.stat(follow_symlinks=False)
