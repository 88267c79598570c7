"""Brings a file of a parent snapshot into the upper directory of an overlay.

The kernel does this when a file of a lower directory gets a second name; a layer that is
applied without a mount has to do it itself.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from orlop.errors import InvalidArgumentError, NotFoundError
from orlop.oci.attributes import copy_attributes, privileged
from orlop.oci.safe_path import printable_path, restore_times, status
from orlop.oci.whiteouts import marks_nothing
from orlop.storage import access

if TYPE_CHECKING:
    from orlop.oci.safe_path import EntryPath, SnapshotTree

_CHUNK = 1 << 20


def ensure_written(tree: SnapshotTree, path: EntryPath) -> None:
    """Copy the file or directory at `path` to the writable part of a snapshot, if it is below.

    Raises:
        InvalidArgumentError: there is nothing, or a directory.
    """
    missing = InvalidArgumentError(
        f"a hard link to {printable_path(path)}, which is not in the snapshot"
    )
    if not path:
        raise missing
    try:
        parent = tree.existing(path[:-1])
    except NotFoundError:
        raise missing from None
    name = path[-1]
    with parent:
        if parent.upper is not None and (state := status(parent.upper, name)) is not None:
            if marks_nothing(state, layered=tree.layered):
                raise missing
            _require_no_directory(state, path)
            return
        for lower in parent.lowers:
            state = status(lower.descriptor, name)
            if state is None:
                continue
            if marks_nothing(state, layered=True):
                break
            _require_no_directory(state, path)
            target = tree.directory(parent.path, keeps_times=True).writable
            before = os.fstat(target)
            _copy(lower.descriptor, target, name, state)
            restore_times(target, before)
            return
    raise missing


def _require_no_directory(state: os.stat_result, path: EntryPath) -> None:
    if stat.S_ISDIR(state.st_mode):
        raise InvalidArgumentError(f"a hard link to {printable_path(path)}, which is a directory")


def _copy(source: int, target: int, name: bytes, state: os.stat_result) -> None:
    """Copy `name` from one open directory into another."""
    if stat.S_ISREG(state.st_mode):
        _copy_file(source, target, name)
        return
    if stat.S_ISLNK(state.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    else:
        os.mknod(name, state.st_mode, state.st_rdev, dir_fd=target)
    if privileged():
        os.chown(name, state.st_uid, state.st_gid, dir_fd=target, follow_symlinks=False)
    if not stat.S_ISLNK(state.st_mode):
        os.chmod(name, access.true_mode(state), dir_fd=target)
    times = (state.st_atime_ns, state.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)


def _copy_file(source: int, target: int, name: bytes) -> None:
    """Copy data and attributes of a regular file."""
    reading = access.open_file(name, source)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        writing = os.open(name, flags, 0o600, dir_fd=target)
        try:
            while os.sendfile(writing, reading, None, _CHUNK):
                pass
            copy_attributes(reading, writing)
        finally:
            os.close(writing)
    finally:
        access.close(reading)
