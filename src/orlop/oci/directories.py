"""A directory of a snapshot, held open, so that nothing can be reached but through it.

Every step goes by file descriptor and one plain name, and never follows a link: a path
that the archive, or somebody else at the same time, has bent cannot lead anywhere.

A snapshot may be a stack: the directory that is written (the upper one) over those of its
parents (the lower ones, nearest first), in the form that the kernel's overlay file system
gives them. A snapshot with files of its own has no lower ones.

Source: Documentation/filesystems/overlayfs.rst of the Linux kernel.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orlop.model.errors import InvalidArgumentError
from orlop.storage import access
from orlop.storage.mounts import mount_id

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from orlop.oci.lower_directories import LowerDirectory

Path = tuple[bytes, ...]
"""The names that lead from the root of a snapshot to something in it."""


@dataclass(slots=True)
class Directory:
    """An open directory of a snapshot.

    Attributes:
        path: where it is.
        upper: descriptor of its part that is written; `None` where only parents have it.
        lowers: its parts in the parents, nearest first.
    """

    path: Path
    upper: int | None
    lowers: tuple[LowerDirectory, ...] = ()

    @property
    def writable(self) -> int:
        """The descriptor of the part that is written."""
        if self.upper is None:
            raise InvalidArgumentError(f"directory {shown(self.path)} is only in a parent snapshot")
        return self.upper

    def forget_lowers(self) -> None:
        """Close the parts in the parents: this directory now hides them."""
        for lower in self.lowers:
            lower.close()
        self.lowers = ()

    def close(self) -> None:
        """Close every part."""
        self.forget_lowers()
        # Forgotten first: an interrupt behind it must not have it closed twice.
        upper, self.upper = self.upper, None
        if upper is not None:
            os.close(upper)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def shown(path: Path) -> str:
    """Return a path as errors show it."""
    return ascii("/" + b"/".join(path).decode("utf-8", "backslashreplace"))[1:-1]


def status(directory: int, name: bytes) -> os.stat_result | None:
    """Return the status of `name` without following a link; `None` where nothing has the name."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def names_in(directory: int) -> list[bytes]:
    """Return the names in an open directory, in order."""
    with os.scandir(directory) as entries:
        return sorted(os.fsencode(entry.name) for entry in entries)


def is_whiteout(found: os.stat_result) -> bool:
    """Whether this is overlay's mark for a name that is gone: a character device 0/0."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def is_opaque(descriptor: int, attribute: str) -> bool:
    """Whether a directory hides all that its parents have in it; `attribute` says so."""
    try:
        return os.getxattr(descriptor, attribute) == b"y"
    except OSError as error:
        # A file system without extended attributes has no opaque directories.
        if error.errno in {errno.ENODATA, errno.ENOTSUP}:
            return False
        raise


def remove(directory: int, name: bytes) -> None:
    """Remove `name` with all that is below it; nothing happens where there is nothing.

    Raises:
        MountedError: something is mounted there or below; what is beside it may be gone.
    """
    found = status(directory, name)
    if found is None:
        return
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=directory)
        return
    inner, _ = access.open_for_changes(name, directory, mount=mount_id(directory))
    try:
        for child in names_in(inner):
            remove(inner, child)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=directory)


def restore_times(directory: int, before: os.stat_result) -> None:
    """Give an open directory back the times that it had before something was copied into it.

    A copy of what the parents have changes nothing that is to be seen; the kernel does the same.
    """
    os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))
