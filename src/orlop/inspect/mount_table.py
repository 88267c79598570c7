"""The mounts of this process: which one shows a path, and from which directories.

Source: proc(5), /proc/PID/mountinfo; Documentation/filesystems/overlayfs.rst of Linux.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_TABLE: Final = Path("/proc/self/mountinfo")
_COLUMNS_MIN: Final = 10
_OVERLAY: Final = "overlay"


class Mount(NamedTuple):
    """A mount.

    Attributes:
        point: where it is.
        root: what of its file system it shows.
        device: the number of its file system.
        type: the type of its file system.
        options: those of its file system.
    """

    point: str
    root: str
    device: str
    type: str
    options: str


def mount_of(path: str) -> tuple[Mount, tuple[str, ...]] | None:
    """Return the mount that shows a path, and the directories it is made from, the upper first.

    Returns:
        `None` where the system does not tell.
    """
    real = os.path.realpath(path)
    mounts = list(_mounts())
    showing = [one for one in mounts if _is_below(real, one.point)]
    if not showing:
        return None
    # Of two at one place the later one is on top.
    mount = max(enumerate(showing), key=lambda one: (len(one[1].point), one[0]))[1]
    sources = _layers(mount) if mount.type == _OVERLAY else _bound(mount, mounts)
    return mount, tuple(sources)


def _layers(mount: Mount) -> Iterator[str]:
    """Iterate over the directories of an overlay."""
    options = re.split(r"(?<!\\),", mount.options)
    for name in ("upperdir=", "lowerdir="):
        for option in options:
            if option.startswith(name):
                for layer in re.split(r"(?<!\\):+", option.removeprefix(name)):
                    yield re.sub(r"\\(.)", r"\1", layer)


def _bound(mount: Mount, mounts: list[Mount]) -> Iterator[str]:
    """Iterate over other places where a bind mount's directory can be seen."""
    for other in mounts:
        is_other = other.device == mount.device and other.point != mount.point
        if is_other and _is_below(mount.root, other.root):
            inside = os.path.relpath(mount.root, other.root)
            yield os.path.normpath(f"{other.point}/{inside}")


def _is_below(path: str, directory: str) -> bool:
    return directory in {"/", path} or path.startswith(f"{directory}/")


def _mounts() -> Iterator[Mount]:
    try:
        lines = os.fsdecode(_TABLE.read_bytes()).splitlines()
    except OSError:
        return
    for line in lines:
        fields = [_plain(one) for one in line.split(" ")]
        if len(fields) >= _COLUMNS_MIN and "-" in fields[6:]:
            type_, _, options = fields[fields.index("-", 6) + 1 :][:3]
            yield Mount(fields[4], fields[3], fields[2], type_, options)


def _plain(field: str) -> str:
    """Return a field whose blanks and backslashes stood there as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda one: chr(int(one[1], 8)), field)
