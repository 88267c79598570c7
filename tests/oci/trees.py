"""Describes a directory tree so that two can be compared."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

Description = tuple[object, ...]

_RECENT_SECONDS = 3600
_IGNORED = ("trusted.overlay.", "user.overlay.", "security.selinux")


def describe(root: Path) -> dict[bytes, Description]:
    """Return everything that a layer can say of each file below `root`, by path.

    A time of just now (of a directory that no entry describes) is described as such.
    """
    names: dict[tuple[int, int], list[bytes]] = {}
    found: dict[bytes, tuple[os.stat_result, Description]] = {}
    base = os.fsencode(root)
    for folder, folders, files in os.walk(base):
        for name in sorted(folders + files):
            path = os.path.join(folder, name)  # noqa: PTH118 - bytes, which pathlib has not
            state = os.lstat(path)
            relative = os.path.relpath(path, base)
            names.setdefault((state.st_dev, state.st_ino), []).append(relative)
            found[relative] = (state, _describe(path, state))
    return {
        path: (*description, tuple(sorted(names[state.st_dev, state.st_ino])))
        for path, (state, description) in found.items()
    }


def _describe(path: bytes, state: os.stat_result) -> Description:
    kind = stat.S_IFMT(state.st_mode)
    content: object = None
    if stat.S_ISREG(state.st_mode):
        with open(path, "rb") as file:  # noqa: PTH123 - bytes, which pathlib has not
            content = file.read()
    elif stat.S_ISLNK(state.st_mode):
        content = os.readlink(path)  # noqa: PTH115 - bytes, which pathlib has not
    elif stat.S_ISCHR(state.st_mode) or stat.S_ISBLK(state.st_mode):
        content = state.st_rdev
    attributes = {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in os.listxattr(path, follow_symlinks=False)
        if not name.startswith(_IGNORED)
    }
    recent = time.time() - state.st_mtime < _RECENT_SECONDS
    return (
        kind,
        stat.S_IMODE(state.st_mode),
        state.st_uid,
        state.st_gid,
        content,
        "recent" if recent else state.st_mtime_ns,
        tuple(sorted(attributes.items())),
    )
