"""Whiteouts: `.wh.<name>` hides one name, `.wh..wh..opq` all of a directory.

A whiteout speaks of the layers below only: what its own layer brings stays, wherever in
the archive it stands (OCI image spec, layer.md, "Whiteouts").
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from orlop.errors import InvalidArgumentError, PermissionDeniedError
from orlop.oci.attributes import privileged, require_possible
from orlop.oci.safe_path import (
    Directory,
    EntryPath,
    is_whiteout,
    names_in,
    printable_path,
    remove,
    status,
)

if TYPE_CHECKING:
    from orlop.oci.safe_path import SnapshotTree
    from orlop.oci.tar_header import TarEntry

PREFIX = b".wh."
OPAQUE = b".wh..wh..opq"

MAX_ENTRIES = 1 << 22
"""How many files and directories one layer may bring: something of each is kept in memory."""


def hidden_name(name: bytes) -> bytes:
    """Return the name that a whiteout hides.

    Raises:
        InvalidArgumentError: it would be the directory itself, or one outside.
    """
    hidden = name.removeprefix(PREFIX)
    if hidden in {b"", b".", b".."}:
        raise InvalidArgumentError(
            f"whiteout {printable_path((name,))} names no entry of its directory"
        )
    return hidden


class Whiteouts:
    """Whiteouts in a snapshot with files of its own: hidden files are removed."""

    def __init__(self, tree: SnapshotTree) -> None:
        self._tree = tree
        # Hashes instead of paths: what a layer brings has no bound but `MAX_ENTRIES`.
        self._brought: set[int] = set()

    def brought(self, path: EntryPath) -> None:
        """Note that the layer brings `path`, so that its whiteouts spare it.

        Raises:
            InvalidArgumentError: the layer brings more than `MAX_ENTRIES`.
        """
        for end in range(len(path), 0, -1):
            known = len(self._brought)
            self._brought.add(hash(path[:end]))
            if len(self._brought) == known:
                break
        if len(self._brought) > MAX_ENTRIES:
            raise InvalidArgumentError(f"a layer of more than {MAX_ENTRIES} files")

    def dropped(self, path: EntryPath) -> None:
        """Note that an entry of the layer, with all below it, was replaced by a later one."""
        self._brought.discard(hash(path))

    def hide(self, directory: Directory, name: bytes, entry: TarEntry) -> None:
        """Let `name` be gone, as far as the layers below brought it."""
        del entry
        self._remove(directory.writable, (*directory.path, name))

    def hide_all(self, directory: Directory, entry: TarEntry) -> None:
        """Let everything in a directory be gone, as far as the layers below brought it."""
        del entry
        self._remove_within(directory.writable, directory.path)

    def _remove(self, directory: int, path: EntryPath) -> None:
        """Remove the files at `path`, except those of the layer itself."""
        if hash(path) not in self._brought:
            remove(directory, path[-1])
            return
        found = status(directory, path[-1])
        if found is not None and stat.S_ISDIR(found.st_mode):
            inner = self._tree.open_written(directory, path)
            try:
                self._remove_within(inner, path)
            finally:
                os.close(inner)

    def _remove_within(self, directory: int, path: EntryPath) -> None:
        for child in names_in(directory):
            self._remove(directory, (*path, child))


class OverlayWhiteouts(Whiteouts):
    """Whiteouts in the upper directory of an overlay: hidden names are marked for the kernel.

    What the upper directory has, but the layer did not bring, was made on the way: directories
    above entries, copies of files that got a second name. It goes like what is below.

    Source: Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".
    """

    def hide(self, directory: Directory, name: bytes, entry: TarEntry) -> None:
        """Mark `name` as gone.

        Raises:
            PermissionDeniedError: the system does not let this user make the mark.
        """
        super().hide(directory, name, entry)
        found = status(directory.writable, name)
        if found is None:
            # Where nothing is to be hidden the kernel would list the mark itself.
            if _is_below(directory, name):
                self._mark(directory, name, entry)
        elif stat.S_ISDIR(found.st_mode):
            path = (*directory.path, name)
            inner = self._tree.open_written(directory.writable, path)
            with Directory(path, inner) as hiding:
                self._tree.hide_parents(hiding)

    def hide_all(self, directory: Directory, entry: TarEntry) -> None:
        """Mark a directory as hiding those below it.

        The kernel does not look for the mark on the root: there, every name is marked.
        """
        super().hide_all(directory, entry)
        if directory.path:
            self._tree.hide_parents(directory)
            return
        names = {name for lower in directory.lowers for name in names_in(lower.descriptor)}
        for name in sorted(names):
            self.hide(directory, name, entry)

    @staticmethod
    def _mark(directory: Directory, name: bytes, entry: TarEntry) -> None:
        try:
            os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=directory.writable)
        except PermissionError as error:
            raise PermissionDeniedError(
                f"marking {printable_path((*directory.path, name))} as gone needs root;"
                " use the native snapshotter"
            ) from error
        if privileged():
            # An owner that no file can have means nothing here: the mark is no file of the image.
            with contextlib.suppress(InvalidArgumentError):
                require_possible(entry)
                os.chown(
                    name, entry.owner, entry.group, dir_fd=directory.writable, follow_symlinks=False
                )


def _is_below(directory: Directory, name: bytes) -> bool:
    """Whether the parents show something under `name` in a directory."""
    for lower in directory.lowers:
        state = status(lower.descriptor, name)
        if state is not None:
            return not is_whiteout(state)
    return False


def marks_nothing(state: os.stat_result | None, *, layered: bool) -> bool:
    """Whether there is nothing under a name, or in an overlay only the mark that it is gone."""
    return state is None or (layered and is_whiteout(state))
