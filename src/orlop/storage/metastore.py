"""The snapshots of one backend: their names, parents, labels and usage, in its `metadata.db`.

The file is containerd's own: a daemon works on where we stopped. It is opened by the first
call that needs it, and reading where it does not exist finds no snapshots and makes no file.

Source: containerd, core/snapshots/storage.
"""

from __future__ import annotations

import contextlib
import weakref
from typing import TYPE_CHECKING, TypeVar

from orlop.concurrency.forks import HomeProcess
from orlop.concurrency.ownership import Hold, Mutex
from orlop.errors import FailedPreconditionError, LostDatabaseError, engine_error
from orlop.kv.errors import EmptyFileError, EngineError
from orlop.kv.retry import read_again
from orlop.schema.metastore import SnapshotBuckets, foreign_to_metastore
from orlop.storage.files import naming
from orlop.storage.snapshots import Snapshots

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType

    from orlop.clock import Clock
    from orlop.kv import Engine, Transaction

_Result = TypeVar("_Result")


class Metastore:
    """A backend's database; every thread may use it."""

    def __init__(
        self,
        path: Path,
        open_engine: Callable[[Path], Engine],
        *,
        find_data: Callable[[], Path | None] = lambda: None,
        clock: Clock,
    ) -> None:
        """Describe a database, which the first call that needs it opens.

        Args:
            path: the file.
            open_engine: opens it.
            find_data: returns a directory of a snapshot, if there is one: then there is, or was, a
                database.
            clock: where the time comes from.
        """
        self.path = path
        self._find_data = find_data
        self._open_engine = open_engine
        self._clock = clock
        self._opening = Mutex()
        self._engine: Engine | None = None
        self._is_known = False  # that the open file is a snapshotter's
        self._last_update: weakref.ref[_Update] | None = None
        self._is_closed = False
        self._home = HomeProcess()

    def read(self, question: Callable[[Snapshots], _Result]) -> _Result:
        """Answer `question` from one version of the database.

        Where another process writes to the file meanwhile, the question is asked again: it
        must change nothing.

        Raises:
            UnavailableError: the file is locked, or changes all the time.
            DataLossError: the file is damaged.
            LostDatabaseError: it is missing or empty, although there are snapshots on disk, or
                another database is in its place.
            FailedPreconditionError: this was closed, or this is a fork of its process.
        """
        self.require_home()
        try:
            return read_again(lambda: self._read_once(question))
        except EngineError as error:
            raise engine_error(error, self.path) from error

    def _read_once(self, question: Callable[[Snapshots], _Result]) -> _Result:
        engine = self._existing_engine()
        if engine is None:
            self.require_not_lost()
            return question(Snapshots(SnapshotBuckets(None, None), self._clock))
        with engine.begin() as transaction:
            self.require_metastore(transaction)
            return question(Snapshots(SnapshotBuckets.find(transaction), self._clock))

    def update(self) -> AbstractContextManager[Snapshots]:
        """Change snapshots: all that the block does is durable after it, or none of it is.

        Raises:
            UnavailableError: another process has locked the file.
            DataLossError: the file is damaged.
            LostDatabaseError: another database is in its place.
            FailedPreconditionError: the database is only read, or was closed, or this is a fork.
        """
        return _Update(self, self._clock)

    def while_locked(self, action: Callable[[Snapshots], None]) -> None:
        """Call `action` while writers are blocked; its own changes are rolled back.

        Raises: as `update`.
        """
        with contextlib.suppress(_Unchanged), _Update(self, self._clock) as snapshots:
            action(snapshots)
            raise _Unchanged

    def begin_writing(self, update: _Update) -> Transaction:
        """Begin the transaction of an update; its errors are the engine's."""
        self.require_home()
        engine = self._engine_for_writing()
        last = None if self._last_update is None else self._last_update()
        if last is not None and last.is_left:
            last.roll_back()  # an exception kept its block's way out from running
        self._last_update = weakref.ref(update)
        # Known to the update at once: whatever interrupts this, it can be rolled back.
        update.transaction = engine.begin(writable=True)
        return update.transaction

    @property
    def is_home(self) -> bool:
        """Whether this is the process that made this, and no fork of it."""
        return self._home.is_here

    @property
    def is_open(self) -> bool:
        """Whether the file is open, and so exists."""
        return self._engine is not None

    def require_writing(self) -> None:
        """Refuse writes on a read-only engine.

        Raises:
            FailedPreconditionError: the database is only read, or this was closed.
        """
        if self._engine_for_writing().read_only:
            raise FailedPreconditionError(f"{self.path} was opened for reading")

    def require_home(self) -> None:
        """Refuse to do anything in a forked process, which has no thread and no lock of its parent.

        Raises:
            FailedPreconditionError: this is one.
        """
        if not self._home.is_here:
            raise FailedPreconditionError(f"{self.path}: {self._home.refusal}")

    def require_not_lost(self) -> None:
        """Refuse to go on without a database where there are directories of snapshots.

        Raises:
            LostDatabaseError: there are.
        """
        data = self._find_data()
        # In this order: the first snapshot makes the database before its directory.
        if data is not None and self._existing_engine() is None:
            raise LostDatabaseError(self.path, f"{data} exists")

    def require_metastore(self, transaction: Transaction) -> None:
        """Refuse a file that is another database, such as a `meta.db` that was put here.

        Raises:
            LostDatabaseError: it is.
        """
        if self._is_known:
            return
        found = foreign_to_metastore(transaction)
        if found:
            raise LostDatabaseError(
                self.path, "a snapshotter's database belongs there", found=found
            )
        self._is_known = True

    def close(self) -> None:
        """Close the database; closing twice is allowed."""
        # Without the lock: a thread has it that waits for another process to close the file. It
        # looks at `_is_closed` once more when it has opened the file.
        if self._home.is_here:
            self._is_closed = True
        engine = self._engine
        if engine is not None:
            engine.close()

    def exists(self) -> bool:
        """Return whether there is a database. A file that is empty counts as none."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return self.path.stat().st_size > 0
        return False

    def _existing_engine(self) -> Engine | None:
        with self._opening:
            if self._engine is None and not self._is_closed and not self.exists():
                return None
            try:
                return self._opened()
            except EmptyFileError:
                return None

    def _engine_for_writing(self) -> Engine:
        with self._opening:
            return self._opened()

    def _opened(self) -> Engine:
        self._require_open()
        if self._engine is None:
            with naming(str(self.path)):
                self._engine = self._open_engine(self.path)
            try:
                self._require_open()
            except FailedPreconditionError:
                self._engine.close()
                raise
        return self._engine

    def _require_open(self) -> None:
        if self._is_closed:
            raise FailedPreconditionError(f"{self.path} was closed")


class _engine_errors:  # noqa: N801 (it is used as a function; a generator costs three times as much)
    """Turns an error of the engine of `path` that leaves the block into one of ours."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, EngineError):
            raise engine_error(error, self._path) from error


