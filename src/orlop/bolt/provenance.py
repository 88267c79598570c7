"""Whether a file is still the one that was opened, and which version of it was written last.

Behind each meta lie 16 random bytes, the stamp of that version. bbolt ignores them, and writes
zeros there. Two files may have versions of the same number and form; they never have the same
stamp, unless one is a copy of the other.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from orlop.bolt.meta import META_SIZE, newest_meta, read_metas
from orlop.kv.contract import FileState
from orlop.kv.errors import ReplacedError

if TYPE_CHECKING:
    from orlop.bolt.disk import Disk, Readable
    from orlop.bolt.meta import Meta
    from orlop.kv import Follower

STAMP_SIZE: Final = 16
NO_STAMP: Final = bytes(STAMP_SIZE)


class Provenance:
    """The stamps of a file that is open for writing, and the follower that receives them."""

    def __init__(self, disk: Disk, follower: Follower | None) -> None:
        """Begin for a file that the caller has locked."""
        self._disk = disk
        self._follower = follower
        self._stamp = NO_STAMP
        self._changed: object = None

    @property
    def stamp(self) -> bytes:
        """The stamp of the version that is written next, or was written last."""
        return self._stamp

    def open(self, meta: Meta) -> None:
        """Take note of the newest version, which is about to be written again."""
        self._stamp = read_stamp(self._disk, meta)
        if self._follower is None:
            return
        self._follower.opened(self._state(meta))
        if self._stamp == NO_STAMP:
            self._stamp = os.urandom(STAMP_SIZE)
        self._follower.writing(self._stamp.hex())
        self.changing(is_meta=True)

    def begin_version(self, meta: Meta) -> None:
        """Check that the file is still ours before a version is written, and choose its stamp.

        Args:
            meta: the newest version.

        Raises:
            ReplacedError: the file, or another one of its root, was replaced or changed by another
                program.
            OSError: it cannot be read.
        """
        status = self._disk.status()
        if status is not None:
            if self._disk.identity() != (status.st_dev, status.st_ino):
                raise ReplacedError(
                    "the file was moved, deleted or replaced while it was open: put the right one "
                    "in its place and open it again"
                )
            if status.st_ctime_ns != self._changed:
                self._require_version(meta)
        if self._follower is None:
            self._stamp = NO_STAMP
        else:
            self._stamp = os.urandom(STAMP_SIZE)
            self._follower.writing(self._stamp.hex())

    def changing(self, *, is_meta: bool = False) -> None:
        """Take note that the file is about to change, by its new meta or before that.

        A process may die at any point. From the last of these notes the next one knows up to when
        the file was changed by this one.
        """
        if self._follower is not None:
            status = self._disk.status()
            if status is not None:
                self._follower.changing(status.st_ctime_ns, is_meta=is_meta)

    def sync(self) -> None:
        """Wait until all that was written is durable, and take note of how the file is before."""
        if self._follower is not None and self._disk.is_synced:
            status = self._disk.status()
            if status is not None:
                self._follower.waiting(status.st_ctime_ns)
        self._disk.sync()

    def end_version(self, meta: Meta) -> None:
        """Take note of a version that is durable."""
        if self._follower is not None:
            state = self._state(meta)
            self._changed = state.ctime_ns
            self._follower.durable(state)
        else:
            status = self._disk.status()
            self._changed = None if status is None else status.st_ctime_ns

    def close(self, version: int | None) -> None:
        """Take note of the last version; `None` after a failed write."""
        if self._follower is not None:
            self._follower.closing(version)

    def _state(self, meta: Meta) -> FileState:
        return file_state(self._disk.status(), meta, self._stamp)

    def _require_version(self, meta: Meta) -> None:
        """Check that the newest version in the file is the one that was written last."""
        found = newest_meta(read_metas(self._disk.read))
        if found != meta or read_stamp(self._disk, found) != self._stamp:
            raise ReplacedError(
                "the file was overwritten by another program while it was open: put the right "
                "one in its place and open it again"
            )


def read_stamp(disk: Readable, meta: Meta) -> bytes:
    """Return the stamp behind a meta; zeros if there is none."""
    offset = meta.transaction % 2 * meta.page_size + META_SIZE
    return disk.read(offset, STAMP_SIZE).ljust(STAMP_SIZE, b"\0")


def file_state(status: os.stat_result | None, meta: Meta, stamp: bytes) -> FileState:
    """Return the state of a file at a version; a file that is not a real one has no inode."""
    if status is None:
        return FileState(meta.transaction, stamp.hex(), 0, 0, 0, 0, 0)
    return FileState(
        meta.transaction,
        stamp.hex(),
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_ctime_ns,
        status.st_mtime_ns,
    )
