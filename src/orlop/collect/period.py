"""How the last period of writing ended: whether the files that name data can be trusted.

Power loss can bring back an older version of a database although later ones were acknowledged
(a disk that lies about its cache, a file system that was repaired), and people put old copies
back. Data that only the newer version names then looks like garbage. So a root has a mark
(`orlop.collect.mark_of_period`), by which the next period judges the last one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from orlop.collect.mark_of_period import (
    ANY_BOOT,
    FILE,
    METADATA,
    Mark,
    boot_id,
    digits,
    stamp,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orlop.collect.mark_of_period import Files, State
    from orlop.kv import Follower

_SECOND: Final = 10**9
"""In nanoseconds."""

_logger = logging.getLogger(__name__)


class End(Enum):
    """How the last period of writing to a database ended.

    New: there was none, and nothing is there that could have been lost. Clean: with a close,
    and nobody has written since. Interrupted: the process died, and nothing was lost. Unclean:
    the machine went down. Unknown: the database is not as the mark says, or there is no mark.
    """

    NEW = "new"
    CLEAN = "clean"
    INTERRUPTED = "interrupted"
    UNCLEAN = "unclean"
    UNKNOWN = "unknown"


_DOUBTS: Final = {
    End.UNCLEAN: "the machine went down while {} was being written, and may have lost some of it",
    End.UNKNOWN: "{} is not as Orlop left it: somebody else wrote it, or an old one was put back",
}


class Period:
    """A period of writing to a root, and how the one before ended. Every thread may use it."""

    def __init__(
        self, files_: Files, mark: Mark, ends: Mapping[str, End], *, has_mark: bool
    ) -> None:
        """Make a period; nothing is written.

        Args:
            files_: the databases of a root.
            mark: what to note.
            ends: how the period before ended, for each database.
            has_mark: whether there is a mark of an earlier period.
        """
        self._files = files_
        self._folder = files_.folder
        self._mark = mark
        # Kept apart from the mark: this is all that changes with a commit.
        self._versions = dict(mark.versions)
        self._ends = ends
        self._mutex = threading.Lock()
        self._descriptor: int | None = None
        self._places: Mapping[str, int] = {}
        self._process = os.getpid()
        self._is_kept = has_mark

    @classmethod
    def judge(cls, files_: Files, *, is_new: bool = False, is_read: bool = False) -> Period:
        """Judge how the last period ended; nothing is written.

        Args:
            files_: the databases of a root.
            is_new: whether there is nothing yet that could have been lost.
            is_read: whether others may be writing meanwhile.
        """
        before = Mark.read(files_.folder)
        found = {name: files_.state(name) for name in files_.paths}
        ends = {
            name: _end(before, name, state, is_new=is_new, is_read=is_read)
            for name, state in found.items()
        }
        doubts = {}
        for name in found:
            why = _doubt(before, name, ends)
            if why is not None:
                doubts[name] = why
        listed = before.listed if before is not None and is_read else frozenset()
        versions = {name: state.version or 0 for name, state in found.items()}
        mark = Mark(versions, boot=boot_id(), doubts=doubts, listed=listed)
        return cls(files_, mark, ends, has_mark=before is not None)

    def doubt(self, name: str) -> str | None:
        """Say why data of a backend that nothing names is not to be deleted, `None`: it may be.

        Args:
            name: a snapshotter, or `METADATA` for content.
        """
        return self._mark.doubts.get(name if name in self._ends else METADATA)

    @property
    def any_doubt(self) -> str | None:
        """Why that is so for all backends, or else for one of them; `None`: for none."""
        doubts = self._mark.doubts
        return doubts.get(METADATA) or next(iter(doubts.values()), None)

    def is_clean(self, name: str) -> bool:
        """Tell whether this began after a clean end of all that says what a backend holds."""
        return self.doubt(name) is None and all(
            self._ends.get(one) is End.CLEAN for one in (METADATA, name)
        )

    def begin(self) -> None:
        """Note durably that a handle writes from now on.

        Where the disk is full the mark is removed: without one the next period is in doubt.
        """
        with self._mutex:
            self._write()

    def keep(self) -> None:
        """Let the mark stay at the close: the opening was not refused."""
        self._is_kept = True

    def note(self, name: str, version: int) -> None:
        """Note that a version of a database is durable, before anybody is told so."""
        with self._mutex:
            self._versions[name] = version
            self._is_kept = True
            if self._descriptor is None or os.getpid() != self._process:
                return
            try:
                os.pwrite(self._descriptor, digits(version), self._places[name])
            except OSError as error:
                # The database is ahead of its mark then, which the next opening takes for doubt.
                _logger.warning("%s falls behind: %s", self._folder / FILE, error)

    def set_listed(self, name: str) -> None:
        """Note that all data of a backend in doubt that nothing names is set aside.

        After a clean close the next period knows by the list what to leave alone.
        """
        with self._mutex:
            if self._descriptor is not None and name not in self._mark.listed:
                self._mark = replace(self._mark, listed=self._mark.listed | {name})
                self._write()

    def close(self) -> None:
        """Note durably that nobody writes any more.

        Where the opening was refused no mark stays that was not there before.
        """
        with self._mutex:
            if os.getpid() != self._process:
                return
            if not self._is_kept:
                self._remove()
            elif self._descriptor is not None:
                stamps = {name: stamp(path) for name, path in self._files.paths.items()}
                self._mark = replace(self._mark, boot="", stamps=stamps)
                self._write()
                self._release()

    def abandon(self) -> None:
        """Leave the mark as it is: that of a handle that still writes."""
        with self._mutex:
            if os.getpid() == self._process:
                self._release()

    def _write(self) -> None:
        self._release()
        mark = replace(self._mark, versions=dict(self._versions))
        try:
            mark.write(self._folder)
            self._places = mark.encode()[1]
            self._descriptor = os.open(self._folder / FILE, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            _logger.warning(
                "how this period ends cannot be noted (%s): data that nothing names will be set "
                "aside by the next one",
                error,
            )
            self._remove()

    def _remove(self) -> None:
        self._release()
        with contextlib.suppress(OSError):
            (self._folder / FILE).unlink(missing_ok=True)
            self._folder.rmdir()  # unless something else is in it

    def _release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class PeriodKeeper:
    """Begins and ends the period of a root with the opening and closing of its databases.

    Attributes:
        period: the period; `None` until `meta.db` is open.
    """

    def __init__(self, files_: Files, *, is_new: bool) -> None:
        """Make a keeper.

        Args:
            files_: the databases of the root.
            is_new: whether there is nothing yet that could have been lost.
        """
        self.period: Period | None = None
        self._files = files_
        self._is_new = is_new

    def follower(self, name: str) -> Follower:
        """Return what follows the database of that name; `meta.db` opens first, closes last."""
        return _Follower(self, name)

    def opened(self, name: str, version: int) -> None:
        """Take note that a database is open for writing."""
        if name == METADATA:
            self.period = Period.judge(self._files, is_new=self._is_new)
            self.period.begin()
        else:
            self.durable(name, version)

    def durable(self, name: str, version: int) -> None:
        """Take note of a version of a database."""
        if self.period is not None:
            self.period.note(name, version)

    def closing(self, name: str, *, failed: bool) -> None:
        """Take note that a database closes, while it is still locked.

        After a failed write nobody knows how it ends: the mark stays as that of a process that
        died would.
        """
        if self.period is not None and name == METADATA:
            if failed:
                self.period.abandon()
            else:
                self.period.close()


@dataclass(frozen=True, slots=True)
class _Follower:
    keeper: PeriodKeeper
    name: str

    def opened(self, version: int) -> None:
        self.keeper.opened(self.name, version)

    def durable(self, version: int) -> None:
        self.keeper.durable(self.name, version)

    def closing(self, version: int | None) -> None:
        self.keeper.closing(self.name, failed=version is None)


def carry_over(folder: Path, name: str, before: State, after: State) -> None:
    """Let the mark go with a database that was written anew: with what it holds unchanged.

    Args:
        folder: where the mark is; nothing happens where there is none.
        name: of the database.
        before: how it was; if it was in doubt, nothing happens.
        after: how it is now.
    """
    mark = Mark.read(folder)
    if mark is None or after.version is None:
        return
    if _end(mark, name, before, is_new=False, is_read=False) in _DOUBTS:
        return
    replace(
        mark,
        versions={**mark.versions, name: after.version},
        stamps={**mark.stamps, name: after.modified},
    ).write(folder)


def _end(before: Mark | None, name: str, state: State, *, is_new: bool, is_read: bool) -> End:
    if before is None:
        return End.NEW if is_new else End.UNKNOWN
    noted, version = before.versions.get(name), state.version
    if noted is None or version is None:
        return End.UNKNOWN
    if not before.boot:
        modified = before.stamps.get(name, 0)
        # Archives may keep the seconds only.
        is_same = state.modified in {modified, modified // _SECOND * _SECOND}
        return End.CLEAN if is_same and version == noted else End.UNKNOWN
    if before.boot != boot_id() or before.boot == ANY_BOOT:
        return End.UNCLEAN
    # A flush may have ended of which there was no time to take note: one, not two.
    latest = version if is_read else noted + 1
    return End.INTERRUPTED if noted <= version <= latest else End.UNKNOWN


def _doubt(before: Mark | None, name: str, ends: Mapping[str, End]) -> str | None:
    """Say why unnamed data of a backend is not to be deleted; a doubt lasts until it is listed."""
    for database in dict.fromkeys((METADATA, name)):
        why = _DOUBTS.get(ends[database])
        if why is not None:
            return why.format(f"metadata.db of {database}" if database else "meta.db")
    if before is None or (not before.boot and name in before.listed):
        return None
    return before.doubts.get(name)