class _Unchanged(Exception):  # noqa: N818 -- no error: it rolls a transaction back
    """Ends a transaction that was begun only to block writers."""


class _Update(Hold):
    """A transaction that is committed when its block ends."""

    __slots__ = ("_clock", "_metastore", "transaction")

    def __init__(self, metastore: Metastore, clock: Clock) -> None:
        super().__init__()
        self._metastore = metastore
        self._clock = clock
        self.transaction: Transaction | None = None

    def __enter__(self) -> Snapshots:
        with _engine_errors(self._metastore.path):
            transaction = self._metastore.begin_writing(self)
            try:
                self._metastore.require_metastore(transaction)
                return Snapshots(SnapshotBuckets.create(transaction), self._clock)
            except BaseException:
                transaction.rollback()
                raise

    def leave(self, error: BaseException | None) -> None:
        """Commit, or roll back where `error` leaves the block."""
        if error is None:
            self._metastore.require_home()
        elif not self._metastore.is_home:
            return  # the process that began it ends it
        with _engine_errors(self._metastore.path):
            try:
                if self.transaction is not None:
                    self.transaction.__exit__(None if error is None else type(error), error, None)
            finally:
                self.roll_back()
            if isinstance(error, EngineError):
                raise error

    def roll_back(self) -> None:
        """End the transaction, if it has not ended."""
        if self.transaction is not None:
            self.transaction.rollback()
