"""Reading around damage: an unreadable page is a loss, and the walk goes on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol

from orlop.bolt.btree import MAX_DEPTH
from orlop.bolt.meta import NO_FREELIST
from orlop.bolt.node import BUCKET_FLAG, Branch, Leaf
from orlop.bolt.page import LEAF_PAGE, decode_bucket, decode_freelist, decode_node
from orlop.bolt.pager import FIRST_NODE_PAGE, Pager
from orlop.bolt.tools.place import inside
from orlop.kv.errors import CorruptError
from orlop.maintenance.salvage.report import Loss

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

    from orlop.bolt.disk import Readable
    from orlop.bolt.meta import Meta
    from orlop.bolt.node import Node
    from orlop.bolt.tools.place import Place


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
            raise CorruptError(
                f"{length} bytes at {offset} cannot be read ({error.strerror})"
            ) from error

    def read_or_nothing(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on: none where the system cannot read them."""
        try:
            return self.read(offset, length)
        except CorruptError:
            return b""


@dataclass(frozen=True, slots=True)
class Spot:
    """A page to be read, and the expectations of its place.

    Attributes:
        page: its number.
        place: the bucket that it belongs to.
        level: on which level of the bucket's tree it lies.
        least: no key is below this; None: not known.
        below: all keys are below this; None: not known.
        is_lost: whether all that is here was lost elsewhere.
    """

    page: int
    place: Place | None = None
    level: int = 1
    least: bytes | None = None
    below: bytes | None = None
    is_lost: bool = False

    def lost(self, why: str) -> Loss:
        """Return that this page cannot be read."""
        return Loss(self.page, self.place, why, self.least, self.below)

    def fits(self, key: bytes) -> bool:
        """Whether a key lies where it should."""
        return (self.least is None or key >= self.least) and (
            self.below is None or key < self.below
        )


class Take(Protocol):
    """Takes the contents of a leaf; returns the buckets to follow, and whether each is lost."""

    def __call__(self, spot: Spot, leaf: Leaf, /) -> Mapping[bytes, bool]:
        """Take the leaf at `spot`."""


@dataclass(slots=True)
class Reader:
    """Reads each page once."""

    disk: Readable
    page_size: int
    reached: bytearray = field(init=False)
    _pager: Pager = field(init=False)
    _overflow_budget: int = field(init=False)

    def __post_init__(self) -> None:
        """Have reached nothing so far."""
        self.reached = bytearray(self.disk.size() // self.page_size)
        self._pager = Pager(self.disk, self.page_size)
        self._overflow_budget = _OVERFLOW_READS * self.disk.size()

    def node(self, spot: Spot) -> Node:
        """Return the node on a page that was not read before.

        Raises:
            CorruptError: it was, or there is no sound node that belongs here.
        """
        data, header = self._pager.read_first(spot.page)
        pages = range(spot.page, spot.page + header.overflow + 1)
        taken = self.reached.find(1, pages.start, pages.stop)
        if spot.page < FIRST_NODE_PAGE or taken >= 0:
            raise CorruptError(f"page {max(taken, spot.page)} is referred to twice")
        if spot.level > MAX_DEPTH:
            raise CorruptError(f"the tree is deeper than {MAX_DEPTH} levels")
        node = decode_node(*(self._pager.read(spot.page) if header.overflow else (data, header)))
        strangers = sum(not spot.fits(key) for key in node.keys)
        if strangers * 2 > len(node.keys):
            # A reference to a page that is meanwhile another's.
            raise CorruptError(f"the keys on page {spot.page} do not belong there")
        self.reached[pages.start : pages.stop] = b"\1" * len(pages)
        return node

    def peek(self, page: int) -> Node:
        """Return the node on a page, without noting that it was read.

        Raises:
            CorruptError: there is no sound node.
        """
        data, header = self._pager.read_first(page)
        if header.overflow:
            # Pages may claim one another's overflow: it is not read more often than this.
            self._overflow_budget -= header.overflow * self.page_size
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

    def walk(self, start: Spot, take: Take, lose: Callable[[Loss], None]) -> None:
        """Give every leaf that can be reached from `start` to `take`."""
        pending = [start]
        while pending:
            spot = pending.pop()
            try:
                node = self.node(spot)
            except CorruptError as error:
                lose(spot.lost(str(error)))
                continue
            if isinstance(node, Branch):
                pending += list(_children(node, spot))[::-1]
            else:
                pending += list(_buckets(node, spot, take(spot, node)))[::-1]


def _is_plausible(leaf: Leaf) -> bool:
    is_ordered = all(low < high for low, high in pairwise(leaf.keys))
    return bool(leaf.keys) and is_ordered and set(leaf.flags) <= {0, BUCKET_FLAG}


def _children(branch: Branch, spot: Spot) -> Iterator[Spot]:
    keys = branch.keys
    is_ordered = all(lower < upper for lower, upper in pairwise(keys))
    below = [*keys[1:], spot.below]
    for least, child, end in zip(keys, branch.children, below, strict=True):
        if not isinstance(child, int):
            continue
        found = Spot(child, spot.place, spot.level + 1, is_lost=spot.is_lost)
        # Keys out of order tell nothing about what is between them.
        yield replace(found, least=least, below=end) if is_ordered else found


def _buckets(leaf: Leaf, spot: Spot, followed: Mapping[bytes, bool]) -> Iterator[Spot]:
    for key, root in bucket_roots(leaf):
        if key in followed:
            yield Spot(root, inside(spot.place, key), is_lost=followed[key])


def bucket_roots(leaf: Leaf) -> Iterator[tuple[bytes, int]]:
    """Iterate over the buckets of a leaf that have pages of their own: name and root page."""
    for key, value, flag in zip(leaf.keys, leaf.values, leaf.flags, strict=True):
        if flag & BUCKET_FLAG and isinstance(value, bytes):
            try:
                header, _ = decode_bucket(value)
            except CorruptError:
                continue
            if header.root:
                yield key, header.root
