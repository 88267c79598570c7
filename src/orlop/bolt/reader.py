"""Reading a file without its lock, while another process may write it.

A tree of version T is intact exactly as long as T is the newest: the transaction after it
writes only what was free at T. (The version before T is no way out: T+1 overwrites it.) So
what was read counts if, at its end, the file still has the same two metas; else it is read
again by whoever asked. A file that changes all the time is then read whole into memory, in
one go, where it is not too large for that.

Source: the reuse of pages in go.etcd.io/bbolt, freelist.go.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from orlop.bolt.disk import InMemory
from orlop.bolt.meta import Meta, newest_meta, read_metas
from orlop.bolt.node import BucketState
from orlop.bolt.pager import Pager
from orlop.bolt.transaction import BoltTransaction, Handle
from orlop.kv.errors import CorruptError, EngineClosedError, ReadOnlyError, StaleReadError

if TYPE_CHECKING:
    from orlop.bolt.disk import Disk, Readable

Metas: TypeAlias = "tuple[Meta | CorruptError, ...]"

WHOLE_BYTES_MAX = 512 * 1024 * 1024
"""A file that has more than so many bytes in use is not read whole into memory."""

_TRIES_BY_PAGE = 3
_TRIES_WHOLE = 3
_EXTENT_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class _Disturbance:
    """How often in a row a reading was disturbed, and since when."""

    count: int = 0
    began_at: float = 0.0
    began_with: int = 0


class ReadingEngine:
    """A file that is open for reading only. It takes no lock."""

    read_only = True
    serial = 0
    durable_serial = 0

    def __init__(self, disk: Disk, *, whole_bytes_max: int = WHOLE_BYTES_MAX) -> None:
        """Read from `disk`.

        Args:
            disk: the file; it is closed with this.
            whole_bytes_max: how much memory a last try at a busy file may take, in bytes.

        Raises:
            CorruptError: it is no database.
            OSError: it cannot be read.
        """
        self._disk = disk
        self._identity = disk.identity()
        self._whole_bytes_max = whole_bytes_max
        self._disturbance = _Disturbance()
        self._handle = Handle()
        try:
            self._metas = read_metas(disk.read)
            self._pager = Pager(disk, newest_meta(self._metas).page_size)
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
            StaleReadError: another file has taken the place of this one, or this one changes
                faster than it can be read.
            ReadOnlyError: a writer was asked for.
            EngineClosedError: the engine has been closed.
        """
        del timeout
        if self.is_closed:
            raise EngineClosedError("the database is closed")
        if writable:
            raise ReadOnlyError("the database was opened for reading only")
        metas = read_metas(self._disk.read)
        meta = newest_meta(metas)
        in_use = meta.high_water * meta.page_size
        if self._disturbance.count >= _TRIES_BY_PAGE and in_use <= self._whole_bytes_max:
            return self._begin_whole()
        if not _same(metas, self._metas):
            # Pages of an older version must not answer for this one.
            self._pager, self._metas = Pager(self._disk, meta.page_size), metas

        def end(transaction: BoltTransaction, _: BucketState | None, /) -> int:
            self._require_unchanged(transaction, metas)
            return transaction.id

        return BoltTransaction(meta.transaction, _root_state(meta), self._pager, end, self._handle)

    def close(self) -> None:
        """Release the file; what is being read does not count."""
        self._handle.is_closed = True
        self._disk.close()

    def _begin_whole(self) -> BoltTransaction:
        """Begin at a copy of the whole file: whatever happens to the file, it counts."""
        for _ in range(_TRIES_WHOLE):
            metas = read_metas(self._disk.read)
            meta = newest_meta(metas)
            contents = self._read_whole(meta.high_water * meta.page_size)
            if _same(metas, read_metas(self._disk.read)):
                self._require_identity()
                self._disturbance = _Disturbance()
                pager = Pager(InMemory(contents), meta.page_size)
                return BoltTransaction(
                    meta.transaction,
                    _root_state(meta),
                    pager,
                    lambda ended, _, /: ended.id,
                    self._handle,
                )
            self._disturbed(meta.transaction)
        raise self._busy()

    def _read_whole(self, length: int) -> bytes:
        return b"".join(
            self._disk.read(offset, min(_EXTENT_BYTES, length - offset))
            for offset in range(0, length, _EXTENT_BYTES)
        )

    def _require_unchanged(self, transaction: BoltTransaction, metas: Metas) -> None:
        if self.is_closed:
            raise EngineClosedError(
                "the database was closed before the reading ended; what was read does not count"
            )
        self._require_identity()
        if not _same(metas, read_metas(self._disk.read)):
            self._disturbed(transaction.id)
            raise self._busy()
        self._disturbance = _Disturbance()

    def _require_identity(self) -> None:
        if self._disk.identity() != self._identity:
            raise StaleReadError(
                "the database was replaced by another file while it was read; open it again"
            )

    def _disturbed(self, number: int) -> None:
        if not self._disturbance.count:
            self._disturbance = _Disturbance(0, time.monotonic(), number)
        self._disturbance.count += 1

    def _busy(self) -> StaleReadError:
        disturbance = self._disturbance
        seconds = time.monotonic() - disturbance.began_at
        newest = newest_meta(read_metas(self._disk.read)).transaction
        commits = newest - disturbance.began_with
        return StaleReadError(
            f"the database was changed by another process during {disturbance.count} reading(s) "
            f"in a row ({commits} commits in {seconds:.2f} s); what was read does not count: "
            "read again"
        )


def version_of(disk: Readable, meta: Meta) -> BoltTransaction:
    """Read the version of one meta, whether it is the newest or not.

    Nobody may be writing meanwhile; what is read is not checked against that.
    """
    return BoltTransaction(
        meta.transaction,
        _root_state(meta),
        Pager(disk, meta.page_size),
        lambda ended, _, /: ended.id,
        # Somebody else sees to it that the file stays open.
        Handle(),
    )


def _same(one: Metas, other: Metas) -> bool:
    return [*map(str, one)] == [*map(str, other)]


def _root_state(meta: Meta) -> BucketState:
    return BucketState(meta.root, meta.sequence, meta.page_size)
