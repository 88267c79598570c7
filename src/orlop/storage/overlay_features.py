"""Which options overlay mounts need on this machine. Nothing is mounted to find out.

Source: containerd, plugins/snapshots/overlay and overlayutils.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from pathlib import Path
from typing import Final

_INDEX: Final = Path("/sys/module/overlay/parameters/index")
_UID_MAP: Final = Path("/proc/self/uid_map")
_ALL_USERS: Final = ["0", "0", "4294967295"]
_FIRST_WITH_USERXATTR: Final = (5, 11)
_TMPFS_MAGIC: Final = 0x01021994
_STATFS_BYTES: Final = 512

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def supports_index() -> bool:
    """Tell whether the kernel knows the option `index`, which must be off then."""
    return _INDEX.exists()


def needs_userxattr(root: Path) -> bool:
    """Tell whether mounts below `root` need the option `userxattr`.

    They do in a user namespace, but for tmpfs, since Linux 5.11. Some distributions brought
    it to older kernels; containerd finds out by mounting, Orlop leaves it out there.
    """
    if not _in_user_namespace():
        return False
    return not _is_tmpfs(root) and _kernel_version() >= _FIRST_WITH_USERXATTR


def _in_user_namespace() -> bool:
    with contextlib.suppress(OSError):
        first, *_ = _UID_MAP.read_text(encoding="ascii").splitlines() or [""]
        return first.split() != _ALL_USERS
    return False


def _is_tmpfs(root: Path) -> bool:
    # The first member of struct statfs is a long: the type of the file system.
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    existing = next((path for path in (root, *root.parents) if path.exists()), Path("/"))
    if _LIBC.statfs(os.fsencode(existing), buffer) != 0:
        return False
    return ctypes.c_long.from_buffer(buffer).value == _TMPFS_MAGIC


def _kernel_version() -> tuple[int, int]:
    import platform  # noqa: PLC0415 (few listings need it)

    match = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(match[1]), int(match[2])) if match else (0, 0)
