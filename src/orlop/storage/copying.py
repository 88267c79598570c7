"""Copying a directory as it is: modes, owners, times, extended attributes, links and devices.

Source: github.com/containerd/continuity, fs.CopyDir, whose result this has; unlike there,
directories keep their times too, holes stay holes, and every kind of file keeps its hard
links.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING, Final

from orlop.concurrency.interrupts import reraise_interrupt
from orlop.storage import access

if TYPE_CHECKING:
    from pathlib import Path

_FICLONE: Final = 0x40049409
_CHUNK_BYTES: Final = 1 << 20
_RANGE_BYTES: Final = 1 << 30
# The file system, the kernel or a filter of system calls cannot do it: copy by hand then.
_CANNOT: Final = frozenset(
    {
        errno.EXDEV,
        errno.EINVAL,
        errno.ENOSYS,
        errno.ENOTTY,
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.EBADF,
        errno.ETXTBSY,
    }
)
# An attribute that the target cannot have, or that is not ours to set: containerd goes on too.
_FOREIGN: Final = frozenset(
    {errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENODATA, errno.EINVAL}
)


def copy_tree(source: Path, target: Path) -> None:
    """Copy the directory `source`, with all below it, over the empty directory `target`.

    Nothing is synced. When it fails, `target` holds a part of the copy.

    Raises:
        OSError: something could not be read or made as it is; a device, for example, without
            the right to make one, or a file of another owner without being root.
    """
    linked: dict[tuple[int, int], str] = {}
    directories = [(str(source), str(target), *access.stat_of(str(source)))]
    with access.Widened() as widened:
        # Grows while it is walked: a directory is finished after everything below it.
        for source_directory, target_directory, _, _ in directories:
            widened.allow(source_directory, access.LIST)
            for name, status, mode in _list(source_directory):
                old, new = f"{source_directory}/{name}", f"{target_directory}/{name}"
                if stat.S_ISDIR(status.st_mode):
                    os.mkdir(new, 0o700)  # noqa: PTH102 -- a plain string is faster, of which there are many
                    directories.append((old, new, status, mode))
                elif not _link_again(new, status, linked):
                    _copy_entry(old, new, status, mode)
        for old, new, status, mode in reversed(directories):
            _copy_attributes(old, new, status, mode)


def _list(directory: str) -> list[tuple[str, os.stat_result, int]]:
    """Return name, status and permissions of each entry of a directory."""
    with os.scandir(directory) as entries:
        if access.is_root():
            states = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
            return [(name, status, stat.S_IMODE(status.st_mode)) for name, status in states]
        return [(entry.name, *access.stat_of(entry.path)) for entry in entries]


def _copy_entry(old: str, new: str, status: os.stat_result, mode: int) -> None:
    """Copy an entry that is not a directory."""
    with access.Widened() as widened:
        if stat.S_ISREG(status.st_mode):
            widened.allow(old, access.READ)
        _copy_file(old, new, status)
        _copy_attributes(old, new, status, mode)


def _link_again(new: str, status: os.stat_result, linked: dict[tuple[int, int], str]) -> bool:
    """Make `new` another name of an inode that was copied before; tell whether it was."""
    if status.st_nlink == 1:
        return False
    first = linked.setdefault((status.st_dev, status.st_ino), new)
    if first == new:
        return False
    os.link(first, new, follow_symlinks=False)
    return True


def _copy_file(old: str, new: str, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        _copy_data(old, new)
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(old), new)  # noqa: PTH115, PTH211 -- as above; and bytes stay as they are
    else:
        device = (
            status.st_rdev if stat.S_IFMT(status.st_mode) in {stat.S_IFBLK, stat.S_IFCHR} else 0
        )
        os.mknod(new, status.st_mode, device)


def _copy_data(old: str, new: str) -> None:
    source = os.open(old, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        target = os.open(new, flags, 0o600)
        try:
            if not _clone(source, target):
                _copy_extents(source, target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _clone(source: int, target: int) -> bool:
    """Share the blocks of `source`, where the file system can; tell whether it could."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        reraise_interrupt(error)
        if error.errno in _CANNOT:
            return False
        raise
    return True


def _copy_extents(source: int, target: int) -> None:
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    start = 0
    while start < size:
        try:
            start = os.lseek(source, start, os.SEEK_DATA)
        except OSError as error:
            reraise_interrupt(error)
            if error.errno == errno.ENXIO:  # nothing but a hole is left
                return
            raise
        end = os.lseek(source, start, os.SEEK_HOLE)
        _copy_range(source, target, start, end)
        start = end


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        try:
            copied = os.copy_file_range(
                source, target, min(end - start, _RANGE_BYTES), start, start
            )
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            copied = 0
        if copied == 0:
            copied = _copy_chunk(source, target, start, min(end - start, _CHUNK_BYTES))
        start += copied


def _copy_chunk(source: int, target: int, offset: int, length: int) -> int:
    chunk = memoryview(os.pread(source, length, offset))
    if not chunk:
        raise OSError(errno.EIO, "the file became shorter while it was copied")
    written = 0
    while written < len(chunk):
        written += os.pwrite(target, chunk[written:], offset + written)
    return written


def _copy_attributes(old: str, new: str, status: os.stat_result, mode: int) -> None:
    """Set owner, attributes, mode and times, in the one order in which none undoes another."""
    _copy_owner(new, status)
    _copy_extended_attributes(old, new)
    is_link = stat.S_ISLNK(status.st_mode)
    if not is_link:
        os.chmod(new, mode)  # noqa: PTH101 -- as above
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def _copy_owner(new: str, status: os.stat_result) -> None:
    try:
        os.chown(new, status.st_uid, status.st_gid, follow_symlinks=False)
    except PermissionError:
        # Some network file systems refuse to set even what stands there already.
        made = os.lstat(new)
        if (made.st_uid, made.st_gid) != (status.st_uid, status.st_gid):
            raise


def _copy_extended_attributes(old: str, new: str) -> None:
    try:
        names = os.listxattr(old, follow_symlinks=False)
    except OSError as error:
        reraise_interrupt(error)
        if error.errno in _FOREIGN:
            return
        raise
    for name in names:
        try:
            value = os.getxattr(old, name, follow_symlinks=False)
            os.setxattr(new, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _FOREIGN:
                raise
