"""Transactions, engines and stores that break one clause each; the class name is the fault."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from bolt.simulated_disk import SimulatedDisk
from kv.bolt_stores import SMALL_PAGE_BYTES, FaultyDisk
from kv.wrapped_engine import WrappedBucket, WrappedEngine, WrappedStore, WrappedTransaction
from orlop.bolt.initialization import empty_database
from orlop.kv import (
    EngineClosedError,
    EngineError,
    EnginePoisonedError,
    LockedError,
    ReadOnlyError,
    StaleReadError,
    TransactionClosedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet
    from types import TracebackType

    from kv.wrapped_engine import Kinds
    from orlop.kv import Bucket, Engine, Item, Path, Transaction


class CommitsNothing(WrappedTransaction):
    def commit(self) -> None:
        if self.writable and not self.has_ended:
            self.rollback()
        else:
            super().commit()


class ForgetsWhatIsDeepest(WrappedTransaction):
    @property
    def touched(self) -> AbstractSet[Path]:
        touched = self.inner.touched
        deepest = max((len(path) for path in touched), default=0)
        return {path for path in touched if len(path) < deepest}


class TouchesWhatItLiesIn(WrappedTransaction):
    @property
    def touched(self) -> AbstractSet[Path]:
        return self.inner.touched | {path[:-1] for path in self.inner.touched}


class CommitsAtRollback(WrappedTransaction):
    def rollback(self) -> None:
        if self.writable and not self.has_ended:
            self.commit()
        else:
            super().rollback()


class RollsBackAtTheEndOfItsBlock(WrappedTransaction):
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.rollback()


class CommitsWhateverHappens(WrappedTransaction):
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.writable:
            self.commit()
        else:
            self.rollback()


class OutlivesItsBlock(WrappedTransaction):
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.writable:
            super().__exit__(kind, error, traceback)


class CommitsTwice(WrappedTransaction):
    def commit(self) -> None:
        try:
            super().commit()
        except TransactionClosedError:
            return


class RollsBackOnce(WrappedTransaction):
    def rollback(self) -> None:
        if self.has_ended:
            raise TransactionClosedError("it has ended")
        super().rollback()


class RollsBackWhoeverWrites(WrappedTransaction):
    def rollback(self) -> None:
        writer = self.engine.writer()
        if self.has_ended and writer is not None and writer is not self:
            writer.rollback()
        super().rollback()


class LetsReadersCommit(WrappedTransaction):
    def commit(self) -> None:
        try:
            super().commit()
        except ReadOnlyError:
            return


class AlwaysSaysItWrites(WrappedTransaction):
    @property
    def writable(self) -> bool:
        return True

    def commit(self) -> None:
        self.has_ended = self.inner.writable
        self.inner.commit()


class OutlivesItsTransaction(WrappedBucket):
    def get(self, key: bytes) -> bytes | None:
        try:
            return super().get(key)
        except TransactionClosedError:
            return None


class ReachesTheNextWriter(WrappedBucket):
    def put(self, key: bytes, value: bytes) -> None:
        writer = self.transaction.engine.writer()
        try:
            super().put(key, value)
        except TransactionClosedError:
            bucket: Bucket | None = writer.inner.root if writer else None
            for name in self.path:
                bucket = bucket.bucket(name) if bucket else None
            if bucket is not None:
                bucket.put(key, value)


class NumbersVersionsInPairs(WrappedTransaction):
    @property
    def id(self) -> int:
        return super().id // 2


class NumbersEveryTransactionAlike(WrappedTransaction):
    @property
    def id(self) -> int:
        return 7


class ShowsWhatIsNotCommitted(WrappedTransaction):
    @property
    def root(self) -> Bucket:
        writer = self.engine.writer()
        return writer.root if writer is not None and not self.writable else super().root


class ShowsReadersTheNewest(WrappedTransaction):
    @property
    def root(self) -> Bucket:
        if self.writable:
            return super().root
        self.inner.rollback()
        self.inner = self.engine.inner.begin()
        return super().root


class IteratesOverTheNewest(WrappedBucket):
    def items(self, start: bytes = b"") -> Iterator[Item]:
        if self.transaction.writable:
            yield from super().items(start)
            return
        while (bucket := self.transaction.engine.newest(self.path)) is not None:
            item = next(bucket.items(start), None)
            if item is None:
                return
            yield item
            start = item[0] + b"\0"


class ShowsWritersWhatIsDurable(WrappedBucket):
    def items(self, start: bytes = b"") -> Iterator[Item]:
        bucket = self.transaction.engine.newest(self.path)
        return iter(()) if bucket is None else bucket.items(start)


class LetsReadersWait(WrappedEngine):
    def begin(self, *, writable: bool = False, timeout: float | None = None) -> Transaction:
        if not writable and self.writer() is not None:
            raise LockedError("somebody writes")
        return super().begin(writable=writable, timeout=timeout)


class LetsWritersInTogether(WrappedEngine):
    def begin(self, *, writable: bool = False, timeout: float | None = None) -> Transaction:
        try:
            return super().begin(writable=writable, timeout=timeout)
        except LockedError:
            return super().begin()


class DoesNotWait(WrappedEngine):
    def begin(self, *, writable: bool = False, timeout: float | None = None) -> Transaction:
        return super().begin(writable=writable, timeout=0 if writable else timeout)


class ClosesOnce(WrappedEngine):
    has_closed = False

    def close(self) -> None:
        if self.has_closed:
            raise EngineClosedError("it has been closed")
        self.has_closed = True
        super().close()


class NeverCloses(WrappedEngine):
    def close(self) -> None:
        for transaction in self.begun:
            transaction.inner.rollback()


class KeepsReadersGoing(WrappedEngine):
    def close(self) -> None:
        if all(transaction.has_ended for transaction in self.begun):
            super().close()


class CommitsWhatIsOpen(WrappedEngine):
    def close(self) -> None:
        writer = self.writer()
        if writer is not None:
            writer.commit()
        super().close()


class LeavesWritersOpen(WrappedEngine):
    def close(self) -> None:
        if self.writer() is None:
            super().close()


class ClosesUnderItsWriters(WrappedEngine):
    def close(self) -> None:
        writer = self.writer()
        if writer is not None:
            writer.rollback()
        super().close()


class NeverOnlyReads(WrappedEngine):
    @property
    def read_only(self) -> bool:
        return False


class TakesWhatIsStale(WrappedTransaction):
    def rollback(self) -> None:
        try:
            super().rollback()
        except StaleReadError:
            return


class NumbersHandlesApart(WrappedEngine):
    """Each handle begins to count at the version that it found."""

    def __init__(self, inner: Engine, kinds: Kinds) -> None:
        with inner.begin() as reader:
            first = reader.id

        class Numbered(WrappedTransaction):
            @property
            def id(self) -> int:
                return super().id - first

        super().__init__(inner, kinds._replace(transaction=Numbered))


class BeginsEmptyEachTime(WrappedStore):
    def open(self, *, read_only: bool = False) -> Engine:
        self.disk = SimulatedDisk(empty_database(SMALL_PAGE_BYTES))
        return super().open(read_only=read_only)


class BeginsWithABucket(WrappedStore):
    def __init__(self, kinds: Kinds) -> None:
        super().__init__(kinds)
        engine = super().open()
        with engine.begin(writable=True) as transaction:
            transaction.root.create_bucket(b"surprise")
        engine.close()


class LocksForReading(WrappedStore):
    """A handle that only reads takes the lock as any other does."""

    held: WrappedEngine | None = None

    def open(self, *, read_only: bool = False) -> Engine:
        if self.held is not None:
            raise LockedError("somebody has it open")
        engine = super().open(read_only=read_only)
        if isinstance(engine, WrappedEngine):
            self.held = engine
        return engine


class LosesEveryTenthCommit(WrappedTransaction):
    def commit(self) -> None:
        if len(self.engine.begun) % 10:
            super().commit()
        else:
            self.rollback()


class CommitsEveryPut(WrappedBucket):
    """Other transactions see an uncommitted part."""

    def put(self, key: bytes, value: bytes) -> None:
        super().put(key, value)
        transaction = self.transaction
        if len(self.path) != 1 or not transaction.writable:
            return
        transaction.inner.commit()
        time.sleep(0.002)
        transaction.inner = transaction.engine.inner.begin(writable=True)
        self.inner = transaction.inner.root.create_bucket_if_absent(self.path[0])


class SyncsNothing(FaultyDisk):
    def sync(self) -> None:
        durable = self.durable
        super().sync()
        self.durable = durable


class MakesNothingDurable(WrappedStore):
    def open(self, *, read_only: bool = False) -> Engine:
        self.disk = self.faulty = SyncsNothing(self.faulty.durable)
        return super().open(read_only=read_only)


class HidesFailures(WrappedTransaction):
    def commit(self) -> None:
        try:
            super().commit()
        except EnginePoisonedError:
            return

    def rollback(self) -> None:
        try:
            super().rollback()
        except EnginePoisonedError:
            return


class AnswersBeforeTheDisk(WrappedTransaction):
    def commit(self) -> None:
        self.has_ended = True
        _in_the_background(self.inner.commit)

    def rollback(self) -> None:
        if self.writable and not self.has_ended:
            _in_the_background(self.inner.rollback)
        self.has_ended = True
        if not self.writable:
            super().rollback()


def _in_the_background(work: object) -> None:
    def run() -> None:
        try:
            if callable(work):
                work()
        except EngineError:
            return

    threading.Thread(target=run, daemon=True).start()
