"""A read-only engine without a lock, for a file that another process may write.

How that goes well: `orlop.bolt.versions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.bolt.node import BucketState
from orlop.bolt.pager import Pager
from orlop.bolt.transaction import BoltTransaction
from orlop.bolt.transaction_state import Handle
from orlop.bolt.versions import LiveFile, Version
from orlop.concurrency.forks import HomeProcess
from orlop.kv.errors import EngineClosedError, ReadOnlyError

if TYPE_CHECKING:
    from orlop.bolt.disk import Disk, Readable
    from orlop.bolt.meta import Meta


class ReadingEngine:
    """A file that is open for reading only. It takes no lock."""

    read_only = True
    serial = 0
    durable_serial = 0

    def __init__(
        self,
        disk: Disk,
        *,
        memory_bytes_max: int | None = None,
        busy_seconds_max: float | None = None,
    ) -> None:
        """Read from `disk`.

        Args:
            disk: the file; it is closed with this.
            memory_bytes_max: how much memory a copy of a busy file may take, in bytes; what is
                more goes to a spool file. None: as much as the machine can spare.
            busy_seconds_max: how long the copying of a busy file and the reading of the copy
                may take together; None: the copying as long as `MAX_COPY_SECONDS`, the reading
                without end.

        Raises:
            CorruptError: it is no database.
            OSError: it cannot be read.
        """
        self._handle = Handle()
        self._home = HomeProcess()
        try:
            self._file = LiveFile(
                disk, memory_bytes_max=memory_bytes_max, busy_seconds_max=busy_seconds_max
            )
            version = self._file.begin()
            self._pager = Pager(version.disk, version.meta.page_size)
            self._paged: Readable = version.disk
        except BaseException:
            disk.close()
            raise

    @property
    def is_closed(self) -> bool:
        """Whether nothing is read any more."""
        return self._handle.is_closed

    def begin(self, *, writable: bool = False, timeout: float | None = None) -> BoltTransaction:
        """Begin a reading transaction at the newest version of the file.

        Raises:
            StaleReadError: another file has taken the place of this one.
            FileBusyError: this one changes faster than it can be read.
            ReadOnlyError: a writer was asked for.
            EngineClosedError: the engine has been closed, or this is a fork of its process.
        """
        del timeout
        if not self._home.is_here:
            raise EngineClosedError(self._home.refusal)
        if self.is_closed:
            raise EngineClosedError("the database is closed")
        if writable:
            raise ReadOnlyError("the database was opened for reading only")
        version = self._file.begin()
        meta = version.meta

        def end(transaction: BoltTransaction, _: BucketState | None, /) -> int:
            self._end(version)
            return transaction.id

        pager = self._pager_of(version, meta)
        return BoltTransaction(meta.transaction, _root_state(meta), pager, end, self._handle)

    def close(self) -> None:
        """Release the file; reads under way are void."""
        self._handle.is_closed = True
        self._file.close()

    def _pager_of(self, version: Version, meta: Meta) -> Pager:
        """Return the pager of a version; the caches of another one must not answer for it."""
        pager, paged = self._pager, self._paged
        if paged is not version.disk:
            pager = Pager(version.disk, meta.page_size)
            self._pager, self._paged = pager, version.disk
        return pager

    def _end(self, version: Version) -> None:
        if self.is_closed:
            raise EngineClosedError(
                "the database was closed before the reading ended; what was read does not count"
            )
        version.end()


def version_of(disk: Readable, meta: Meta) -> BoltTransaction:
    """Read the version of one meta, whether it is the newest or not.

    No other process may be writing meanwhile; what is read is not checked against that.
    """
    return BoltTransaction(
        meta.transaction,
        _root_state(meta),
        Pager(disk, meta.page_size),
        lambda ended, _, /: ended.id,
        # The caller sees to it that the file stays open.
        Handle(),
    )


def _root_state(meta: Meta) -> BucketState:
    return BucketState(meta.root, meta.sequence, meta.page_size)
