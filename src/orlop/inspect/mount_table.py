"""The mount that shows a path, and the directories it is made from.

Source: proc(5), /proc/PID/mountinfo; Documentation/filesystems/overlayfs.rst of Linux.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from orlop.storage.mounts import read_mounts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.storage.mounts import Mount

_OVERLAY: Final = "overlay"


def mount_of(path: str) -> tuple[Mount, tuple[str, ...]] | None:
    """Return the mount that shows a path, and the directories it is made from, the upper first.

    Returns:
        `None` where the system does not tell.
    """
    real = os.path.realpath(path)
    mounts = list(read_mounts())
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
            yield os.path.normpath(os.path.join(other.point, inside))  # noqa: PTH118 (texts)


def _is_below(path: str, directory: str) -> bool:
    return directory in {"/", path} or path.startswith(f"{directory}/")
