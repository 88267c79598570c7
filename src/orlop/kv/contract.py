"""The protocols that an engine fulfils.

Keys and values are bytes; keys are ordered bytewise. A name in a bucket stands either for
a value or for a nested bucket, never for both. What a reading transaction sees is one
committed version and never changes; a writing transaction sees its own changes.

Handles (buckets, cursors, iterators) belong to their transaction and end with it. They
are not to be shared between threads; two transactions in two threads are fine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet
    from types import TracebackType
    from typing import Self

Item: TypeAlias = "tuple[bytes, bytes | None]"
"""A key with its value; the value is `None` where the key names a nested bucket."""


Path: TypeAlias = "tuple[bytes, ...]"
"""The path of a bucket: the names of its ancestors from the outermost one, its own the last."""


Tree: TypeAlias = "dict[bytes, bytes | Tree]"
"""The contents of a bucket: values, and nested buckets as trees; a copy, in key order."""


class Cursor(Protocol):
    """A position among the items of one bucket.

    Every move returns the item it lands on, or `None` past either end. There the cursor
    stands nowhere, as a new one does: `next` and `previous` return `None`, until it is placed
    again. The bucket may be changed while a cursor stands in it: the next move goes to the
    nearest key that then lies in its direction.
    """

    def first(self) -> Item | None:
        """Move to the first item."""

    def last(self) -> Item | None:
        """Move to the last item."""

    def seek(self, key: bytes) -> Item | None:
        """Move to the first item whose key is `key` or greater."""

    def next(self) -> Item | None:
        """Move to the next item."""

    def previous(self) -> Item | None:
        """Move to the previous item."""

    def delete(self) -> None:
        """Delete the value at the cursor; `next` then moves to the item after it.

        Nothing happens where it stands nowhere, or where the value is gone already.

        Raises:
            IncompatibleValueError: the cursor stands on a bucket.
            ReadOnlyError: the transaction only reads.
        """


class ReadableBucket(Protocol):
    """The reading half of a bucket, in a database or in memory."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value under `key`; `None` where there is none or where a bucket is."""

    def bucket(self, name: bytes) -> ReadableBucket | None:
        """Return the nested bucket `name`; `None` where there is none or a value is."""

    def items(self, start: bytes = b"") -> Iterator[Item]:
        """Iterate over the items in key order, from the first key that is `start` or greater."""


