"""An engine around another one that does the same: faults are made of it by overriding.

Each wrapper knows the wrapper above it, and a bucket its path, so that a fault can look where
it should not: into another version, at another writer, behind a handle that has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kv.bolt_stores import FaultyDiskStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet
    from types import TracebackType
    from typing import Self

    from orlop.kv import Bucket, Cursor, Engine, Item, Path, Transaction, Tree


class WrappedCursor:
    def __init__(self, inner: Cursor, bucket: WrappedBucket) -> None:
        self.inner = inner
        self.bucket = bucket

    def first(self) -> Item | None:
        return self.inner.first()

    def last(self) -> Item | None:
        return self.inner.last()

    def seek(self, key: bytes) -> Item | None:
        return self.inner.seek(key)

    def next(self) -> Item | None:
        return self.inner.next()

    def previous(self) -> Item | None:
        return self.inner.previous()

    def delete(self) -> None:
        self.inner.delete()


class WrappedBucket:
    def __init__(
        self, inner: Bucket, transaction: WrappedTransaction, path: tuple[bytes, ...]
    ) -> None:
        self.inner = inner
        self.transaction = transaction
        self.path = path

    def around(self, inner: Bucket, name: bytes) -> WrappedBucket:
        return type(self)(inner, self.transaction, (*self.path, name))

    @property
    def sequence(self) -> int:
        return self.inner.sequence

    def get(self, key: bytes) -> bytes | None:
        return self.inner.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.inner.put(key, value)

    def delete(self, key: bytes) -> None:
        self.inner.delete(key)

    def bucket(self, name: bytes) -> Bucket | None:
        found = self.inner.bucket(name)
        return None if found is None else self.around(found, name)

    def create_tree(self, name: bytes, tree: Tree) -> None:
        self.inner.create_tree(name, tree)

    def create_bucket(self, name: bytes) -> Bucket:
        return self.around(self.inner.create_bucket(name), name)

    def create_bucket_if_absent(self, name: bytes) -> Bucket:
        return self.around(self.inner.create_bucket_if_absent(name), name)

    def delete_bucket(self, name: bytes) -> None:
        self.inner.delete_bucket(name)

    def move_bucket(self, name: bytes, target: Bucket) -> None:
        self.inner.move_bucket(name, target.inner if isinstance(target, WrappedBucket) else target)

    def cursor(self) -> Cursor:
        return self.transaction.engine.kinds.cursor(self.inner.cursor(), self)

    def items(self, start: bytes = b"") -> Iterator[Item]:
        return self.inner.items(start)

    def tree(self, name: bytes) -> Tree | None:
        return self.inner.tree(name)

    def trees(self, start: bytes = b"") -> Iterator[tuple[bytes, Tree]]:
        return self.inner.trees(start)

    def set_sequence(self, value: int) -> None:
        self.inner.set_sequence(value)

    def next_sequence(self) -> int:
        return self.inner.next_sequence()


class WrappedTransaction:
    def __init__(self, inner: Transaction, engine: WrappedEngine) -> None:
        self.inner = inner
        self.engine = engine
        self.has_ended = False
        self.notes: dict[bytes, int] = {}

    @property
    def id(self) -> int:
        return self.inner.id

    @property
    def writable(self) -> bool:
        return self.inner.writable

    @property
    def serial(self) -> int:
        return self.inner.serial

    @property
    def touched(self) -> AbstractSet[Path]:
        return self.inner.touched

    @property
    def root(self) -> Bucket:
        return self.engine.kinds.bucket(self.inner.root, self, ())

    def bucket(self, path: Path) -> Bucket | None:
        found = self.inner.bucket(path)
        return None if found is None else self.engine.kinds.bucket(found, self, path)

    def commit(self) -> None:
        self.has_ended = self.writable
        self.inner.commit()

    def commit_with_next(self) -> None:
        self.has_ended = self.writable
        self.inner.commit_with_next()

    def rollback(self) -> None:
        self.has_ended = True
        self.inner.rollback()

    def __enter__(self) -> Self:
        self.inner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.has_ended:
            return
        if kind is None and self.writable:
            self.commit()
        else:
            self.rollback()


class WrappedEngine:
    def __init__(self, inner: Engine, kinds: Kinds) -> None:
        self.inner = inner
        self.kinds = kinds
        self.begun: list[WrappedTransaction] = []

    @property
    def read_only(self) -> bool:
        return self.inner.read_only

    @property
    def serial(self) -> int:
        return self.inner.serial

    @property
    def durable_serial(self) -> int:
        return self.inner.durable_serial

    def begin(self, *, writable: bool = False, timeout: float | None = None) -> Transaction:
        inner = self.inner.begin(writable=writable, timeout=timeout)
        transaction = self.kinds.transaction(inner, self)
        self.begun.append(transaction)
        return transaction

    def writer(self) -> WrappedTransaction | None:
        """The writer that has begun last, where it has not ended."""
        writers = [one for one in self.begun if one.inner.writable and not one.has_ended]
        return writers[-1] if writers else None

    def newest(self, path: tuple[bytes, ...]) -> Bucket | None:
        """The bucket at `path` in the newest version."""
        bucket: Bucket | None = self.inner.begin().root
        for name in path:
            bucket = bucket.bucket(name) if bucket is not None else None
        return bucket

    def close(self) -> None:
        self.inner.close()


class WrappedStore(FaultyDiskStore):
    def __init__(self, kinds: Kinds) -> None:
        super().__init__()
        self.kinds = kinds

    def open(self, *, read_only: bool = False) -> Engine:
        return self.kinds.engine(super().open(read_only=read_only), self.kinds)


class Kinds(NamedTuple):
    """The wrapper class for each kind of object."""

    store: type[WrappedStore] = WrappedStore
    engine: type[WrappedEngine] = WrappedEngine
    transaction: type[WrappedTransaction] = WrappedTransaction
    bucket: type[WrappedBucket] = WrappedBucket
    cursor: type[WrappedCursor] = WrappedCursor
