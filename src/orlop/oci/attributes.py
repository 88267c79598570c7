"""Owner, mode, times and extended attributes of the entries of a layer.

An ordinary user can give files only to themselves: owners and privileged attributes are
then left out, as other tools do without root.

Source: behaviour of containerd's archive package.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from orlop.concurrency.interrupts import reraise_interrupt
from orlop.errors import InvalidArgumentError
from orlop.storage import access

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orlop.oci.tar_header import TarEntry

_LATEST = (1 << 63) - 1
_NO_ID: Final = (1 << 32) - 1
"""What the system takes for "leave it as it is": no owner has this number, or a larger one."""
_TRUSTED: Final = "trusted."
_NEVER = (_TRUSTED, "user.overlay.")
"""Attributes that steer the file system that holds the snapshot: no archive may set them."""
_TOO_MUCH = {errno.E2BIG, errno.ERANGE, errno.ENOSPC}
"""What the system answers to a name, a value, or a set of attributes that is too large."""
_KEPT = ("trusted.", "user.overlay.", "system.", "security.selinux")
"""Attributes that stay when a layer replaces those of a directory."""
_USER = "user."
_LONGEST_SHOWN: Final = 80


def privileged() -> bool:
    """Whether this process may give files away and make devices."""
    return access.is_root()


def require_possible(entry: TarEntry) -> None:
    """Refuse an entry with an owner or an attribute that no file can have.

    Raises:
        InvalidArgumentError: an id is negative or too large, or an attribute is not for archives.
    """
    if not 0 <= entry.owner < _NO_ID:
        raise InvalidArgumentError(f"there is no owner {entry.owner}")
    if not 0 <= entry.group < _NO_ID:
        raise InvalidArgumentError(f"there is no group {entry.group}")
    for name in entry.attributes:
        if name.startswith(_TRUSTED):
            raise InvalidArgumentError(
                f"extended attribute {_shown(name)}: those of the system are not for archives"
            )


def set_owner(descriptor: int, entry: TarEntry) -> None:
    """Give an open file or directory to the entry's owner."""
    if privileged():
        os.fchown(descriptor, entry.owner, entry.group)


def set_mode(descriptor: int, entry: TarEntry) -> None:
    """Set the mode of an open file or directory; after the owner, which may reset it."""
    os.fchmod(descriptor, entry.mode)


def set_times(descriptor: int, entry: TarEntry) -> None:
    """Set the times of an open file or directory."""
    os.utime(descriptor, ns=times_of(entry))


def set_attributes(descriptor: int, entry: TarEntry) -> None:
    """Set the extended attributes of an open file or directory."""
    _write_attributes(descriptor, entry.attributes, plain=True)


def replace_attributes(descriptor: int, entry: TarEntry) -> None:
    """Replace the extended attributes of an existing directory."""
    for name in _names(descriptor):
        if name not in entry.attributes and not name.startswith(_KEPT):
            _drop(descriptor, name)
    set_attributes(descriptor, entry)


def set_all_by_name(directory: int, name: bytes, entry: TarEntry) -> None:
    """Set all attributes of an entry that cannot be opened: a link, a device, a fifo.

    Args:
        directory: the open directory that holds it.
        name: its name there; it is not followed.
        entry: what to set.
    """
    if privileged():
        os.chown(name, entry.owner, entry.group, dir_fd=directory, follow_symlinks=False)
    mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    if entry.attributes:
        # There is no call that takes a directory's descriptor; this name stands for one.
        path = b"/proc/self/fd/%d/%s" % (directory, name)
        _write_attributes(path, entry.attributes, plain=stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    if not stat.S_ISLNK(mode):
        os.chmod(name, entry.mode, dir_fd=directory)
    os.utime(name, ns=times_of(entry), dir_fd=directory, follow_symlinks=False)


def times_of(entry: TarEntry) -> tuple[int, int]:
    """Return time of access and of modification, in nanoseconds since the epoch.

    A time that the system cannot keep becomes the epoch; the access is never the earlier.
    """
    accessed = entry.modified if entry.accessed is None else max(entry.accessed, entry.modified)
    return _bound(accessed), _bound(entry.modified)


def copy_attributes(source: int, target: int) -> None:
    """Give one open file or directory owner, attributes, mode and times of another."""
    state, mode = access.stat_of(source)
    if privileged():
        os.fchown(target, state.st_uid, state.st_gid)
    for name in _names(source):
        if not name.startswith(_NEVER):
            _write_attributes(target, {name: os.getxattr(source, name)}, plain=True)
    os.fchmod(target, mode)
    os.utime(target, ns=(state.st_atime_ns, state.st_mtime_ns))


def _bound(time: int) -> int:
    return time if 0 <= time <= _LATEST else 0


def _names(descriptor: int) -> list[str]:
    try:
        return os.listxattr(descriptor)
    except OSError as error:
        reraise_interrupt(error)
        if error.errno == errno.ENOTSUP:
            return []
        raise


def _drop(descriptor: int, name: str) -> None:
    try:
        os.removexattr(descriptor, name)
    except PermissionError:
        if privileged():
            raise


def _write_attributes(file: int | bytes, attributes: Mapping[str, bytes], *, plain: bool) -> None:
    """Set extended attributes; `plain` is whether it is a regular file or a directory."""
    for name, value in attributes.items():
        if name.startswith(_NEVER):
            continue
        try:
            os.setxattr(file, name, value, follow_symlinks=isinstance(file, int))
        except OSError as error:
            reraise_interrupt(error)
            _require_left_out(error, file, name, value, plain=plain)


def _require_left_out(
    error: OSError, file: int | bytes, name: str, value: bytes, *, plain: bool
) -> None:
    """Pass over an attribute that cannot be here, as containerd does; refuse any other."""
    unsupported = error.errno == errno.ENOTSUP
    # The user namespace is for files and directories only (xattr(7)).
    refused = error.errno == errno.EPERM and (
        not privileged() or (name.startswith(_USER) and not plain)
    )
    if unsupported or refused:
        return
    if error.errno in _TOO_MUCH and not (error.errno == errno.ENOSPC and _is_full(file)):
        raise InvalidArgumentError(
            f"extended attribute {_shown(name)} of {len(value)} bytes: more than this file"
            f" system takes ({error.strerror})"
        ) from error
    raise error


def _is_full(file: int | bytes) -> bool:
    """Whether the file system of an open file or a path has no room at all."""
    descriptor = file if isinstance(file, int) else os.open(os.path.dirname(file), os.O_PATH)  # noqa: PTH120 - bytes
    try:
        state = os.fstatvfs(descriptor)
        return state.f_bavail == 0 or (state.f_files > 0 and state.f_favail == 0)
    finally:
        if descriptor is not file:
            os.close(descriptor)


def _shown(name: str) -> str:
    return ascii(name[:_LONGEST_SHOWN])