class RecordBucket(ReadableBucket, Protocol):
    """The bucket that a record is written to: in a database, or in memory before it is added."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value under `key`; `None` where there is none or where a bucket is."""

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value under `key`.

        Raises:
            KeyRequiredError, KeyTooLargeError, ValueTooLargeError: out of bounds.
            IncompatibleValueError: a bucket has that name.
            ReadOnlyError: the transaction only reads.
        """

    def delete(self, key: bytes) -> None:
        """Delete the value under `key`; nothing happens where there is none.

        Raises:
            IncompatibleValueError: a bucket has that name.
            ReadOnlyError: the transaction only reads.
        """

    def bucket(self, name: bytes) -> RecordBucket | None:
        """Return the nested bucket `name`; `None` where there is none or a value is.

        Raises:
            NestingTooDeepError: a writing transaction goes deeper than the engine's limit.
        """

    def create_bucket(self, name: bytes) -> RecordBucket:
        """Create the nested bucket `name`.

        Raises:
            KeyRequiredError, KeyTooLargeError: out of bounds.
            BucketExistsError: it is there already.
            IncompatibleValueError: a plain value has that name.
            NestingTooDeepError: it would lie deeper than the engine's limit.
            ReadOnlyError: the transaction only reads.
        """

    def create_tree(self, name: bytes, tree: Tree) -> None:
        """Create the nested bucket `name` with the contents of `tree`, at once.

        The keys of the tree may be in any order. Counters begin with 0.

        Raises: as `create_bucket`, and as `put` where something in the tree is out of bounds;
            nothing has changed then.
        """

    def create_bucket_if_absent(self, name: bytes) -> RecordBucket:
        """Return the nested bucket `name`, created first where it is missing.

        Raises: as `create_bucket`, but for BucketExistsError.
        """

    def delete_bucket(self, name: bytes) -> None:
        """Delete the nested bucket `name` with its contents.

        Handles on it and on what it holds are of no use any more: BucketNotFoundError.

        Raises:
            BucketNotFoundError: there is nothing of that name.
            IncompatibleValueError: a plain value has that name.
            ReadOnlyError: the transaction only reads.
        """


class Bucket(RecordBucket, Protocol):
    """A sorted map of keys to values and nested buckets, with a counter of its own."""

    @property
    def sequence(self) -> int:
        """The counter of this bucket: an unsigned 64-bit integer, 0 in a new bucket."""

    def bucket(self, name: bytes) -> Bucket | None:
        """Return the nested bucket `name`; `None` where there is none or a value is.

        Raises:
            NestingTooDeepError: a writing transaction goes deeper than the engine's limit.
        """

    def create_bucket(self, name: bytes) -> Bucket:
        """Create the nested bucket `name`; as for every record, but a bucket of the database."""

    def create_bucket_if_absent(self, name: bytes) -> Bucket:
        """Return the nested bucket `name`, created first where it is missing."""

    def move_bucket(self, name: bytes, target: Bucket) -> None:
        """Move the nested bucket `name`, with its contents, into `target`.

        Handles on it stay good. `target` is a bucket of the same transaction.

        Raises:
            BucketNotFoundError: there is nothing of that name.
            BucketExistsError: `target` has a bucket of that name.
            IncompatibleValueError: a plain value has that name, here or in `target`; or
                `target` is this bucket, or lies within the one to be moved, or belongs to
                another transaction.
            ReadOnlyError: the transaction only reads.
        """

    def cursor(self) -> Cursor:
        """Return a cursor without a position."""

    def items(self, start: bytes = b"") -> Iterator[Item]:
        """Iterate over the items in key order, from the first key that is `start` or greater.

        The bucket may be changed meanwhile, as with a cursor.
        """

    def tree(self, name: bytes) -> Tree | None:
        """Return the contents of the nested bucket `name`; `None` if it does not exist.

        Raises:
            NestingTooDeepError: buckets lie in it deeper than the engine's limit.
        """

    def trees(self, start: bytes = b"") -> Iterator[tuple[bytes, Tree]]:
        """Iterate over the nested buckets with their contents; values are skipped.

        They come in key order, from the first name that is `start` or greater.

        Raises: as `tree`.
        """

    def set_sequence(self, value: int) -> None:
        """Set the counter to `value`.

        Raises:
            ReadOnlyError: the transaction only reads.
        """

    def next_sequence(self) -> int:
        """Increment the counter and return it; the greatest number wraps to 0.

        Raises:
            ReadOnlyError: the transaction only reads.
        """


class Transaction(Protocol):
    """One consistent view of the database; a writing one ends in `commit` or `rollback`.

    As a context manager it commits (writing) or ends (reading) on a clean exit, and rolls
    back when an exception leaves the block.
    """

    @property
    def id(self) -> int:
        """The number of the version seen: for a writer, that of the version it makes.

        Transactions that become durable together are one version, so a writer knows its
        number for certain only when it has committed.
        """

    @property
    def writable(self) -> bool:
        """Whether this transaction may write."""

    @property
    def touched(self) -> AbstractSet[Path]:
        """Where this transaction has changed something so far; empty for a reader.

        These are the buckets in which a value was put or deleted, and those that were made,
        deleted or moved (with the old and the new place). Of what lies inside a bucket that
        was deleted, moved or made as a tree only the bucket is named. A change back is a
        change.
        """

    @property
    def serial(self) -> int:
        """Which change of its handle this was: 0 before it has ended, and if it changed nothing."""

    @property
    def root(self) -> Bucket:
        """The outermost bucket. It contains buckets only: `put` on it is refused."""

    def bucket(self, path: Path) -> Bucket | None:
        """Return the bucket at `path`, `None` where any part of it is missing; as step by step."""

    def commit(self) -> None:
        """Make every change durable; when this returns, a power loss cannot undo it.

        Raises:
            EnginePoisonedError: this write, or one that this one was built on, failed;
                nothing was acknowledged.
            TransactionClosedError: it had ended already.
            ReadOnlyError: the transaction only reads.
        """

    def commit_with_next(self) -> None:
        """Commit without waiting: a later commit makes the transaction durable.

        The next writer builds on the changes. Until a later transaction has been committed, or
        the engine was closed, the end of the process undoes them, and readers do not see them.
        An engine that gains nothing by it may commit at once.

        Raises: as `commit`, but of this write nobody is told that it failed but those who
            build on it.
        """

    def rollback(self) -> None:
        """End the transaction without any change; ending it twice is allowed.

        A writer that has seen what was not durable yet returns when it is: whatever follows
        from what it saw must not be undone by a power loss.

        Raises:
            EnginePoisonedError: what a writer has seen could not be made durable.
            StaleReadError: on a reading transaction of a file that others write, what was
                read does not count: the file changed meanwhile. Read again.
            EngineClosedError: so it is where the engine was closed before that was known.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class FileState(NamedTuple):
    """The state of a database file that is open, or that was found.

    Attributes:
        version: the number of the newest version.
        stamp: 16 random bytes that were written with that version, in hex; zeros if none were.
        device: the device number of the file.
        inode: the inode number of the file.
        size: in bytes.
        ctime_ns: when the file or its inode changed last, in nanoseconds.
        mtime_ns: when its contents were modified last, in nanoseconds.
    """

    version: int
    stamp: str
    device: int
    inode: int
    size: int
    ctime_ns: int
    mtime_ns: int


