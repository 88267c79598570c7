"""Access past modes that lock out their own owner, so that an ordinary user can unpack layers.

Real images hold directories of mode 0555 and files of mode 0000, which root reads and writes all
the same. For an ordinary user the mode is widened while something is read or changed, and put
back. A process that is killed in between leaves the wider mode of the owner.

Source: path_resolution(7), "Permissions"; proc(5), /proc/self/fd.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.concurrency.ownership import Mutex
from orlop.storage.mounts import require_mount

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

LIST: Final = stat.S_IRUSR | stat.S_IXUSR
"""What reading a directory and what is below it needs."""
READ: Final = stat.S_IRUSR
"""What reading a file needs."""
_CHANGE: Final = stat.S_IRWXU
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HANDLE: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class _Grant(NamedTuple):
    """The mode that an inode has by right, and how many are using the wider one."""

    mode: int
    uses: int


_lock = Mutex()
_grants: dict[tuple[int, int], _Grant] = {}


def _forget_grants() -> None:
    """Leave the modes that are wider to the parent of a forked process, which puts them back."""
    global _lock  # noqa: PLW0603 (a thread of the parent may have it)
    _lock = Mutex()
    _grants.clear()


os.register_at_fork(after_in_child=_forget_grants)


def is_root() -> bool:
    """Whether modes forbid this process nothing."""
    return os.geteuid() == 0


class Widened:
    """Widens modes while its block runs, and puts them back in the reverse order."""

    def __init__(self) -> None:
        self._held: list[str] = []

    def allow(self, path: str, wanted: int) -> None:
        """Let the owner use a file or directory, which is no symbolic link.

        Raises:
            PermissionError: it belongs to another user.
        """
        if not is_root() and _widen(path, wanted, dir_fd=None):
            self._held.append(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for path in reversed(self._held):
            handle = os.open(path, _HANDLE)
            try:
                _restore(handle)
            finally:
                os.close(handle)


def open_directory(name: bytes, dir_fd: int) -> int:
    """Open a directory for reading and searching; `close` restores its mode.

    Raises:
        OSError: it is missing, a link, no directory, or another user's.
    """
    held = not is_root() and _widen(name, LIST, dir_fd=dir_fd)
    try:
        return os.open(name, _DIRECTORY, dir_fd=dir_fd)
    except BaseException:
        if held:
            _restore_name(name, dir_fd)
        raise


def close(descriptor: int) -> None:
    """Close a descriptor of `open_directory`, and restore the directory's mode."""
    try:
        if _grants:
            _restore(descriptor)
    finally:
        os.close(descriptor)


def open_for_changes(
    name: bytes | str, dir_fd: int | None, *, mount: int | None = None
) -> tuple[int, int | None]:
    """Open a directory so that it can be read and changed, for good.

    Args:
        name: of the directory.
        dir_fd: what it is in; `None`: the name is a path.
        mount: the id of the mount that it must be on; `None`: any.

    Returns:
        The descriptor; and the mode that it had, `None` where that was wide enough.

    Raises:
        MountedError: it is on another mount; it was not touched.
        OSError: it is missing, a link, no directory, or another user's.
    """
    handle = os.open(name, os.O_PATH | _DIRECTORY, dir_fd=dir_fd)
    try:
        require_mount(handle, mount)
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        is_narrow = not is_root() and mode & _CHANGE != _CHANGE
        if is_narrow:
            _set_mode(handle, mode | _CHANGE)
        return os.open(".", _DIRECTORY, dir_fd=handle), mode if is_narrow else None
    finally:
        os.close(handle)


def open_file(name: bytes, dir_fd: int) -> int:
    """Open a regular file for reading, with its attributes; `close` ends that.

    Raises:
        OSError: it is missing, a link, or another user's.
    """
    held = not is_root() and _widen(name, READ, dir_fd=dir_fd)
    try:
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    except BaseException:
        if held:
            _restore_name(name, dir_fd)
        raise


def true_mode(state: os.stat_result) -> int:
    """Return the permissions of an inode without those that are widened for a moment."""
    grant = _grants.get((state.st_dev, state.st_ino))
    return stat.S_IMODE(state.st_mode) if grant is None else grant.mode


def stat_of(path: str | bytes | int) -> tuple[os.stat_result, int]:
    """Return the status of a file, and its permissions without widening."""
    with _lock:
        found = os.fstat(path) if isinstance(path, int) else os.lstat(path)
        return found, true_mode(found)


def _widen(name: str | bytes, wanted: int, *, dir_fd: int | None) -> bool:
    """Add permissions to a mode; false where nothing has to be put back."""
    handle = os.open(name, _HANDLE, dir_fd=dir_fd)
    try:
        with _lock:
            state = os.fstat(handle)
            inode = (state.st_dev, state.st_ino)
            mode = stat.S_IMODE(state.st_mode)
            grant = _grants.get(inode)
            if stat.S_ISLNK(state.st_mode) or (grant is None and mode & wanted == wanted):
                return False
            if mode & wanted != wanted:
                _set_mode(handle, mode | wanted)
            _grants[inode] = (
                _Grant(mode, 1) if grant is None else _Grant(grant.mode, grant.uses + 1)
            )
            return True
    finally:
        os.close(handle)


def _restore_name(name: str | bytes, dir_fd: int) -> None:
    handle = os.open(name, _HANDLE, dir_fd=dir_fd)
    try:
        _restore(handle)
    finally:
        os.close(handle)


def _restore(descriptor: int) -> None:
    """Put a mode back, when the last use of the wider one has ended."""
    with _lock:
        state = os.fstat(descriptor)
        inode = (state.st_dev, state.st_ino)
        grant = _grants.get(inode)
        if grant is None:
            return
        if grant.uses > 1:
            _grants[inode] = _Grant(grant.mode, grant.uses - 1)
            return
        del _grants[inode]
        _set_mode(descriptor, grant.mode)


def _set_mode(descriptor: int, mode: int) -> None:
    # A descriptor that was opened for its path alone takes no fchmod.
    os.chmod(f"/proc/self/fd/{descriptor}", mode)  # noqa: PTH101 - no path: what is open itself
