"""Reading around damage: an unreadable page is a loss, and the walk continues."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol, Self

from orlop.bolt.meta import NO_FREELIST
from orlop.bolt.node import BUCKET_FLAG, Leaf
from orlop.bolt.page import LEAF_PAGE, decode_freelist, decode_node
from orlop.bolt.pager import FIRST_NODE_PAGE
from orlop.bolt.tools.walk import PageRef, PageWalk
from orlop.concurrency.interrupts import reraise_interrupt
from orlop.kv.errors import CorruptError
from orlop.maintenance.salvage.report import Loss

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

    from orlop.bolt.disk import Readable
    from orlop.bolt.meta import Meta
    from orlop.bolt.node import Node
    from orlop.bolt.tools.walk import BucketPath, Visit


_OVERFLOW_READS: Final = 8


class LenientDisk:
    """A file on which bytes that the system cannot read are damage, not the end."""

    def __init__(self, disk: Readable) -> None:
        """Read from `disk`."""
        self._disk = disk

    def size(self) -> int:
        """Return the size in bytes."""
        return self._disk.size()

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on: fewer only at the end.

        Raises:
            CorruptError: the system cannot read them.
        """
        try:
            return self._disk.read(offset, length)
        except OSError as error:
            reraise_interrupt(error)
            raise CorruptError(
                f"{length} bytes at {offset} cannot be read ({error.strerror})"
            ) from error

    def read_or_nothing(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on: none where the system cannot read them."""
        try:
            return self.read(offset, length)
        except CorruptError:
            return b""


class Spot(PageRef):
    """A reference to a page that is to be salvaged.

    Attributes:
        is_lost: whether all below it was lost elsewhere.
    """

    __slots__ = ("is_lost",)

    def __init__(
        self,
        page: int,
        bucket: BucketPath | None = None,
        depth: int = 1,
        least: bytes | None = None,
        below: bytes | None = None,
    ) -> None:
        """Refer to a page of which nothing is known to be lost elsewhere."""
        super().__init__(page, bucket, depth, least, below)
        self.is_lost = False

    def child(self, page: int, least: bytes | None, below: bytes | None) -> Self:
        """Return the reference to a child, from the branch on this page."""
        child = super().child(page, least, below)
        child.is_lost = self.is_lost
        return child

    def lost(self, why: str) -> Loss:
        """Return that this page cannot be read."""
        return Loss(self.page, self.bucket, why, self.least, self.below)

    def fits(self, key: bytes) -> bool:
        """Whether a key is within the bounds of the page."""
        return (self.least is None or key >= self.least) and (
            self.below is None or key < self.below
        )


class Take(Protocol):
    """Takes the contents of a leaf; returns the buckets to follow, and whether each is lost."""

    def __call__(self, spot: Spot, leaf: Leaf, /) -> Mapping[bytes, bool]:
        """Take the leaf at `spot`."""


class Reader:
    """Reads the leaves of a damaged file, each once.

    Attributes:
        reached: for each page of the file: 1 if it was read, else 0.
    """

    def __init__(self, disk: Readable, page_size: int) -> None:
        """Begin on the file on `disk`; nothing is read yet."""
        self._page_size = page_size
        self._walk = PageWalk(disk, page_size)
        self._pager = self._walk.pager
        self._overflow_budget = _OVERFLOW_READS * disk.size()
        self.reached = self._walk.reached

    def walk(self, start: Spot, take: Take, lose: Callable[[Loss], None]) -> None:
        """Give every leaf that can be reached from `start` to `take`, and losses to `lose`."""
        for visit in self._walk.nodes(start):
            spot = visit.ref
            if visit.node is not None and _is_stranger(visit.node, spot):
                # A reference to a page that is another's since.
                visit.fault = CorruptError(f"the keys on page {spot.page} do not belong there")
                visit.node = None
            if visit.fault is not None:
                self._forget(visit)
                lose(spot.lost(str(visit.fault)))
            elif isinstance(visit.node, Leaf):
                visit.below = _followed(visit, take(spot, visit.node))

    def _forget(self, visit: Visit[Spot]) -> None:
        """Release the pages of a failed visit, so that another reference may reach them."""
        if visit.span > 1:
            self._overflow_budget -= visit.span * self._page_size
        # Pages may claim one another's overflow: it is not read more often than this.
        if self._overflow_budget >= 0:
            self._walk.forget(visit)

    def peek(self, page: int) -> Node:
        """Return the node on a page, without noting that it was read.

        Raises:
            CorruptError: there is no sound node.
        """
        data, header = self._pager.read_first(page)
        if header.overflow:
            # Pages may claim one another's overflow: it is not read more often than this.
            self._overflow_budget -= header.overflow * self._page_size
            if self._overflow_budget < 0:
                raise CorruptError("the pages of the file overflow into each other")
            data, header = self._pager.read(page)
        return decode_node(data, header)

    def loose_leaves(self, free: Container[int]) -> Iterator[tuple[int, Leaf]]:
        """Iterate over the leaves that were not reached and look sound, but for `free` pages."""
        for page in range(FIRST_NODE_PAGE, len(self.reached)):
            if self.reached[page] or page in free:
                continue
            try:
                if self._pager.read_first(page)[1].kind != LEAF_PAGE:
                    continue
                node = self.peek(page)
            except CorruptError:
                continue
            if isinstance(node, Leaf) and _is_plausible(node):
                yield page, node

    def free(self, metas: Iterable[Meta]) -> Container[int]:
        """Return the pages that the newest readable freelist calls free."""
        for meta in metas:
            if meta.freelist == NO_FREELIST:
                return frozenset()
            try:
                return frozenset(decode_freelist(*self._pager.read(meta.freelist)))
            except CorruptError:
                continue
        return frozenset()


def _followed(visit: Visit[Spot], followed: Mapping[bytes, bool]) -> list[Spot]:
    """Return the references to the buckets of a leaf that are to be followed."""
    below = []
    for bucket in visit.buckets:
        if bucket.root and bucket.name in followed:
            spot = visit.ref.nested(bucket.root, bucket.name)
            spot.is_lost = followed[bucket.name]
            below.append(spot)
    return below


def _is_stranger(node: Node, spot: Spot) -> bool:
    """Whether most keys of a node are out of the bounds of its page."""
    return sum(not spot.fits(key) for key in node.keys) * 2 > len(node.keys)


def _is_plausible(leaf: Leaf) -> bool:
    is_ordered = all(low < high for low, high in pairwise(leaf.keys))
    return bool(leaf.keys) and is_ordered and set(leaf.flags) <= {0, BUCKET_FLAG}