class Follower(Protocol):
    """Receives the versions of a database that is open for writing.

    The calls come one at a time, in the order of the versions. What they raise fails what the
    engine is doing.
    """

    def opened(self, state: FileState) -> None:
        """Receive the state that was found, before anything is written."""

    def writing(self, stamp: str) -> None:
        """Receive the stamp of the next version; raise to refuse that it is written."""

    def changing(self, ctime_ns: int, *, is_meta: bool) -> None:
        """Receive how the file is, right before it changes.

        Args:
            ctime_ns: when it changed last, in nanoseconds.
            is_meta: whether the next change makes the version whose stamp was received the newest.
        """

    def waiting(self, ctime_ns: int) -> None:
        """Receive how the file is, and stays until the disk has answered."""

    def durable(self, state: FileState) -> None:
        """Receive a version that is durable, before it is acknowledged."""

    def closing(self, version: int | None) -> None:
        """Receive the last version, while the file is still locked; `None` after a failed write."""


class Engine(Protocol):
    """An open database."""

    @property
    def read_only(self) -> bool:
        """Whether this handle only reads. Such a handle takes no lock."""

    @property
    def serial(self) -> int:
        """How many writing transactions have ended with a change since this was opened.

        Each has its number from the moment at which the next writer sees its changes, durable
        or not. While a writer is open the number stays what it is.
        """

    @property
    def durable_serial(self) -> int:
        """Up to which of these transactions all are durable, and seen by readers from now on."""

    def begin(self, *, writable: bool = False, timeout: float | None = None) -> Transaction:
        """Begin a transaction.

        A writer waits for the writer before it, `timeout` seconds at most (`None`: without
        end). Readers wait for nobody.

        Raises:
            LockedError: the writer before it did not end in time.
            ReadOnlyError: a writer was asked of a handle that only reads.
            CorruptError: a writer was asked for, and the database has turned out to be damaged
                where it would be written.
            EngineClosedError, EnginePoisonedError: the handle is of no use any more.
        """

    def close(self) -> None:
        """Release the database and its lock; closing twice is allowed.

        What was committed is durable before. Open readers are of no use any more: whatever
        they are asked raises EngineClosedError. A writer that the calling thread began is
        rolled back, for nobody else would end it; one of another thread is waited for.
        """
