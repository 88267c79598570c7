"""Files and directories that survive a power loss, and that no symbolic link leads away from.

A name is durable when its directory has been synced, data when its file has: a sync of one
says nothing about the other.

Source: fsync(2), syncfs(2), open(2), rename(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from itertools import islice
from typing import TYPE_CHECKING, Final

from orlop.concurrency.interrupts import reraise_interrupt, suppress_os_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
TEMPORARY_SUFFIX: Final = ".tmp"
_NAME_BYTES: Final = 6
_ENTRY: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TRUNCATED: Final = (
    os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
)
_FEW: Final = 4
"""So many entries are synced one by one: each costs a write of the journal."""

# os.syncfs does not exist; os.sync would flush every file system of the machine, and tells
# nobody of an error.
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def read_available(stream: BinaryIO, size: int) -> bytes:
    """Return the bytes of one read system call, at most `size`; empty at the end.

    `read` of a buffered stream calls the system again for the rest, and a signal that came during
    the first call is handled when the second one returns: with a pipe perhaps never.
    """
    data: bytes = getattr(stream, "read1", stream.read)(size)
    return data


class directory:  # noqa: N801 (it is used as a function; a generator costs three times as much)
    """Opens `root` and goes down through `names`; gives the file descriptor of the last one.

    `root` may be reached through symbolic links (it is the administrator's), but none of
    `names` may be one.

    Raises:
        FileNotFoundError: a part does not exist.
        NotADirectoryError: a part is something else, a symbolic link among them.
    """

    __slots__ = ("_descriptor", "_names", "_root")

    def __init__(self, root: Path, *names: str) -> None:
        self._root = root
        self._names = names

    def __enter__(self) -> int:
        descriptor = os.open(self._root, _DIRECTORY)
        for name in self._names:
            try:
                below = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            finally:
                os.close(descriptor)
            descriptor = below
        self._descriptor = descriptor
        return descriptor

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)


@contextlib.contextmanager
def naming(what: str) -> Iterator[None]:
    """Add a file name to OSErrors of the block that have none."""
    try:
        yield
    except OSError as error:
        reraise_interrupt(error)
        if error.filename is None:
            error.filename = what
        raise


def sync_tree(path: Path) -> None:
    """Make a directory durable with all below it.

    What is small is synced by itself, and waits for nobody else's data; of a large tree the
    whole file system is.

    Raises:
        OSError: what was written could not be stored, or `path` cannot be opened.
    """
    with directory(path) as descriptor:
        if not _sync_few(descriptor):
            _sync_file_system(descriptor, path)


def make_directories(path: Path, mode: int = 0o755) -> None:
    """Create a directory with the parents that it lacks, durably; it may be there already.

    `mode` is for all that is created, whatever the umask: what others may write to, they may
    change before it is published.
    """
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for wanted in reversed(missing):
        with contextlib.suppress(FileExistsError):
            wanted.mkdir(mode)
            wanted.chmod(mode)
        sync_directory(wanted.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    with directory(path) as descriptor:
        os.fsync(descriptor)


def sync_file_system(path: Path) -> None:
    """Make everything durable that was written to the file system of `path` so far.

    Raises:
        OSError: what was written could not be stored, or `path` cannot be opened.
    """
    with directory(path) as descriptor:
        _sync_file_system(descriptor, path)


def _sync_file_system(descriptor: int, path: Path) -> None:
    if _LIBC.syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))


def _sync_few(descriptor: int) -> bool:
    """Sync a directory of a few files and directories; return whether it was one."""
    with os.scandir(descriptor) as entries:
        listed = list(islice(entries, _FEW + 1))
        if len(listed) > _FEW:
            return False
        kinds = [
            (one.name, one.is_dir(follow_symlinks=False), one.is_file(follow_symlinks=False))
            for one in listed
        ]
    for name, is_directory, is_file in kinds:
        if not (is_file or is_directory) or not _sync_entry(name, descriptor, is_file=is_file):
            return False
    os.fsync(descriptor)
    return True


def _sync_entry(name: str, parent: int, *, is_file: bool) -> bool:
    """Sync a file, or an empty directory; return whether it was one that can be opened."""
    try:
        descriptor = os.open(name, _ENTRY, dir_fd=parent)
    except OSError as error:
        reraise_interrupt(error)
        return False  # its mode forbids it, or it has changed: the file system is synced
    try:
        if not is_file:
            with os.scandir(descriptor) as entries:
                if next(entries, None) is not None:
                    return False
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True


def write_atomically(name: str, data: bytes, *, dir_fd: int, mode: int = 0o644) -> None:
    """Replace a file atomically with `data`: a reader sees the old or the new one whole.

    The data is durable when this returns, the name when the directory is synced.
    """
    temporary = name + TEMPORARY_SUFFIX
    write_new(temporary, data, dir_fd=dir_fd, mode=mode, durable=True)
    os.rename(temporary, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)


def remove_temporary(name: str, *, dir_fd: int) -> None:
    """Delete the temporary file of a failed `write_atomically`, if there is one."""
    with suppress_os_errors():
        os.unlink(name + TEMPORARY_SUFFIX, dir_fd=dir_fd)


def write_new(
    name: str, data: bytes, *, dir_fd: int, mode: int = 0o644, durable: bool = False
) -> None:
    """Write a file from its beginning; an earlier file of that name is truncated.

    It has `mode`, whatever the umask.
    """
    descriptor = _open_truncated(name, mode, dir_fd)
    try:
        os.fchmod(descriptor, mode)
        remaining = memoryview(data)
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_truncated(name: str, mode: int, dir_fd: int) -> int:
    """Open a regular file for writing, empty; a pipe or device of that name is replaced."""
    try:
        descriptor = os.open(name, _TRUNCATED, mode, dir_fd=dir_fd)
    except OSError as error:
        if error.errno != errno.ENXIO:  # a pipe without a reader
            raise
    else:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    os.unlink(name, dir_fd=dir_fd)
    return os.open(name, _TRUNCATED | os.O_EXCL, mode, dir_fd=dir_fd)


def sync_file(name: str, *, dir_fd: int) -> None:
    """Make the data of a file durable; its name is when the directory is synced."""
    descriptor = os.open(name, _ENTRY, dir_fd=dir_fd)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def list_names(descriptor: int) -> list[str]:
    """Return the names in an open directory, in no order that means anything."""
    with os.scandir(descriptor) as entries:
        return [entry.name for entry in entries]


def make_unique_directory(parent: Path, prefix: str, mode: int = 0o700) -> Path:
    """Create a directory with a new name that begins with `prefix`."""
    path = parent / unique_name(prefix)
    path.mkdir(mode)
    path.chmod(mode)
    return path


def unique_name(prefix: str) -> str:
    """Return a name that nothing has: `prefix` with 48 random bits behind it."""
    return prefix + random_token()


def random_token() -> str:
    """Return 48 random bits as hexadecimal digits."""
    return os.urandom(_NAME_BYTES).hex()


def is_missing(error: OSError) -> bool:
    """Return whether an error of opening says that there is no plain file of that name.

    A symbolic link, where none is followed, counts as nothing.
    """
    return error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
