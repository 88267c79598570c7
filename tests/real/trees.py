"""Comparison of directory trees by the attributes that a restore preserves."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, replace
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


def tree(top: Path) -> dict[str, Entry]:
    """Return the entries of a tree by their path within it; `.` is the top itself."""
    paths = [top, *sorted(top.rglob("*"))]
    same_file: dict[tuple[int, int], list[str]] = {}
    for path in paths:
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            place = (status.st_dev, status.st_ino)
            same_file.setdefault(place, []).append(str(path.relative_to(top)))
    return {str(path.relative_to(top)): _entry(path, same_file) for path in paths}


def _entry(path: Path, same_file: dict[tuple[int, int], list[str]]) -> Entry:
    status = path.lstat()
    return Entry(
        kind=stat.filemode(status.st_mode)[0],
        permissions=stat.filemode(status.st_mode)[1:],
        owner=(status.st_uid, status.st_gid),
        modified_seconds=int(status.st_mtime),
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


def differences(
    made: dict[str, Entry], wanted: dict[str, Entry], *, unpacked_after: float
) -> list[str]:
    """Return where two trees differ, a line a path.

    A time in `wanted` that is later than `unpacked_after` comes from no archive, but from the
    moment of unpacking: there any time is right.
    """
    found = []
    for path in sorted({*made, *wanted}):
        one, other = made.get(path), wanted.get(path)
        if one is not None and other is not None and other.modified_seconds >= unpacked_after:
            one = replace(one, modified_seconds=other.modified_seconds)
        if one != other:
            found.append(f"{path}: {one} != {other}")
    return found
