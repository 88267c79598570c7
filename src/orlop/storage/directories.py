"""The directories of snapshots: one for each number, made and removed beside each other.

A directory gets its number when it is complete, and before the database names it; it loses it
only when the database durably names it no more. What has no number that the database names is
left by processes that died, by updates that failed, or by a database that was set back.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orlop.concurrency.claims import ExclusiveClaim, ExclusiveClaims
from orlop.concurrency.forks import HomeProcess
from orlop.concurrency.interrupts import reraise_interrupt, suppress_os_errors
from orlop.errors import FailedPreconditionError
from orlop.storage import files
from orlop.storage.contract import (
    REMOVED_PREFIX,
    deletion_name,
    name_before_deletion,
    snapshot_number,
)
from orlop.storage.mounts import MountedError, mounts_in, naming_mounts
from orlop.storage.removal import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_NEW: Final = "new-"
_MODE: Final = 0o700


def directory_fault(path: Path) -> str:
    """Return why there is no directory at a path; empty where there is one, or none can tell.

    It may be a symbolic link to one: a mount follows it.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return f"{path} is missing"
    except PermissionError:
        return ""
    except OSError as error:
        reraise_interrupt(error)
        return f"{path} cannot be read: {error.strerror}"
    return "" if stat.S_ISDIR(mode) else f"{path} is no directory"


def emptied_fault(path: Path) -> str:
    """Return that a directory in which there were files is empty; empty where it is not."""
    try:
        with os.scandir(path) as entries:
            return "" if next(entries, None) is not None else f"{path} was emptied"
    except OSError as error:
        reraise_interrupt(error)
        return ""  # none can tell


class SnapshotDirectories:
    """The directories below one. Every thread may use it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # The directories that a thread of this process is creating or deleting.
        self._claims = ExclusiveClaims[ExclusiveClaim]()
        self._home = HomeProcess()

    @contextlib.contextmanager
    def new(self, fill: Callable[[Path], None]) -> Iterator[Path]:
        """Yield a new directory without a number, filled; where it gets none it is deleted."""
        name = files.unique_name(_NEW)
        directory = self._path / name
        with self.claim(name):
            try:
                self._make(directory)
                fill(directory)
                yield directory
            finally:
                if self._home.is_here:  # a fork of this process leaves it alone
                    with suppress_os_errors():  # the cleanup tries again, and tells
                        remove_tree(directory)

    def _make(self, directory: Path) -> None:
        try:
            directory.mkdir(_MODE)
        except FileNotFoundError:  # the first one
            files.make_directories(self._path, _MODE)
            directory.mkdir(_MODE)

    def is_free(self, number: str) -> bool:
        """Return whether a number is free: leftovers of a failed update keep theirs."""
        for name in (number, f"{REMOVED_PREFIX}{number}"):
            if os.path.lexists(f"{self._path}/{name}"):
                return False
        return True

    def put_in_place(self, directory: Path, number: str) -> None:
        """Give a new directory its number, durably, before the database names it."""
        directory.rename(f"{self._path}/{number}")
        files.sync_directory(self._path)

    def hand_over(self, directory: Path, number: str, data: Path) -> Path:
        """Give a new directory to a number that has lost its own, durably.

        Args:
            directory: the new one.
            number: who gets it.
            data: where in a directory the files are, as a relative path. Where only they are
                lost, only they are given.

        Returns:
            What was given, where it is now.

        Raises:
            FailedPreconditionError: something else is in that place.
        """
        target = self._path / number
        inner = data if os.path.lexists(target) else Path()
        given = target / inner
        try:
            # An empty directory gives way; whatever else is there does not.
            (directory / inner).rename(given)
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY}:
                raise
            raise FailedPreconditionError(
                f"{given} is in the place of a snapshot's directory: move it away"
            ) from error
        files.sync_directory(given.parent)
        return given

    def throw_away(self, directory: Path) -> None:
        """Delete the directory of a number; its parent directory stays."""
        name = files.unique_name(_NEW)
        with self.claim(name):
            with contextlib.suppress(FileNotFoundError):
                directory.rename(self._path / name)
            remove_tree(self._path / name)

    def take_away(self, number: str) -> None:
        """Rename the directory of a durably removed snapshot, so that its number is free."""
        with contextlib.suppress(FileNotFoundError):  # a view may have none
            (self._path / number).rename(self._path / f"{REMOVED_PREFIX}{number}")

    def mounted(self) -> dict[str, str]:
        """Return the names of directories that something is mounted in, each with its path."""
        return mounts_in(self._path)

    def remove(self, number: str) -> None:
        """Delete the directory of a snapshot that is durably removed.

        Raises:
            MountedError: something is mounted in it: it keeps its name, and is left to the cleanup.
            OSError: it is left to the cleanup.
        """
        if (place := self.mounted().get(number)) is not None:
            raise MountedError(place)
        removed = f"{REMOVED_PREFIX}{number}"
        with self.claim(removed):
            self.take_away(number)
            remove_tree(self._path / removed)

    def unnamed(self, numbers: Callable[[], Collection[str]]) -> list[Path]:
        """Return all that no snapshot needs, in the order of the names.

        Args:
            numbers: reads which numbers the database names. It is called after the listing: what
                is listed, and not being made, was named before that or never is.
        """
        names, unclaimed = self._claims.unclaimed(self.names)
        if not names:
            return []
        known = set(numbers())
        unnamed = []
        for name in sorted(unclaimed - known):
            number = snapshot_number(name) or name
            if number not in known or number in names:
                unnamed.append(self._path / name)
        return unnamed

    def put_back(self, numbers: Callable[[], Collection[str]]) -> None:
        """Give those their numbers back that are named, and have lost them too early.

        containerd renames before it commits, and may die between the two.
        """
        names = self.names()
        if not any(name.startswith(REMOVED_PREFIX) for name in names):
            return
        for number in set(numbers()) - names:
            if f"{REMOVED_PREFIX}{number}" in names:
                (self._path / f"{REMOVED_PREFIX}{number}").rename(self._path / number)

    def begin_deletion(self, name: str, known: Collection[str]) -> Path | None:
        """Take the name from a directory that no snapshot needs, and claim it; return its new path.

        To be called while the database cannot change.

        Args:
            name: of the directory.
            known: the numbers that the database names now.

        Returns:
            `None` where the directory is needed now, or another thread is at it.

        Raises:
            OSError: it could not be renamed.
        """
        number = snapshot_number(name) or name
        with self.claim(name) as is_ours:
            if not is_ours or name in known:
                return None
            if number in known and not os.path.lexists(f"{self._path}/{number}"):
                return None
            if name_before_deletion(name):
                return self._path / name
            path = self._path / deletion_name(name, files.random_token())
            with (
                contextlib.suppress(FileNotFoundError),
                naming_mounts(None, f"{self._path}/{name}"),
            ):
                (self._path / name).rename(path)
            return path

    def delete(self, path: Path) -> None:
        """Delete a renamed directory, unless another thread deletes it already.

        Raises:
            OSError: something could not be deleted.
        """
        with self.claim(path.name) as is_ours:
            if is_ours:
                remove_tree(path)

    def names(self) -> set[str]:
        """Return the names of all directories."""
        try:
            with files.directory(self._path) as descriptor:
                return set(files.list_names(descriptor))
        except FileNotFoundError:
            return set()

    def claim(self, name: str) -> contextlib.AbstractContextManager[bool]:
        """Keep other threads from deleting a directory; yield whether none deletes it already."""
        return self._claims.claim(name)
