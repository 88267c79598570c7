"""The state of a transaction that its buckets and cursors share: its pages and its dirty nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.kv.errors import (
    CorruptError,
    EngineClosedError,
    ReadOnlyError,
    TransactionClosedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.bolt.dirty import DirtyNodes
    from orlop.bolt.node import Node
    from orlop.bolt.pager import Pager
    from orlop.kv.contract import Path


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


class TransactionState:
    """The pages of one version, and the changes of a writing transaction.

    Attributes:
        pager: reads the pages.
        load: from a page id to its node, in this version.
        contents: from a page id to the bytes of the page, as the file has them.
        touched: where this transaction changes something; see the contract.
        writable: whether this transaction may write.
        is_over: whether it has ended.
        handle: says whether anything may be read of it.
    """

    def __init__(
        self, pager: Pager, handle: Handle, dirty: DirtyNodes | None, root_page: int
    ) -> None:
        """Begin, for writing where there is `dirty`. `root_page` is 0 where there is none."""
        self.pager = pager
        self.load: Callable[[int], Node] = pager.load
        self.contents: Callable[[int], bytes] = pager.contents
        self.touched: set[Path] = set()
        self.writable = dirty is not None
        self.is_over = False
        self.handle = handle
        self._dirty = dirty
        # The root bucket lies in no other one.
        self._places: dict[int, int] = {root_page: 0}

    @property
    def dirty(self) -> DirtyNodes:
        """The owner of the nodes that this transaction makes."""
        if self._dirty is None:
            raise ReadOnlyError("the transaction only reads")
        return self._dirty

    def require_open(self) -> None:
        """Raise TransactionClosedError or EngineClosedError where nothing may be read."""
        if self.is_over or self.handle.is_rolled_back:
            raise TransactionClosedError("the transaction has ended")
        if self.handle.is_closed:
            raise EngineClosedError("the database was closed before the transaction ended")

    def require_writable(self) -> None:
        """Raise ReadOnlyError or TransactionClosedError where nothing may be changed."""
        self.require_open()
        if self._dirty is None:
            raise ReadOnlyError("the transaction only reads")

    def require_one_parent(self, page: int, place: tuple[int, bytes]) -> None:
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
