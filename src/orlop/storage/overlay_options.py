"""Paths in the options of an overlay mount.

A comma ends an option, a colon a lower directory, and a backslash takes the meaning of either.

Source: the kernel's Documentation/filesystems/overlayfs.rst; mount(8).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SPECIAL = re.compile(r"([\\,])")
_SPECIAL_BELOW = re.compile(r"([\\,:])")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_LOWER = re.compile(r"(?:\\.|[^:\\])+", re.DOTALL)


def directory_option(name: str, path: Path) -> str:
    """Return the option `upperdir` or `workdir`."""
    return f"{name}={_SPECIAL.sub(_preceded, str(path))}"


def lower_option(paths: Iterable[Path]) -> str:
    """Return the option `lowerdir`; the topmost directory comes first."""
    return "lowerdir=" + ":".join(_SPECIAL_BELOW.sub(_preceded, str(path)) for path in paths)


def directory_of(value: str) -> Path:
    """Return the path in the value of `upperdir` or `workdir`."""
    return Path(_ESCAPED.sub(r"\1", value))


def lowers_of(value: str) -> tuple[Path, ...]:
    """Return the paths in the value of `lowerdir`."""
    return tuple(directory_of(one) for one in _LOWER.findall(value))


def _preceded(match: re.Match[str]) -> str:
    return f"\\{match[1]}"
