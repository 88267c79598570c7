"""Deletes directory trees of any depth, also while other processes write to them.

Every level is first moved up to the root of the tree and emptied there. So the depth costs
neither recursion nor file descriptors nor long paths, and nothing is ever opened through a
path that somebody else might have bent meanwhile.

Where something is mounted in the tree, nothing is deleted. What is mounted while the tree is being
deleted is not entered.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Final

from orlop.concurrency.interrupts import reraise_interrupt
from orlop.storage import access
from orlop.storage.mounts import MountedError, mount_id, mounts_in, naming_mounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_MARK_BYTES: Final = 8
_LINKS_WITHOUT_DIRECTORIES: Final = 2
"""Its name and its own dot; some file systems do not count, and say 1."""


def remove_tree(path: Path) -> None:
    """Delete `path`: a directory with all below it, or a single file or link.

    Links are deleted, not followed. Deleting what does not exist is no error.

    Raises:
        MountedError: something is mounted there or below.
        OSError: something could not be deleted; the rest may be gone.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        with naming_mounts(None, str(path)):
            path.unlink(missing_ok=True)
        return
    with contextlib.suppress(FileNotFoundError):
        mount = _mount_of(path.parent)
        with _opened(str(path), None, mount) as root:
            _refuse_mounts(path, root)
            _empty(root, mount)
        with naming_mounts(None, str(path)):
            path.rmdir()


def remove_trees(paths: Iterable[Path], advance: Callable[[], None] = lambda: None) -> None:
    """Delete several trees as `remove_tree` one; `advance` is called before each.

    Raises:
        OSError: something could not be deleted; all the rest was.
    """
    errors = []
    for path in paths:
        advance()
        try:
            remove_tree(path)
        except OSError as error:
            reraise_interrupt(error)
            errors.append(error)
    if errors:
        raise errors[0]


def _mount_of(path: Path) -> int | None:
    handle = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return mount_id(handle)
    finally:
        os.close(handle)


def _refuse_mounts(path: Path, root: int) -> None:
    """Raise MountedError if something is mounted below.

    Without directories below the table need not be read: no file that is mounted on is deleted.
    """
    if os.fstat(root).st_nlink != _LINKS_WITHOUT_DIRECTORIES:
        for place in mounts_in(path).values():
            raise MountedError(place)


def _empty(root: int, mount: int | None) -> None:
    """Delete everything in the directory that `root` is open on, which is on that mount."""
    mark = os.urandom(_MARK_BYTES).hex()
    moved = 0
    waiting = _delete_files(root)
    while waiting:
        name = waiting.pop()
        with _opened(name, root, mount) as current:
            for below in _delete_files(current):
                lifted = f"{mark}-{moved}"
                moved += 1
                with naming_mounts(current, below):
                    _lift(below, current, lifted, root, mount)
                waiting.append(lifted)
        with naming_mounts(root, name):
            os.rmdir(name, dir_fd=root)


def _delete_files(descriptor: int) -> list[str]:
    """Delete the entries that are not directories; return the names of the directories."""
    directories = []
    with os.scandir(descriptor) as entries:
        listed = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in listed:
        if is_directory:
            directories.append(name)
        else:
            with contextlib.suppress(FileNotFoundError), naming_mounts(descriptor, name):
                os.unlink(name, dir_fd=descriptor)
    return directories


def _lift(name: str, source: int, lifted: str, root: int, mount: int | None) -> None:
    try:
        os.rename(name, lifted, src_dir_fd=source, dst_dir_fd=root)
    except PermissionError:
        # Moving a directory changes its "..": its owner needs to be allowed to write to it.
        with _opened(name, source, mount):
            pass
        os.rename(name, lifted, src_dir_fd=source, dst_dir_fd=root)


@contextlib.contextmanager
def _opened(name: str, parent: int | None, mount: int | None) -> Iterator[int]:
    """Open a directory so that it can be read and changed: its mode may forbid its owner."""
    readable, _ = access.open_for_changes(name, parent, mount=mount)
    try:
        yield readable
    finally:
        os.close(readable)
