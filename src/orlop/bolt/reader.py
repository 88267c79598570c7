"""Reading a file without its lock, while another process may write it.

A tree of version T is intact exactly as long as T is the newest: the transaction after it
writes only what was free at T. So what was read counts if, at its end, the file still has
the same two metas; else it is read again by whoever asked.

Source: the reuse of pages in go.etcd.io/bbolt, freelist.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from orlop.bolt.meta import Meta, newest_meta, read_metas
from orlop.bolt.node import BucketState
from orlop.bolt.pager import Pager
from orlop.bolt.transaction import BoltTransaction
from orlop.kv.errors import EngineClosedError, ReadOnlyError, StaleReadError

if TYPE_CHECKING:
    from orlop.bolt.disk import Disk
    from orlop.kv.errors import CorruptError


class ReadingEngine:
    """A file that is open for reading only. It takes no lock."""

    read_only = True

    def __init__(self, disk: Disk) -> None:
        """Read from `disk`.

        Raises:
            CorruptError: it is no database.
            OSError: it cannot be read.
        """
        self._disk = disk
        self._identity = disk.identity()
        self._metas: tuple[Meta | CorruptError, ...] = ()
        self._closed = False
        try:
            self._pager = Pager(disk, newest_meta(read_metas(disk.read)).page_size)
        except BaseException:
            disk.close()
            raise

    def begin(self, *, writable: bool = False, timeout: float | None = None) -> BoltTransaction:
        """Begin a reading transaction at the newest version of the file.

        Raises:
            StaleReadError: another file has taken the place of this one.
            ReadOnlyError: a writer was asked for.
            EngineClosedError: the engine has been closed.
        """
        del timeout
        if self._closed:
            raise EngineClosedError("the database is closed")
        if writable:
            raise ReadOnlyError("the database was opened for reading only")
        metas = read_metas(self._disk.read)
        meta = newest_meta(metas)
        if [*map(str, metas)] != [*map(str, self._metas)]:
            # Pages of an older version must not answer for this one.
            self._pager, self._metas = Pager(self._disk, meta.page_size), metas

        def end(transaction: BoltTransaction, state: BucketState | None) -> int:
            del state
            self._require_unchanged(metas)
            return transaction.id

        state = BucketState(meta.root, meta.sequence, meta.page_size)
        return BoltTransaction(meta.transaction, state, self._pager, end)

    def close(self) -> None:
        """Release the file."""
        self._closed = True
        self._disk.close()

    def _require_unchanged(self, metas: tuple[Meta | CorruptError, ...]) -> None:
        if self._closed:
            return
        if [*map(str, read_metas(self._disk.read))] != [*map(str, metas)]:
            _refuse("was changed by another process while it was read")
        if self._disk.identity() != self._identity:
            _refuse("was replaced by another file while it was read")


def _refuse(why: str) -> NoReturn:
    raise StaleReadError(f"the database {why}; what was read does not count: read again")
