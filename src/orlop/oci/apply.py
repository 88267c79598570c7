"""Applies a layer, an archive of changes, to the directory of a snapshot.

Source: OCI image spec, layer.md; behaviour of containerd's archive package.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from orlop.concurrency.interrupts import reraise_interrupt
from orlop.errors import InvalidArgumentError, NotFoundError, PermissionDeniedError
from orlop.oci import attributes, whiteouts
from orlop.oci.copy_up import ensure_written
from orlop.oci.path_map import PathMap
from orlop.oci.safe_path import (
    Directory,
    EntryPath,
    SnapshotTree,
    parts_of,
    printable_path,
    remove,
    status,
)
from orlop.oci.tar_header import EntryKind
from orlop.oci.tar_stream import TarReader

if TYPE_CHECKING:
    from orlop.oci.tar_header import TarEntry
    from orlop.oci.tar_stream import Readable

_REFUSED = {
    errno.EEXIST,
    errno.EFBIG,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.EMLINK,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
}
"""What the system answers to entries that cannot be: the layer is at fault, not the machine."""

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def apply_layer(stream: Readable, tree: SnapshotTree, *, label: str = "layer") -> None:
    """Apply the uncompressed layer `stream` to a snapshot, to the end of the archive.

    What follows the end is left in the stream. After an error the snapshot holds a part of
    the layer and is of no use.

    Args:
        stream: the layer, an archive read front to back.
        tree: the directories of the snapshot.
        label: what to call the layer in errors.

    Raises:
        DataLossError: the archive is cut off or damaged.
        InvalidArgumentError: an entry cannot be, or would lead outside.
        PermissionDeniedError: an entry needs rights that this process has not.
        OSError: the system refused (space, input and output).
    """
    _Application(TarReader(stream, label=label), tree, label).run()


class _Finish(NamedTuple):
    """The attributes that a directory gets last, without its entry, which may be large."""

    mode: int
    times: tuple[int, int]


class _Application:
    """One layer on its way into one snapshot."""

    def __init__(self, reader: TarReader, tree: SnapshotTree, label: str) -> None:
        self._reader = reader
        self._tree = tree
        self._label = label
        self._directories: PathMap[_Finish | None] = PathMap()
        kind = whiteouts.OverlayWhiteouts if tree.layered else whiteouts.Whiteouts
        self._whiteouts = kind(tree)

    def run(self) -> None:
        for entry in self._reader:
            try:
                self._apply(entry)
            except (InvalidArgumentError, PermissionDeniedError) as error:
                raise type(error)(f"{self._name(entry)}: {error.context}") from error
            except PermissionError as error:
                raise PermissionDeniedError(f"{self._name(entry)}: {error.strerror}") from error
            except OSError as error:
                reraise_interrupt(error)
                if error.errno in _REFUSED:
                    raise InvalidArgumentError(f"{self._name(entry)}: {error.strerror}") from error
                # A name alone, as the system has it, says nothing of the layer.
                error.filename = self._name(entry)
                raise
        self._finish_directories()

    def _name(self, entry: TarEntry) -> str:
        return f"{self._label}: entry {printable_path((entry.name,))[1:]!r}"

    def _apply(self, entry: TarEntry) -> None:
        path = parts_of(entry.name)
        if not path:
            # The root belongs to the snapshotter, as in containerd.
            return
        name = path[-1]
        if name == whiteouts.OPAQUE:
            self._whiteouts.hide_all(self._tree.directory(path[:-1]), entry)
        elif name.startswith(whiteouts.PREFIX):
            hidden = whiteouts.hidden_name(name)
            self._whiteouts.hide(self._tree.directory(path[:-1]), hidden, entry)
        else:
            attributes.require_possible(entry)
            if entry.kind is EntryKind.HARD_LINK:
                ensure_written(self._tree, parts_of(entry.link))
            directory = self._tree.directory(path[:-1])
            self._place(directory, name, entry)
            self._whiteouts.brought((*directory.path, name))

    def _place(self, directory: Directory, name: bytes, entry: TarEntry) -> None:
        """Create an entry under its name; only a directory is merged with an existing one."""
        state = status(directory.writable, name)
        joins = state is not None and stat.S_ISDIR(state.st_mode)
        if state is not None and not (joins and entry.kind is EntryKind.DIRECTORY):
            remove(directory.writable, name)
            self._whiteouts.dropped((*directory.path, name))
        if entry.kind is EntryKind.DIRECTORY:
            self._place_directory(directory, name, entry, joins=joins, hides=state is not None)
        elif entry.kind is EntryKind.FILE:
            self._place_file(directory, name, entry)
        elif entry.kind is EntryKind.HARD_LINK:
            self._place_link(directory, name, entry)
        else:
            self._place_special(directory, name, entry)
            attributes.set_all_by_name(directory.writable, name, entry)

    def _place_directory(
        self, directory: Directory, name: bytes, entry: TarEntry, *, joins: bool, hides: bool
    ) -> None:
        """Make a directory, or let it join the one that is there.

        Its mode and times come last: what is still to be put inside would change the one
        and may be forbidden by the other.
        """
        path = (*directory.path, name)
        if joins:
            made = self._tree.open_written(directory.writable, path)
        else:
            made = self._tree.make_directory(directory, name, hides=hides)
        with Directory(path, made) as inner:
            if hides and not joins and self._tree.layered:
                self._tree.hide_parents(inner)
            attributes.set_owner(made, entry)
            attributes.replace_attributes(made, entry)
            os.fchmod(made, 0o700)
        self._directories[path] = _Finish(entry.mode, attributes.times_of(entry))

    def _place_file(self, directory: Directory, name: bytes, entry: TarEntry) -> None:
        descriptor = os.open(name, _CREATE, 0o600, dir_fd=directory.writable)
        try:
            for offset, chunk in self._reader.data():
                _write(descriptor, chunk, offset)
            if entry.extents is not None:
                os.ftruncate(descriptor, entry.size)
            attributes.set_owner(descriptor, entry)
            attributes.set_attributes(descriptor, entry)
            attributes.set_mode(descriptor, entry)
            attributes.set_times(descriptor, entry)
        finally:
            os.close(descriptor)

    def _place_link(self, directory: Directory, name: bytes, entry: TarEntry) -> None:
        """Give a file a second name. Its attributes came with its own entry."""
        target = parts_of(entry.link)
        try:
            source = self._tree.existing(target[:-1])
        except NotFoundError:
            raise InvalidArgumentError("it takes the place of its own target") from None
        with source:
            if target[-1] == name and source.path == directory.path:
                raise InvalidArgumentError("a hard link to itself")
            os.link(
                target[-1],
                name,
                src_dir_fd=source.writable,
                dst_dir_fd=directory.writable,
                follow_symlinks=False,
            )

    def _place_special(self, directory: Directory, name: bytes, entry: TarEntry) -> None:
        where = directory.writable
        if entry.kind is EntryKind.SYMBOLIC_LINK:
            os.symlink(entry.link, name, dir_fd=where)
        elif entry.kind is EntryKind.FIFO:
            os.mkfifo(name, 0o600, dir_fd=where)
        elif entry.kind is EntryKind.OTHER:
            raise InvalidArgumentError(f"unknown type {entry.flag!r}")
        elif attributes.privileged():
            character = entry.kind is EntryKind.CHARACTER_DEVICE
            kind = stat.S_IFCHR if character else stat.S_IFBLK
            os.mknod(name, kind | 0o600, _device(entry), dir_fd=where)
        else:
            raise PermissionDeniedError("making a device needs root")

    def _finish_directories(self) -> None:
        """Set mode and times of directories, innermost first."""
        for path in self._tree.narrow_modes.innermost_first():
            if self._directories.get(path) is None:
                self._directories[path] = None
        for path in self._directories.innermost_first():
            made = self._tree.written(path)
            if made is None:
                # A later entry of the layer took its place.
                continue
            try:
                self._finish(made, path)
            finally:
                os.close(made)

    def _finish(self, made: int, path: EntryPath) -> None:
        finish = self._directories.get(path)
        if finish is not None:
            os.fchmod(made, finish.mode)
            os.utime(made, ns=finish.times)
            return
        narrow = self._tree.narrow_modes.get(path)
        if narrow is not None and os.fstat(made).st_ino == narrow[1]:
            os.fchmod(made, narrow[0])


def _device(entry: TarEntry) -> int:
    """Return the number of a device.

    Raises:
        InvalidArgumentError: the system has no such numbers.
    """
    major, minor = entry.device
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise InvalidArgumentError(f"there is no device {major}:{minor}")
    return os.makedev(major, minor)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written
