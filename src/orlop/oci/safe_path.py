"""Resolves the names of archive entries, always inside the snapshot.

Each step opens one plain name below an open directory and never follows a link, so no path
that an archive or another process has bent leads outside.

`..` and absolute names stay inside: the root of the snapshot is its own parent. Links on
the way are followed as the kernel would follow them inside a container, seen from the
root of the snapshot and through the parents' directories.

A snapshot may be a stack: the directory that is written (the upper one) over those of its
parents (the lower ones, nearest first), as the kernel's overlay file system has them. A
snapshot with files of its own has no lower ones.

Source: Documentation/filesystems/overlayfs.rst of the Linux kernel; behaviour of containerd's
fs.RootPath; path_resolution(7).
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orlop.concurrency.interrupts import reraise_interrupt
from orlop.errors import InvalidArgumentError, NotFoundError, PermissionDeniedError
from orlop.oci.attributes import copy_attributes
from orlop.oci.lower_directories import LowerDirectories, LowerDirectory
from orlop.oci.path_map import PathMap
from orlop.storage import access
from orlop.storage.mounts import mount_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path as FilePath
    from types import TracebackType
    from typing import Self

    from orlop.oci.lower_directories import LowerDirectory

MAX_LINKS = 255
"""How many symbolic links may lie on the way to one entry, as in containerd."""

DEEPEST = 256
"""How many directories may lie inside each other."""

_ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def parts_of(name: bytes) -> EntryPath:
    """Return the names of a path as seen from the root, `.` and `..` worked in.

    Raises:
        InvalidArgumentError: the path is nested deeper than `DEEPEST`.
    """
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in {b"", b"."}:
            parts.append(part)
    if len(parts) > DEEPEST:
        raise InvalidArgumentError(f"a path of {len(parts)} directories: {DEEPEST} are allowed")
    return tuple(parts)


@dataclass(frozen=True, slots=True)
class _Missing:
    """No file of that name; `hidden` where the snapshot hides one of its parents."""

    hidden: bool = False


@dataclass(frozen=True, slots=True)
class _Link:
    """A symbolic link."""

    target: bytes


class SnapshotTree:
    """The directories of a snapshot, found by path; a context manager that closes them.

    Args:
        root: the directory that is written; it must exist.
        lowers: the directories of the parents in overlay form, nearest first.
        opaque: the extended attribute that makes a directory hide those of its parents.

    Raises:
        OSError: a directory cannot be opened.
    """

    def __init__(
        self,
        root: FilePath,
        lowers: Sequence[FilePath] = (),
        *,
        opaque: str = "trusted.overlay.opaque",
    ) -> None:
        self._root = Directory((), os.open(root, _ROOT))
        self._last: tuple[EntryPath, Directory] | None = None
        self._parents = LowerDirectories()
        try:
            self._root.lowers = tuple(map(self._parents.root, lowers))
        except BaseException:
            self.close()
            raise
        self.layered = bool(lowers)
        self.narrow_modes: PathMap[tuple[int, int]] = PathMap()
        """Directories whose mode was widened to change them: mode and inode, to be put back."""
        self._opaque = opaque

    def directory(self, path: EntryPath, *, keeps_times: bool = False) -> Directory:
        """Return the directory at `path`, made with its parents where it is missing.

        It belongs to this tree and is good until the next call of any method.

        Args:
            path: where it is.
            keeps_times: whether directories in which others are made keep their times. For the
                parents of an entry they do not, as in containerd.

        Raises:
            InvalidArgumentError: something on the way is no directory, or there are too
                many links or levels.
        """
        if self._last is not None and self._last[0] == path:
            return self._last[1]
        self.drop_cache()
        found = self._walk(path, make=True, keeps_times=keeps_times)
        self._last = (path, found)
        return found

    def existing(self, path: EntryPath) -> Directory:
        """Return the directory at `path`; the caller closes it.

        Raises:
            NotFoundError: it, or something on the way, is missing.
            InvalidArgumentError: as `directory`.
        """
        return self._walk(path, make=False)

    def written(self, path: EntryPath) -> int | None:
        """Open the directory at `path` in the part that is written, without following links.

        Returns:
            A descriptor, which the caller closes; `None` where there is no such directory.
        """
        here = os.dup(self._root.writable)
        for name in path:
            try:
                inner, _ = access.open_for_changes(name, here)
            except (FileNotFoundError, NotADirectoryError):
                return None
            finally:
                os.close(here)
            here = inner
        return here

    def open_written(self, directory: int, path: EntryPath) -> int:
        """Open the directory at `path` in the part that is written, to change it.

        Args:
            directory: the open directory that holds it.
            path: where it is; its mode is noted there if it has to be widened.
        """
        opened, mode = access.open_for_changes(path[-1], directory)
        if mode is not None:
            self.narrow_modes[path] = (mode, os.fstat(opened).st_ino)
        return opened

    def drop_cache(self) -> None:
        """Drop the cache of the last path: something on it may have changed."""
        if self._last is not None:
            self._last[1].close()
            self._last = None

    def make_directory(self, directory: Directory, name: bytes, *, hides: bool) -> int:
        """Make a directory with the attributes that it has in a parent; return its descriptor.

        Args:
            directory: where.
            name: its name, under which there is nothing.
            hides: whether what the parents have under this name stays hidden.
        """
        os.mkdir(name, 0o700, dir_fd=directory.writable)
        made, _ = access.open_for_changes(name, directory.writable)
        try:
            source = None if hides else self._nearest(directory, name)
            if source is None:
                os.fchmod(made, 0o755)
            else:
                try:
                    copy_attributes(source.descriptor, made)
                    self._keep_open(made, (*directory.path, name))
                finally:
                    source.close()
        except BaseException:
            os.close(made)
            raise
        return made

    def _keep_open(self, made: int, path: EntryPath) -> None:
        """Let a new directory be changed for now, where the mode of its parent's forbids it."""
        state = os.fstat(made)
        mode = stat.S_IMODE(state.st_mode)
        if not access.is_root() and mode & stat.S_IRWXU != stat.S_IRWXU:
            os.fchmod(made, mode | stat.S_IRWXU)
            self.narrow_modes[path] = (mode, state.st_ino)

    def hide_parents(self, directory: Directory) -> None:
        """Let a directory hide all that the parents have in it.

        Raises:
            PermissionDeniedError: the system does not let this user say so.
        """
        try:
            os.setxattr(directory.writable, self._opaque, b"y")
        except PermissionError as error:
            raise PermissionDeniedError(
                f"marking {printable_path(directory.path)} as opaque needs root; "
                "use the native snapshotter"
            ) from error
        directory.forget_lowers()

    def close(self) -> None:
        """Close every directory."""
        self.drop_cache()
        self._root.close()
        self._parents.close_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _walk(self, path: EntryPath, *, make: bool, keeps_times: bool = False) -> Directory:
        """Go from the root to `path`, one name at a time."""
        pending = deque(path)
        here = self._start()
        links = 0
        try:
            while pending:
                name = pending.popleft()
                if name in {b"", b"."}:
                    continue
                if name == b"..":
                    pending.extendleft(reversed(here.path[:-1]))
                    here.close()
                    here = self._start()
                    continue
                found = self._look(here, name)
                if isinstance(found, _Link):
                    links = _one_more(links, path)
                    pending.extendleft(reversed(found.target.split(b"/")))
                    if found.target.startswith(b"/"):
                        here.close()
                        here = self._start()
                    continue
                before = os.fstat(here.writable) if keeps_times else None
                inner = self._step(here, name, found, make=make)
                if before is not None:
                    restore_times(here.writable, before)
                here.close()
                here = inner
        except BaseException:
            here.close()
            raise
        return here

    def _start(self) -> Directory:
        """Return the root, with descriptors of its own."""
        return Directory((), os.dup(self._root.writable), self._root.lowers)

    def _step(
        self, here: Directory, name: bytes, found: Directory | _Missing, *, make: bool
    ) -> Directory:
        """Turn a lookup into a directory, created where that is wanted."""
        path = (*here.path, name)
        if len(path) > DEEPEST:
            if isinstance(found, Directory):
                found.close()
            raise InvalidArgumentError(f"more than {DEEPEST} directories inside each other")
        if isinstance(found, Directory):
            if make and found.upper is None:
                try:
                    found.upper = self.make_directory(here, name, hides=False)
                except BaseException:
                    found.close()
                    raise
            return found
        if not make:
            raise NotFoundError(f"{printable_path(path)} in the snapshot")
        if found.hidden:
            os.unlink(name, dir_fd=here.writable)
        made = Directory(path, self.make_directory(here, name, hides=found.hidden))
        if found.hidden:
            self.hide_parents(made)
        return made

    def _look(self, here: Directory, name: bytes) -> Directory | _Missing | _Link:
        """Look a name up through all layers of the snapshot."""
        path = (*here.path, name)
        result = Directory(path, None)
        if here.upper is not None and (state := status(here.upper, name)) is not None:
            if self.layered and is_whiteout(state):
                return _Missing(hidden=True)
            if stat.S_ISLNK(state.st_mode):
                return _Link(os.readlink(name, dir_fd=here.upper))
            _require_directory(state, path)
            result.upper = self.open_written(here.upper, path)
        try:
            if not self.layered or result.upper is None or not self._hides(result.upper):
                link = self._look_below(here, name, result)
                if link is not None:
                    return link
        except BaseException:
            result.close()
            raise
        return result if result.upper is not None or result.lowers else _Missing()

    def _look_below(self, here: Directory, name: bytes, result: Directory) -> _Link | None:
        """Gather the parents' directories of a name, down to the first that hides those below."""
        for lower in here.lowers:
            state = status(lower.descriptor, name)
            if state is None:
                continue
            if not stat.S_ISDIR(state.st_mode):
                if result.upper is not None or result.lowers or is_whiteout(state):
                    break
                if stat.S_ISLNK(state.st_mode):
                    return _Link(os.readlink(name, dir_fd=lower.descriptor))
                _require_directory(state, result.path)
            inner = lower.child(name)
            result.lowers += (inner,)
            if self._hides(inner.descriptor):
                break
        return None

    def _hides(self, directory: int) -> bool:
        return is_opaque(directory, self._opaque)

    def _nearest(self, directory: Directory, name: bytes) -> LowerDirectory | None:
        """Return the nearest parent's directory `name`; `None` where no parent has one."""
        for lower in directory.lowers:
            state = status(lower.descriptor, name)
            if state is None:
                continue
            return lower.child(name) if stat.S_ISDIR(state.st_mode) else None
        return None


def _one_more(links: int, path: EntryPath) -> int:
    """Count a symbolic link on the way to `path`."""
    if links >= MAX_LINKS:
        raise InvalidArgumentError(f"{printable_path(path)}: too many symbolic links on the way")
    return links + 1


def _require_directory(state: os.stat_result, path: EntryPath) -> None:
    if not stat.S_ISDIR(state.st_mode):
        raise InvalidArgumentError(
            f"{printable_path(path)} lies on the way to an entry, but is no directory"
        )


EntryPath = tuple[bytes, ...]
"""The names that lead from the root of a snapshot to something in it."""


@dataclass(slots=True)
class Directory:
    """An open directory of a snapshot.

    Attributes:
        path: where it is.
        upper: descriptor of its part that is written; `None` where only parents have it.
        lowers: its parts in the parents, nearest first.
    """

    path: EntryPath
    upper: int | None
    lowers: tuple[LowerDirectory, ...] = ()

    @property
    def writable(self) -> int:
        """The descriptor of the part that is written."""
        if self.upper is None:
            raise InvalidArgumentError(
                f"directory {printable_path(self.path)} is only in a parent snapshot"
            )
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


def printable_path(path: EntryPath) -> str:
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
        reraise_interrupt(error)
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
