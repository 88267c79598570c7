"""Removal of the files that an interrupted compaction leaves beside a database.

All names are hidden ones made from that of the database: `.meta.db.HEX` (a new file that is not
complete yet, or never got its name), `..meta.db.HEX.HEX` (the beginning of such a one) and
`.meta.db.HEX.old` (a link to the file whose place the new one takes).
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from orlop.bolt.disk import sync_directory
from orlop.bolt.file_lock import other_writers
from orlop.concurrency.interrupts import reraise_interrupt
from orlop.kv.errors import LockedError, ReplacedError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_HEX_DIGITS: Final = frozenset("0123456789abcdef")
_HEX_LENGTH: Final = 16
_OLD: Final = ".old"


def link_of_old(new: Path) -> Path:
    """Return the name of the old file while the new one, under a temporary name, replaces it."""
    return new.with_name(new.name + _OLD)


def find_leftovers(path: Path) -> list[Path]:
    """Return the files that an interrupted compaction or creation left beside a database.

    The name of the database is durable then: the compaction may have died between its rename and
    the sync, and a power loss would undo the rename and lose later writes to the new file.

    Args:
        path: the database. The caller holds its lock.

    Raises:
        LockedError: a process has the old file open for writing, and would go on with it.
        ReplacedError: a process has written to the old file after the new one took its place.
    """
    path = path.resolve()
    named = _named_leftovers(path)
    if not named:
        return []
    sync_directory(path.parent)
    current, found = path.stat(), []
    for leftover in named:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if not leftover.is_symlink() and leftover.is_file():
                _require_removable(leftover, path, current)
                found.append(leftover)
    return found


def remove_leftovers(leftovers: Iterable[Path]) -> None:
    """Delete leftovers of a database. Where one is a link to it, its change time changes."""
    for leftover in leftovers:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            leftover.unlink()


def count_names(path: Path) -> int:
    """Return how many names (hard links) a database has besides its leftovers."""
    path = path.resolve()
    links = [one for one in _named_leftovers(path) if one.is_file() and one.samefile(path)]
    return path.stat().st_nlink - len([one for one in links if not one.is_symlink()])


def _named_leftovers(path: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(path.parent))  # noqa: PTH208 (names)
    except OSError as error:
        reraise_interrupt(error)
        return []  # the directory cannot be read: whoever may read it removes them
    return [path.with_name(name) for name in names if _is_leftover(name, path.name)]


def _require_removable(leftover: Path, path: Path, current: os.stat_result) -> None:
    status = leftover.stat()
    is_same = (status.st_dev, status.st_ino) == (current.st_dev, current.st_ino)
    if leftover.name.endswith(_OLD) and not is_same:
        _require_unused(leftover, path, status)
        # The new file was given the time of the old one.
        if status.st_mtime_ns > current.st_mtime_ns:
            raise ReplacedError(
                f"a compaction of {path} was interrupted, and another program has written to the "
                f"old file since, which is {leftover.name} now: move it to {path} if what was "
                "written is to be kept, else delete it"
            )


def _require_unused(leftover: Path, path: Path, status: os.stat_result) -> None:
    writers = other_writers(status)
    if writers:
        raise LockedError(
            f"a compaction of {path} was interrupted, and the old file, {leftover.name}, is open "
            f"for writing in {writers}",
            hint="stop that process first",
        )


def _is_leftover(name: str, database: str) -> bool:
    """Whether a name is one that a compaction of a database makes."""
    temporary = f".{database}."
    if name.startswith(temporary):
        return _is_hex(name.removeprefix(temporary).removesuffix(_OLD))
    nested = f".{temporary}"
    if not name.startswith(nested):
        return False
    parts = name.removeprefix(nested).split(".")
    return len(parts) == len(("new", "beginning")) and _is_hex(parts[0]) and _is_hex(parts[1])


def _is_hex(text: str) -> bool:
    return len(text) == _HEX_LENGTH and _HEX_DIGITS.issuperset(text)
