"""One version of a file that no lock is taken of, while another process may write it.

A tree of version T is intact exactly as long as T is the newest: the transaction after it
writes only what was free at T. (The version before T is no way out: T+1 overwrites it.) So
what was read page by page counts if, at its end, the file still has the same two metas; else it
does not, and that is noticed early. A file that changes all the time is copied: at once where
the file system can, else while it changes (`orlop.bolt.live_copy`).

Source: the reuse of pages in go.etcd.io/bbolt, freelist.go.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from orlop.bolt.disk import FileDisk
from orlop.bolt.initialization import require_initialized
from orlop.bolt.meta import META_SIZE, Meta, newest_meta, read_metas
from orlop.concurrency.interrupts import reraise_interrupt
from orlop.kv.errors import EngineError, StaleReadError
from orlop.kv.retry import read_again

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop.bolt.disk import Disk, Readable
    from orlop.bolt.live_copy import LiveCopy
    from orlop.bolt.meta import Metas

_T = TypeVar("_T")

_TRIES_BY_PAGE: Final = 3
_SLOW_SECONDS: Final = 0.05
"""Whose reading was disturbed after so long does not try again page by page."""

_READS_UNWATCHED: Final = 63
"""After so many reads it is looked whether all of them are in vain. One less than a power of 2."""


class Version(Protocol):
    """One version to read.

    Attributes:
        metas: what stands in the places of the two metas.
        disk: where its pages are read from.
    """

    metas: Metas
    disk: Readable

    def end(self) -> None:
        """End the reading.

        Raises:
            StaleReadError: the file was changed meanwhile; what was read does not count.
        """

    @property
    def meta(self) -> Meta:
        """The newest sound meta.

        Raises:
            CorruptError: there is none.
        """


@dataclass(slots=True)
class _Disturbance:
    """How often in a row a reading was disturbed, since when, and from which version on."""

    count: int = 0
    began_at: float = 0.0
    began_with: int = 0


class LiveFile:
    """A file that is read while another process may write it. Every thread may use it."""

    def __init__(
        self,
        disk: Disk,
        *,
        memory_bytes_max: int | None = None,
        busy_seconds_max: float | None = None,
    ) -> None:
        """Read from `disk`; it is closed with this.

        Args:
            disk: the file.
            memory_bytes_max: how much memory a copy of a busy file may take, in bytes; what is
                more goes to a spool file. None: as much as the machine can spare.
            busy_seconds_max: how long the copying of a busy file and the reading of the copy
                may take together; None: the copying as long as `MAX_COPY_SECONDS`, the reading
                without end.

        Raises:
            OSError: it cannot be read.
        """
        self.disk = disk
        self._identity = disk.identity()
        self._memory_bytes_max = memory_bytes_max
        self._busy_seconds_max = busy_seconds_max
        self._disturbance = _Disturbance()
        self._current: _Watched | None = None
        self._clone: FileDisk | None = None

    def begin(self) -> Version:
        """Begin to read the newest version.

        Raises:
            StaleReadError: another file has taken the place of this one.
            FileBusyError: it changes faster than it can be copied.
            CorruptError: a busy file is damaged.
            OSError: it cannot be read.
        """
        if self._disturbance.count >= _TRIES_BY_PAGE:
            return self._copied()
        current = self._current
        if current is None or current.has_changed():
            current = self._current = _Watched(self.disk)
        return _ByPage(self, current)

    def close(self) -> None:
        """Release the file; reads under way are void."""
        if self._clone is not None:
            self._clone.close()
        self.disk.close()

    @property
    def is_replaced(self) -> bool:
        """Whether another file has taken the place of this one."""
        return self.disk.identity() != self._identity

    def require_identity(self) -> None:
        """Raise StaleReadError where another file has taken the place of this one."""
        if self.is_replaced:
            raise StaleReadError(
                "the database was replaced by another file while it was read; open it again"
            )

    def was_quiet(self) -> None:
        """Note that a reading was not disturbed."""
        self._disturbance = _Disturbance()

    def disturbed(self, number: int, seconds: float) -> StaleReadError:
        """Note that a read of a version was disturbed; return the error that says so."""
        if not self._disturbance.count:
            self._disturbance = _Disturbance(0, time.monotonic() - seconds, number)
        disturbance = self._disturbance
        disturbance.count += 1
        busy = self._busy()
        if seconds > _SLOW_SECONDS:
            disturbance.count = max(disturbance.count, _TRIES_BY_PAGE)
        return busy

    def _busy(self) -> StaleReadError:
        disturbance = self._disturbance
        elapsed = time.monotonic() - disturbance.began_at
        newest = newest_meta(read_metas(self.disk.read)).transaction
        commits = newest - disturbance.began_with
        return StaleReadError(
            f"the database was changed by another process during {disturbance.count} reading(s) "
            f"in a row ({commits} commits in {elapsed:.2f} s); what was read does not count: "
            "read again"
        )

    def _copied(self) -> Version:
        cloned = self.disk.clone() if isinstance(self.disk, FileDisk) else None
        if cloned is not None:
            # One that was made before is closed by its last reader.
            self._clone = cloned
            version: Version = _Cloned(cloned)
        else:
            from orlop.bolt.live_copy import LiveCopy  # noqa: PLC0415 (few files are that busy)

            page_size = newest_meta(read_metas(self.disk.read)).page_size
            copy = LiveCopy(self.disk, page_size, memory_bytes_max=self._memory_bytes_max)
            copy.run(self._busy_seconds_max)
            version = _Copied(copy)
        self.require_identity()
        self.was_quiet()
        return version


class _Watched:
    """A file that notices early that a read was disturbed."""

    def __init__(self, disk: Readable) -> None:
        self._disk = disk
        self.metas = read_metas(disk.read)
        sound = [meta for meta in self.metas if isinstance(meta, Meta)]
        if not sound:
            require_initialized(disk)
        self._length = sound[0].page_size + META_SIZE if sound else META_SIZE
        self._written = disk.read(0, self._length)
        self._reads = 0
        if str(read_metas(self._read_written)) != str(self.metas):
            # Written between the two: never the same again, so that everybody reads again.
            self._written = b""

    def _read_written(self, offset: int, length: int) -> bytes:
        return self._written[offset : offset + length]

    def has_changed(self) -> bool:
        """Whether a meta has been written since this was made."""
        return self._disk.read(0, self._length) != self._written

    def size(self) -> int:
        """Return the size in bytes."""
        return self._disk.size()

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on: fewer only at the end.

        Raises:
            StaleReadError: it has been noticed that the file was changed.
        """
        self._reads += 1
        if not self._reads & _READS_UNWATCHED and self.has_changed():
            raise StaleReadError("the database was changed by another process; read again")
        return self._disk.read(offset, length)


