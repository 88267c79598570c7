"""Transactions: one version to read, or one to make.

Source: go.etcd.io/bbolt, tx.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from orlop.bolt.bucket import BoltBucket
from orlop.bolt.transaction_state import TransactionState

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from orlop.bolt.dirty import DirtyNodes
    from orlop.bolt.node import BucketState
    from orlop.bolt.pager import Pager
    from orlop.bolt.transaction_state import Handle
    from orlop.kv.contract import Path


_MAX_CACHED_BUCKETS: Final = 1000
"""Buckets cached for each version: one for each kind of record in each namespace."""


class Ending(Protocol):
    """The call by which an engine ends a transaction."""

    def __call__(self, transaction: BoltTransaction, state: BucketState | None, /) -> int:
        """Make `state` durable, or nothing where it is None; return the version's number.

        Of a writer it says first that it is over.
        """


class BoltTransaction(TransactionState):
    """A transaction; see the contract. The engine makes it and is told of its end.

    Attributes:
        is_awaited: whether its end waits until it is durable.
        serial: which change of the engine this was; 0: it has not ended, or changed nothing.
    """

    def __init__(
        self,
        number: int,
        state: BucketState,
        pager: Pager,
        ending: Ending,
        handle: Handle,
        *,
        dirty: DirtyNodes | None = None,
    ) -> None:
        """Begin at the root bucket `state`, for writing where there is `dirty`."""
        origin = state.tree if isinstance(state.tree, int) else 0
        super().__init__(pager, handle, dirty, origin)
        self.is_awaited = True
        self.serial = 0
        self._number = number
        self._ending = ending
        self._root = BoltBucket(self, state.tree, state.sequence, origin=origin)
        self._bucket_cache = pager.bucket_cache(number) if dirty is None else {}

    @property
    def id(self) -> int:
        """The version that is read, or that is being made.

        Transactions that become durable together are one version; a writer knows its number
        for certain when it has committed.
        """
        return self._number

    @property
    def root(self) -> BoltBucket:
        """The outermost bucket. It contains buckets only."""
        self.require_open()
        return self._root

    def bucket(self, path: Path) -> BoltBucket | None:
        """Return the bucket at `path`; see the contract.

        Readers of one version open the same few buckets: from the second time on without a search.
        """
        self.require_open()
        cached = self._bucket_cache.get(path)
        if cached is None:
            return self._search(path)
        page, sequence, places, pages = cached
        for index, place in enumerate(places):
            self.require_one_parent(pages[index], place)
        return BoltBucket(self, page, sequence, origin=page)

    def _search(self, path: Path) -> BoltBucket | None:
        bucket = self._root
        places: list[tuple[int, bytes]] = []
        pages: list[int] = []
        for name in path:
            found = bucket.bucket(name)
            if found is None:
                return None
            places.append(bucket.identity(name))
            pages.append(found.page)
            bucket = found
        cache = self._bucket_cache
        has_room = len(cache) < _MAX_CACHED_BUCKETS
        if path and not self.writable and bucket.page > 0 and has_room:
            cache[path] = (bucket.page, bucket.sequence, tuple(places), tuple(pages))
        return bucket

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
            self.is_over = self._dirty is None
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
