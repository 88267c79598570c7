"""What a directory tree looks like to whoever restores it: two trees are equal or say where not."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """All that one entry says, but for its inode number and the times that no archive holds."""

    kind: str
    permissions: str
    owner: tuple[int, int]
    modified_seconds: int
    content: str
    links: tuple[str, ...]
    attributes: tuple[tuple[str, bytes], ...]


def tree(top: Path, *, directory_times: bool = True) -> dict[str, Entry]:
    """Return the entries of a tree by their path within it; `.` is the top itself.

    Without `directory_times` the times of directories read as 0.
    """
    paths = [top, *sorted(top.rglob("*"))]
    same_file: dict[tuple[int, int], list[str]] = {}
    for path in paths:
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            place = (status.st_dev, status.st_ino)
            same_file.setdefault(place, []).append(str(path.relative_to(top)))
    return {
        str(path.relative_to(top)): _entry(path, same_file, directory_times=directory_times)
        for path in paths
    }


def _entry(
    path: Path, same_file: dict[tuple[int, int], list[str]], *, directory_times: bool
) -> Entry:
    status = path.lstat()
    timeless = stat.S_ISDIR(status.st_mode) and not directory_times
    return Entry(
        kind=stat.filemode(status.st_mode)[0],
        permissions=stat.filemode(status.st_mode)[1:],
        owner=(status.st_uid, status.st_gid),
        modified_seconds=0 if timeless else int(status.st_mtime),
        content=_content(path, status),
        links=tuple(same_file.get((status.st_dev, status.st_ino), ())),
        attributes=tuple(
            (name, os.getxattr(path, name, follow_symlinks=False))
            for name in sorted(os.listxattr(path, follow_symlinks=False))
        ),
    )


def _content(path: Path, status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return str(path.readlink())
    if stat.S_ISREG(status.st_mode):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return ""


def differences(one: dict[str, Entry], other: dict[str, Entry]) -> list[str]:
    """Return where two trees differ, a line a path."""
    return [
        f"{path}: {one.get(path)} != {other.get(path)}"
        for path in sorted({*one, *other})
        if one.get(path) != other.get(path)
    ]