class _ByPage:
    """The newest version, read where it is."""

    def __init__(self, file: LiveFile, watched: _Watched) -> None:
        self._file = file
        self._watched = watched
        self._begun = time.monotonic()
        self.metas = watched.metas
        self.disk: Readable = watched

    @property
    def meta(self) -> Meta:
        return newest_meta(self.metas)

    def end(self) -> None:
        self._file.require_identity()
        if self._watched.has_changed():
            sound = [meta.transaction for meta in self.metas if isinstance(meta, Meta)]
            raise self._file.disturbed(max(sound, default=0), time.monotonic() - self._begun)
        self._file.was_quiet()


class _Copied:
    """A copied version: changes of the file no longer matter."""

    def __init__(self, copy: LiveCopy) -> None:
        self.metas = copy.metas
        self.meta = copy.meta
        self.disk: Readable = copy

    def end(self) -> None:
        """Do nothing."""


class _Cloned:
    """A clone of the file, made in one step."""

    def __init__(self, disk: FileDisk) -> None:
        self.metas = read_metas(disk.read)
        self.disk: Readable = disk

    @property
    def meta(self) -> Meta:
        return newest_meta(self.metas)

    def end(self) -> None:
        """Do nothing."""


def read_version(path: Path, function: Callable[[Version], _T]) -> _T:
    """Return the result of `function` on the newest version of a file; no lock is taken.

    It is called again where the file was changed meanwhile, and must change nothing.

    Raises:
        StaleReadError: the file changes all the time.
        CorruptError: it is no file that could be a database.
        OSError: it cannot be read.
    """
    file = LiveFile(FileDisk.for_reading(path))

    def attempt() -> _T:
        nonlocal file
        if file.is_replaced:
            file.close()
            file = LiveFile(FileDisk.for_reading(path))
        version = file.begin()
        try:
            found = function(version)
        except (EngineError, OSError) as error:
            reraise_interrupt(error)
            # What was read may be what led to this: if it does not count, say so.
            version.end()
            raise
        version.end()
        return found

    try:
        return read_again(attempt)
    finally:
        file.close()
