"""Transactions: one version to read, or one to make.

Source: go.etcd.io/bbolt, tx.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from orlop.bolt.bucket import BoltBucket
from orlop.kv.errors import (
    CorruptError,
    EngineClosedError,
    ReadOnlyError,
    TransactionClosedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from orlop.bolt.edit import Edit
    from orlop.bolt.node import BucketState, Node
    from orlop.bolt.pager import Pager
    from orlop.kv.contract import Path


_WAYS_MAX: Final = 1000
"""So many ways are noted in a version: one for each kind of record in each namespace."""


class Ending(Protocol):
    """What an engine does when a transaction ends."""

    def __call__(self, transaction: BoltTransaction, state: BucketState | None, /) -> int:
        """Make `state` durable, or nothing where it is None; return the version's number.

        Of a writer it says first that it is over.
        """


class Handle:
    """An open database, as far as its transactions ask.

    Attributes:
        is_closed: whether nothing may be read of it any more.
        is_rolled_back: whether that is so since a writer was rolled back, who has this alone.
    """

    __slots__ = ("is_closed", "is_rolled_back")

    def __init__(self) -> None:
        """Begin open."""
        self.is_closed = False
        self.is_rolled_back = False


class BoltTransaction:
    """A transaction; see the contract. The engine makes it and is told of its end.

    Attributes:
        pager: reads the pages.
        load: from a page id to its node, in this version.
        contents: from a page id to the bytes of the page, as the file has them.
        touched: where this transaction changes something; see the contract.
        is_awaited: whether its end waits until it is durable.
        serial: which change of the engine this was; 0: it has not ended, or changed nothing.
        writable: whether this transaction may write.
        is_over: whether it has ended.
        handle: says whether anything may be read of it.
    """

    def __init__(
        self,
        number: int,
        state: BucketState,
        pager: Pager,
        ending: Ending,
        handle: Handle,
        *,
        edit: Edit | None = None,
    ) -> None:
        """Begin at the root bucket `state`; an `edit` makes it a writing one."""
        self.pager = pager
        self.load: Callable[[int], Node] = pager.load
        self.contents: Callable[[int], bytes] = pager.contents
        self.touched: set[Path] = set()
        self._number = number
        self._edit = edit
        self.writable = edit is not None
        self.is_over = False
        self.is_awaited = True
        self.serial = 0
        self.handle = handle
        self._ending = ending
        origin = state.tree if isinstance(state.tree, int) else 0
        # The root bucket lies in no other one.
        self._places: dict[int, int] = {origin: 0}
        self._root = BoltBucket(self, state.tree, state.sequence, origin=origin)
        self._ways = pager.ways(number) if edit is None else {}

    @property
    def id(self) -> int:
        """The version that is read, or that is being made.

        Transactions that become durable together are one version; a writer knows its number
        for certain when it has committed.
        """
        return self._number

    @property
    def root(self) -> BoltBucket:
        """The outermost bucket. It holds buckets only."""
        self.require_open()
        return self._root

    def bucket(self, path: Path) -> BoltBucket | None:
        """Return the bucket at `path`; see the contract.

        Readers of one version go the same few ways: the second one need not search.
        """
        self.require_open()
        way = self._ways.get(path)
        if way is None:
            return self._search(path)
        page, sequence, places, pages = way
        for index, place in enumerate(places):
            self.require_one_place(pages[index], place)
        return BoltBucket(self, page, sequence, origin=page)

    def _search(self, path: Path) -> BoltBucket | None:
        bucket = self._root
        places: list[tuple[int, bytes]] = []
        pages: list[int] = []
        for name in path:
            found = bucket.bucket(name)
            if found is None:
                return None
            places.append(bucket.place(name))
            pages.append(found.page)
            bucket = found
        if path and not self.writable and bucket.page > 0 and len(self._ways) < _WAYS_MAX:
            self._ways[path] = (bucket.page, bucket.sequence, tuple(places), tuple(pages))
        return bucket

    @property
    def edit(self) -> Edit:
        """What owns the nodes that this transaction makes."""
        if self._edit is None:
            raise ReadOnlyError("the transaction only reads")
        return self._edit

    def require_open(self) -> None:
        """Raise TransactionClosedError or EngineClosedError where nothing may be read."""
        if self.is_over or self.handle.is_rolled_back:
            raise TransactionClosedError("the transaction has ended")
        if self.handle.is_closed:
            raise EngineClosedError("the database was closed before the transaction ended")

    def require_writable(self) -> None:
        """Raise ReadOnlyError or TransactionClosedError where nothing may be changed."""
        self.require_open()
        if self._edit is None:
            raise ReadOnlyError("the transaction only reads")

    def require_one_place(self, page: int, place: tuple[int, bytes]) -> None:
        """Note that the tree of the bucket at `place` begins on `page`.

        In a damaged file a bucket may be inside itself, or in two places at each of many
        levels: whoever walked over such buckets would never end.

        Raises:
            CorruptError: another bucket, or the outermost one, begins there.
        """
        # Only the hash is kept: there may be hundreds of thousands of buckets.
        mark = hash(place)
        if self._places.setdefault(page, mark) != mark:
            raise CorruptError(f"page {page} is referred to by two buckets")

    def commit(self) -> None:
        """Make every change durable; see the contract."""
        self.require_writable()
        try:
            state = self._root.settle()
        except BaseException:
            self._end(None)
            raise
        self._end(state)

    def commit_with_next(self) -> None:
        """Leave it to later transactions to make every change durable; see the contract."""
        self.is_awaited = False
        self.commit()

    def rollback(self) -> None:
        """End the transaction without any change."""
        self._end(None)

    def _end(self, state: BucketState | None) -> None:
        if not self.is_over:
            # Of a writer its engine says so: an interrupt on the way there leaves it as it is.
            self.is_over = self._edit is None
            self._number = self._ending(self, state)

    def __enter__(self) -> Self:
        self.require_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.is_over:
            return
        if kind is None and self.writable:
            self.commit()
        else:
            self.rollback()
