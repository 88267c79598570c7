"""The mounts of this process: removal does not go where something is mounted.

A bind mount has the device number of what it shows, so devices tell nothing. The system's table
of mounts does (`/proc/self/mountinfo`), and the id of the mount that a descriptor is on. Without
`/proc` neither is known; then only the system itself protects what is mounted, which refuses to
rename or delete the place of a mount (EBUSY).

Source: proc(5), mount_namespaces(7), rename(2), rmdir(2).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.concurrency.interrupts import reraise_interrupt
from orlop.concurrency.ownership import OwnedFile

if TYPE_CHECKING:
    from collections.abc import Iterator

_TABLE: Final = Path("/proc/self/mountinfo")
_DESCRIPTORS: Final = "/proc/self/fdinfo"
_COLUMNS_MIN: Final = 10
_MOUNT_POINT: Final = 4
_OPTIONAL: Final = 6
"""The first of the columns that end with a dash."""
_DETAILS_BYTES: Final = 4096


class MountedError(OSError):
    """Raised where a mount lies below data that was to be deleted; the mount was not touched."""

    def __init__(self, path: str) -> None:
        """Name the place of the mount."""
        super().__init__(
            errno.EBUSY,
            "is mounted here, so the data below it is kept: unmount it, and collect again",
            path,
        )


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


def read_mounts() -> Iterator[Mount]:
    """Iterate over the table of mounts, later ones last; nothing where the system has none."""
    for row in _rows():
        _, _, device, root, point = map(_decoded, row[: _MOUNT_POINT + 1])
        type_, _, options = map(_decoded, row[row.index(b"-", _OPTIONAL) + 1 :][:3])
        yield Mount(point, root, device, type_, options)


def mounts_in(directory: Path) -> dict[str, str]:
    """Return the names in a directory that a mount is on or below, each with one such path.

    Args:
        directory: the directory. What is mounted on it or above is not meant.
    """
    below = os.path.realpath(directory).rstrip("/") + "/"
    found: dict[str, str] = {}
    for row in _rows():  # of a long table only the points, since each removal asks
        path = _decoded(row[_MOUNT_POINT])
        if path.startswith(below):
            found.setdefault(path[len(below) :].split("/", 1)[0], path)
    return found


def mount_id(descriptor: int) -> int | None:
    """Return the id of the mount that a descriptor is on; `None`: the system does not tell."""
    try:
        # Closes itself, whatever interrupts this.
        with OwnedFile(f"{_DESCRIPTORS}/{descriptor}", "rb") as details:
            text = details.read(_DETAILS_BYTES)
    except OSError as error:
        reraise_interrupt(error)
        return None
    found = re.search(rb"^mnt_id:\s*(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else None


def require_mount(descriptor: int, expected: int | None) -> None:
    """Refuse a descriptor that is on another mount than the one with that id.

    Raises:
        MountedError: it is.
    """
    if expected is not None and mount_id(descriptor) != expected:
        raise MountedError(path_of(descriptor))


def path_of(descriptor: int, name: str = "") -> str:
    """Return where an open directory is, or a name in it."""
    try:
        path = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 (no Path is needed)
    except OSError as error:
        reraise_interrupt(error)
        return name
    return f"{path}/{name}" if name else path


@contextlib.contextmanager
def naming_mounts(descriptor: int | None, name: str) -> Iterator[None]:
    """Raise MountedError if the system refuses a deletion because of a mount.

    Args:
        descriptor: the directory; `None`: `name` is a path.
        name: what is deleted or renamed.
    """
    try:
        yield
    except MountedError:
        raise
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        path = name if descriptor is None else path_of(descriptor, name)
        raise MountedError(path) from error


def _rows() -> Iterator[list[bytes]]:
    """Iterate over the rows of the table, each with its columns as they stand there."""
    try:
        with OwnedFile(_TABLE, "rb") as table:
            lines = table.readall().split(b"\n")
    except OSError as error:
        reraise_interrupt(error)
        return
    for line in lines:
        # Only blanks, tabs, line feeds and backslashes are escaped: other white space is a name's.
        row = line.split(b" ")
        if len(row) >= _COLUMNS_MIN and b"-" in row[_OPTIONAL:]:
            yield row


def _decoded(column: bytes) -> str:
    """Return the text of a column, in which some characters stand as octal numbers."""
    if b"\\" in column:
        column = re.sub(rb"\\([0-7]{3})", lambda one: bytes([int(one[1], 8)]), column)
    return os.fsdecode(column)
