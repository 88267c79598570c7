"""The engine: an open file, its versions, its readers and its one writer at a time.

A transaction becomes real in four steps: data pages, sync, meta, sync. A writer has its turn
only while it works in memory; then the next one builds on it, and one flush makes what has
gathered durable (`orlop.bolt.group_commit`). Readers see durable versions.

Source: go.etcd.io/bbolt, db.go and tx.go.
"""

from __future__ import annotations

import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING

from orlop.bolt.commit import PageAllocator, write_version
from orlop.bolt.dirty import DirtyNodes
from orlop.bolt.free_pages import SEARCHING, SearchOptions
from orlop.bolt.group_commit import Group, Groups
from orlop.bolt.holders import Pin, WriterTicket
from orlop.bolt.initialization import initialize_file, is_uninitialized
from orlop.bolt.meta import NO_FREELIST, Meta, newest_meta, read_metas, require_length
from orlop.bolt.node import BucketState
from orlop.bolt.pager import Pager
from orlop.bolt.provenance import Provenance
from orlop.bolt.reachable import count_free
from orlop.bolt.relocate import relocate_nodes
from orlop.bolt.transaction import BoltTransaction
from orlop.bolt.transaction_state import Handle
from orlop.concurrency.forks import HomeProcess
from orlop.concurrency.interrupts import reraise_interrupt
from orlop.concurrency.ownership import Turn
from orlop.kv.errors import (
    CorruptError,
    EngineClosedError,
    LockedError,
    TransactionClosedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.bolt.disk import Disk
    from orlop.kv import Follower


class BoltEngine:
    """A file that is open for writing, and locked until it is closed."""

    read_only = False

    def __init__(
        self,
        disk: Disk,
        *,
        freelist_sync: bool | None = None,
        follower: Follower | None = None,
        before_create: Callable[[], None] | None = None,
        before_write: Callable[[], None] | None = None,
        searching: SearchOptions = SEARCHING,
    ) -> None:
        """Take over `disk`, which the caller has locked.

        Args:
            disk: a database; an empty one is filled first.
            before_create: is called before an empty file is filled; it may refuse that by raising.
            before_write: is called when the follower has received how the file was found, right
                before anything is written to it.
            freelist_sync: whether to keep a freelist in the file; None: as the file does.
            follower: is notified of the versions; None: no notifications.
            searching: how free pages are found in a file without a freelist.

        Raises:
            CorruptError: it is no database, or damaged.
            OSError: it cannot be read or written.
        """
        self._disk = disk
        if is_uninitialized(disk):
            if before_create is not None:
                before_create()
            initialize_file(disk)
        meta = newest_meta(read_metas(disk.read))
        require_length(meta, disk.size())
        self._provenance = Provenance(disk, follower)
        self._provenance.open(meta)
        if before_write is not None:
            before_write()
        # After a failed or interrupted sync the system may show a version that the disk
        # does not have. Nothing may be built on it before it is durable.
        disk.write(meta.transaction % 2 * meta.page_size, [meta.encode(), self._provenance.stamp])
        self._provenance.sync()
        self._provenance.end_version(meta)
        keep = meta.freelist != NO_FREELIST if freelist_sync is None else freelist_sync
        self._pager = Pager(disk, meta.page_size)
        self._allocator = PageAllocator(disk, self._pager, keep_freelist=keep, options=searching)
        self._meta = meta
        # One for each reader, for as long as its transaction is kept.
        self._pins: dict[weakref.ref[Pin], int] = {}
        self._turn = Turn()
        self._groups = Groups(_root_state(meta), self._flush)
        self._is_prepared = False
        self._home = HomeProcess()
        self._handle = Handle()
        self._is_closing = False

    @property
    def is_closed(self) -> bool:
        """Whether nothing is accepted any more."""
        return self._handle.is_closed

    @property
    def serial(self) -> int:
        """How many writing transactions have ended with a change; see the contract."""
        return self._groups.serial

    @property
    def durable_serial(self) -> int:
        """Up to which of these transactions all are durable; see the contract."""
        return self._groups.durable_serial

    def begin(self, *, writable: bool = False, timeout: float | None = None) -> BoltTransaction:
        """Begin a transaction; see the contract."""
        self._require_usable()
        if writable:
            return self._begin_writer(timeout)
        pin = Pin()
        meta = self._pin(pin)
        return BoltTransaction(
            meta.transaction,
            _root_state(meta),
            self._pager,
            partial(self._end_reader, pin),
            self._handle,
        )

    def bytes_in_use(self) -> int:
        """Return the bytes of all reachable pages."""
        pin = Pin()
        meta = self._pin(pin)
        try:
            free = count_free(self._disk, self._pager, meta)
        finally:
            self._unpin(pin)
        return meta.bytes_in_use - free * meta.page_size

    def file_bytes_in_use(self) -> int:
        """Return where in the file the last page ends that is in use, or may be free, in bytes."""
        return self._meta.bytes_in_use

    def close(self) -> None:
        """Wait until all commits are durable, then release file and lock; see the contract.

        A writer of this very thread is rolled back; one of another thread is waited for. Where
        this is interrupted, it can be called again.
        """
        try:
            if self._home.is_here and not self.is_closed:
                # Whoever waits for their turn is refused when they get it.
                self._is_closing = True
                self._end_writers()
                self._handle.is_closed = True
                self._groups.drain()
                failed = self._groups.failure is not None
                self._provenance.close(None if failed else self._meta.transaction)
        finally:
            self._handle.is_closed = True
            try:
                if self._home.is_here:
                    self._allocator.stop_searching()
            finally:
                self._disk.close()

    def _require_usable(self) -> None:
        if not self._home.is_here:
            raise EngineClosedError(self._home.refusal)
        if self._is_closing or self.is_closed:
            raise EngineClosedError("the database is closed")
        self._groups.require_sound()

    def _begin_writer(self, timeout: float | None) -> BoltTransaction:
        # The turn ends with the ticket, and that with the transaction, if not before.
        ticket = WriterTicket()
        if not self._turn.acquire(ticket, timeout):
            raise LockedError(f"another transaction is writing; waited {timeout} seconds")
        try:
            self._require_usable()
            self._allocator.require_sound()
            handing = ticket.hand(
                BoltTransaction(
                    self._meta.transaction + 1,
                    self._groups.head,
                    self._pager,
                    partial(self._end_writer, self._groups.undurable, ticket),
                    ticket.handle,
                    dirty=DirtyNodes(self._pager),
                )
            )
        except BaseException:
            self._turn.release(ticket)
            raise
        # In one step, and nothing here refers to it then: it is the caller's alone.
        del ticket
        return handing.pop()[1]  # type: ignore[no-any-return]  # a name for it would refer to it

    def _end_writers(self) -> None:
        """Wait for the writer of another thread; roll back one of this, which waits for itself."""
        while True:
            holder = self._turn.holder
            if holder is not None and holder.thread == threading.get_ident():
                holder.roll_back()
                self._turn.release(holder)
                continue
            ticket = WriterTicket()
            self._turn.acquire(ticket, None)
            self._turn.release(ticket)
            return

    def _pin(self, pin: Pin) -> Meta:
        """Keep the pages of the durable version as they are, until it is unpinned."""
        entry = pin.entry = weakref.ref(pin)
        while True:
            meta = self._meta
            self._pins[entry] = meta.transaction
            # Else a version may have been made meanwhile that did not know of this reader.
            if self._meta is meta:
                return meta

    def _unpin(self, pin: Pin) -> None:
        if pin.entry is not None:
            self._pins.pop(pin.entry, None)
            pin.entry = None

    def _pinned(self) -> list[int]:
        """Return the versions that are read, and forget readers that were garbage-collected."""
        found = []
        for entry, version in list(self._pins.items()):
            if entry() is None:
                self._pins.pop(entry, None)
            else:
                found.append(version)
        return found

    def _end_reader(self, pin: Pin, transaction: BoltTransaction, _: BucketState | None) -> int:
        self._unpin(pin)
        return transaction.id

    def _end_writer(
        self,
        seen: Group | None,
        ticket: WriterTicket,
        transaction: BoltTransaction,
        state: BucketState | None,
    ) -> int:
        """End a writer that began when the group `seen` was not durable yet."""
        ticket.release_with_caller()  # a traceback may keep the ticket after an interrupt
        group = seen
        try:
            transaction.is_over = True
            if ticket.entry is None:
                return self._end_late(transaction, state)
            self._groups.require_sound()
            if state is not None:
                state = self._with_room(transaction.dirty, state)
                group = self._groups.add(transaction.dirty, state)
                transaction.serial = self._groups.serial
        finally:
            try:
                self._turn.release(ticket)
            finally:
                if ticket.entry is not None:
                    self._turn.release(ticket)
        if group is None or not (transaction.is_awaited or state is None):
            return transaction.id
        self._groups.wait(group)
        return group.number

    def _end_late(self, transaction: BoltTransaction, state: BucketState | None) -> int:
        """End a writer that lost the writer lock; raise if its changes were rolled back."""
        if state is not None:
            raise TransactionClosedError("the transaction was rolled back when it was left")
        return transaction.id

    def _with_room(self, dirty: DirtyNodes, state: BucketState) -> BucketState:
        """Make room at the end of the file, where the first writer of all finds too little."""
        if self._is_prepared:
            return state
        self._is_prepared = True
        try:
            pages = self._allocator.prepare(self._meta)
            for page in pages:
                self._pager.load(page)
        except (CorruptError, OSError) as error:
            reraise_interrupt(error)
            # Whoever needs the free pages, or what is damaged, meets it again and is told.
            return state
        except BaseException as error:
            # Nothing was written, but which pages are taken is half noted.
            self._groups.fail(error)
            raise
        return relocate_nodes(dirty, state, pages) if pages else state

    def _flush(self, state: BucketState, dirty: list[DirtyNodes]) -> int:
        # The newest version first: a reader that is not among the others yet will read that.
        newest = self._meta.transaction
        oldest = min(self._pinned(), default=newest)
        self._provenance.begin_version(self._meta)
        meta = write_version(
            self._allocator, self._meta, state, dirty, self._provenance, oldest_reader=oldest
        )
        self._meta = meta
        self._provenance.end_version(meta)
        self._allocator.continue_search()
        return meta.transaction


def _root_state(meta: Meta) -> BucketState:
    return BucketState(meta.root, meta.sequence, meta.page_size)
