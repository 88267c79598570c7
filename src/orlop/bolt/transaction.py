"""Transactions: one version to read, or one to make.

Source: go.etcd.io/bbolt, tx.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.bolt.bucket import BoltBucket
from orlop.kv.errors import ReadOnlyError, TransactionClosedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from orlop.bolt.edit import Edit
    from orlop.bolt.node import BucketState, Node
    from orlop.bolt.pager import Pager

    Finish = Callable[["BoltTransaction", BucketState | None], None]


class BoltTransaction:
    """A transaction; see the contract. The engine makes it and is told of its end.

    Attributes:
        load: from a page id to its node, in this version.
    """

    def __init__(
        self,
        number: int,
        state: BucketState,
        pager: Pager,
        finish: Finish,
        *,
        edit: Edit | None = None,
    ) -> None:
        """Begin at the root bucket `state`; an `edit` makes it a writing one.

        `finish` is called once, with the new state to be made durable, or None.
        """
        self.load: Callable[[int], Node] = pager.load
        self._number = number
        self._edit = edit
        self._finish: Finish | None = finish
        self._root = BoltBucket(self, state.tree, state.sequence, holds_values=False)

    @property
    def id(self) -> int:
        """The version that is read, or that is being made."""
        return self._number

    @property
    def writable(self) -> bool:
        """Whether this transaction may write."""
        return self._edit is not None

    @property
    def root(self) -> BoltBucket:
        """The outermost bucket. It holds buckets only."""
        self.require_open()
        return self._root

    @property
    def edit(self) -> Edit:
        """What owns the nodes that this transaction makes."""
        if self._edit is None:
            raise ReadOnlyError("the transaction only reads")
        return self._edit

    def require_open(self) -> None:
        """Raise TransactionClosedError where the transaction has ended."""
        if self._finish is None:
            raise TransactionClosedError("the transaction has ended")

    def require_writable(self) -> None:
        """Raise ReadOnlyError or TransactionClosedError where nothing may be changed."""
        self.require_open()
        if self._edit is None:
            raise ReadOnlyError("the transaction only reads")

    def commit(self) -> None:
        """Make every change durable; see the contract."""
        self.require_writable()
        try:
            state = self._root.settle()
        except BaseException:
            self._end(None)
            raise
        self._end(state)

    def rollback(self) -> None:
        """End the transaction without any change."""
        self._end(None)

    def _end(self, state: BucketState | None) -> None:
        finish, self._finish = self._finish, None
        if finish is not None:
            finish(self, state)

    def __enter__(self) -> Self:
        self.require_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._finish is None:
            return
        if kind is None and self.writable:
            self.commit()
        else:
            self.rollback()
