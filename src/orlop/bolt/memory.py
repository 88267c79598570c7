"""How much memory this process may still take, and where larger things are put."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_MEMINFO: Final = Path("/proc/meminfo")
_OWN_GROUP: Final = Path("/proc/self/cgroup")
_GROUPS: Final = Path("/sys/fs/cgroup")
_LIMITS: Final = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Of a control group of version 2, then 1: its limit, what it uses, what of that is cache."""

_KIBIBYTE: Final = 1024
_UNKNOWN: Final = 256 * 1024 * 1024
"""What is taken to be free where the system does not say."""

_LASTING: Final = "/var/tmp"  # noqa: S108 (files there have no name)


def available_bytes() -> int:
    """Return how much memory can be taken without swapping, by the machine and all limits."""
    return min([_of_machine(), *_of_groups()])


def _of_machine() -> int:
    for line in _read(_MEMINFO).splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * _KIBIBYTE
    return _UNKNOWN


def _of_groups() -> list[int]:
    """Return the bytes that each control group of this process, and each above it, still allows."""
    found = []
    for line in _read(_OWN_GROUP).splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = _GROUPS / "memory" if controllers else _GROUPS
        group = top / name.lstrip("/")
        while True:
            left = _of_group(group)
            if left is not None:
                found.append(left)
            if group == top or top not in group.parents:
                break
            group = group.parent
    return found


def _of_group(group: Path) -> int | None:
    for limit_name, used_name, cache_name in _LIMITS:
        limit, used = _read(group / limit_name).strip(), _read(group / used_name).strip()
        if limit.isdecimal() and used.isdecimal():
            statistics = dict(
                line.split(" ", 1) for line in _read(group / "memory.stat").splitlines()
            )
            return max(int(limit) - int(used) + int(statistics.get(cache_name, 0)), 0)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeError):
        return ""


def spool_directory() -> str:
    """Return where large temporary files go: `$TMPDIR`, else a directory that is on a disk."""
    if os.environ.get("TMPDIR") or not os.access(_LASTING, os.W_OK):
        import tempfile  # noqa: PLC0415 (few files are copied)

        return tempfile.gettempdir()
    return _LASTING
