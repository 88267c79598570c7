"""Directories of parent snapshots, opened when they are used: hundreds of layers have few open.

An image may have more layers than a process may have open files, and each directory that an entry
lies in may be there in all of them.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from orlop.storage import access

if TYPE_CHECKING:
    from pathlib import Path as FilePath

MAX_OPEN: Final = 64
"""How many directories of parents are open at once; two at least, one inside the other."""

_ROOT: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_Key = tuple[str, tuple[bytes, ...]]


class LowerDirectories:
    """The open ones among the directories of all parents of a snapshot."""

    def __init__(self) -> None:
        self._open: OrderedDict[_Key, int] = OrderedDict()

    def root(self, path: FilePath) -> LowerDirectory:
        """Return the root of a parent.

        Raises:
            OSError: it cannot be opened.
        """
        found = LowerDirectory(self, (str(path), ()))
        found.descriptor  # noqa: B018 - whether it can be opened
        return found

    def get(self, key: _Key) -> int:
        """Return the descriptor of a directory, which is good until the next call."""
        if key in self._open:
            self._open.move_to_end(key)
            return self._open[key]
        root, path = key
        if path:
            opened = access.open_directory(path[-1], self.get((root, path[:-1])))
        else:
            opened = os.open(root, _ROOT)
        self._open[key] = opened
        while len(self._open) > MAX_OPEN:
            access.close(self._open.popitem(last=False)[1])
        return opened

    def close(self, key: _Key) -> None:
        """Close a directory, if it is open; it is opened again where it is still used."""
        if key in self._open:
            access.close(self._open.pop(key))

    def close_all(self) -> None:
        """Close every directory, the inner ones first."""
        for key in sorted(self._open, reverse=True):
            self.close(key)


class LowerDirectory:
    """A directory of a parent snapshot. No step to it follows a link."""

    __slots__ = ("_all", "_key")

    def __init__(self, directories: LowerDirectories, key: _Key) -> None:
        self._all = directories
        self._key = key

    @property
    def descriptor(self) -> int:
        """An open descriptor, good until that of another directory is asked for.

        Raises:
            OSError: it is missing, a link, or no directory.
        """
        return self._all.get(self._key)

    def child(self, name: bytes) -> LowerDirectory:
        """Return the directory `name` in it, which is not looked for yet."""
        root, path = self._key
        return LowerDirectory(self._all, (root, (*path, name)))

    def close(self) -> None:
        """Close it; roots stay open for the next entry."""
        if self._key[1]:
            self._all.close(self._key)
