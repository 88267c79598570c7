"""The walk over the pages of a version, in the order of its tree, however damaged the file is.

Checks, page lists, statistics and salvage all read a file with `PageWalk`. It visits each page
once, whatever refers to whatever, never raises for what a file holds, and takes no more memory
than the file is large. Each page is visited with its place in the tree (`PageRef`): the bucket,
the level and the bounds of its keys.

The engine's own search for free pages (`orlop.bolt.reachable`) is another walk: it reads the file
in the order of its pages, decodes no key, and stops at the first damage.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, Self, TypeVar

from orlop.bolt.btree import MAX_DEPTH
from orlop.bolt.node import BUCKET_FLAG, Branch, Leaf
from orlop.bolt.page import FREELIST_PAGE, decode_bucket, decode_freelist, decode_node
from orlop.bolt.pager import FIRST_NODE_PAGE, Pager
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.bolt.disk import Readable
    from orlop.bolt.node import Node
    from orlop.bolt.page import Header

MAX_NAMES: Final = 32
"""Only so many names of a path are reported: the last ones."""

GROUP_DEPTH: Final = 2
"""The depth of the buckets by which `BucketPath.group` puts others together."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BucketPath:
    """The path of a bucket, as a link to the path of its parent.

    A damaged file may nest buckets a hundred thousand deep. With a tuple of names for each of
    them, a walk would take memory by the square of that.

    Attributes:
        name: the key of the bucket in its parent.
        parent: the path of the parent; None: the outermost bucket.
        depth: how many buckets it lies in, the outermost one included.
        group: its ancestor at depth 2; None: it is not deeper.
    """

    name: bytes
    parent: BucketPath | None
    depth: int = 1
    group: BucketPath | None = None

    def names(self, limit: int = MAX_NAMES) -> tuple[bytes, ...]:
        """Return the last `limit` names of the path."""
        names: list[bytes] = []
        path: BucketPath | None = self
        while path is not None and len(names) < limit:
            names.append(path.name)
            path = path.parent
        return tuple(reversed(names))


def nested_path(parent: BucketPath | None, name: bytes) -> BucketPath:
    """Return the path of the bucket `name` in the bucket at `parent` (None: the outermost)."""
    if parent is None:
        return BucketPath(name, None)
    group = parent if parent.depth == GROUP_DEPTH else parent.group
    return BucketPath(name, parent, parent.depth + 1, group)


def names_of(path: BucketPath | None) -> tuple[bytes, ...]:
    """Return the last names of a path; none for the outermost bucket."""
    return () if path is None else path.names()


class PageRef:
    """A reference to a page, with the place of that page in the tree.

    Attributes:
        page: the id of the page.
        bucket: the bucket that it belongs to; None: the outermost.
        depth: its level in the tree of that bucket: the root's is 1.
        least: no key is below this; None: no bound is known.
        below: all keys are below this; None: no bound is known.
    """

    __slots__ = ("below", "bucket", "depth", "least", "page")

    def __init__(
        self,
        page: int,
        bucket: BucketPath | None = None,
        depth: int = 1,
        least: bytes | None = None,
        below: bytes | None = None,
    ) -> None:
        """Refer to the root of a bucket, or to a page below."""
        self.page = page
        self.bucket = bucket
        self.depth = depth
        self.least = least
        self.below = below

    def child(self, page: int, least: bytes | None, below: bytes | None) -> Self:
        """Return the reference to a child, from the branch on this page."""
        return type(self)(page, self.bucket, self.depth + 1, least, below)

    def nested(self, page: int, name: bytes) -> Self:
        """Return the reference to the root of a nested bucket, from the leaf on this page."""
        return type(self)(page, nested_path(self.bucket, name))


_Ref = TypeVar("_Ref", bound=PageRef)


class NestedBucket(NamedTuple):
    """A bucket in a leaf.

    Attributes:
        name: its key.
        root: the page of its root; 0: it has none.
        inline: its one leaf, where it lies in its value.
        sequence: its counter.
        fault: what is wrong with its value; None: nothing.
    """

    name: bytes
    root: int = 0
    inline: Leaf | None = None
    sequence: int = 0
    fault: CorruptError | None = None


def nested_buckets(leaf: Leaf) -> list[NestedBucket]:
    """Return the buckets in a leaf, those with a damaged value included."""
    if not any(leaf.flags):
        return []
    found = []
    for key, value, flag in zip(leaf.keys, leaf.values, leaf.flags, strict=True):
        if flag & BUCKET_FLAG and isinstance(value, bytes):
            try:
                header, inline = decode_bucket(value)
            except CorruptError as error:
                found.append(NestedBucket(key, fault=error))
            else:
                found.append(NestedBucket(key, header.root, inline, header.sequence))
    return found


class Visit(Generic[_Ref]):
    """A page as the walk has found it.

    Attributes:
        ref: the reference that led to it.
        node: the node on it; None: there is no sound one.
        span: how many pages it takes, overflow included.
        fault: why there is no sound node; None: there is one.
        is_repeated: whether the page was reached before, by another reference.
        claimed: the pages that count as reached since this visit.
        buckets: the buckets in it, where it is a leaf.
        below: the references that the walk follows next. The caller may replace them.
    """

    __slots__ = ("_below", "_buckets", "claimed", "fault", "is_repeated", "node", "ref", "span")

    def __init__(self, ref: _Ref) -> None:
        """Begin without a node."""
        self.ref = ref
        self.node: Node | None = None
        self.span = 1
        self.fault: CorruptError | None = None
        self.is_repeated = False
        self.claimed = range(0)
        self._buckets: list[NestedBucket] | None = None
        self._below: list[_Ref] | None = None

    @property
    def buckets(self) -> list[NestedBucket]:
        """The buckets in the leaf."""
        if self._buckets is None:
            node = self.node
            self._buckets = nested_buckets(node) if isinstance(node, Leaf) else []
        return self._buckets

    @property
    def below(self) -> list[_Ref]:
        """The references to children, or to the roots of nested buckets."""
        if self._below is None:
            if isinstance(self.node, Branch):
                self._below = list(_children(self.node, self.ref))
            else:
                nested = self.ref.nested
                self._below = [nested(each.root, each.name) for each in self.buckets if each.root]
        return self._below

    @below.setter
    def below(self, below: list[_Ref]) -> None:
        self._below = below


def _children(branch: Branch, ref: _Ref) -> Iterator[_Ref]:
    keys = branch.keys
    # Keys out of order tell nothing about what is between them.
    is_ordered = all(lower < upper for lower, upper in pairwise(keys))
    ends = [*keys[1:], ref.below]
    for least, child, below in zip(keys, branch.children, ends, strict=True):
        if isinstance(child, int):
            yield ref.child(child, least, below) if is_ordered else ref.child(child, None, None)


class PageWalk:
    """A walk over the pages of one file. Several versions of it may be visited one by one.

    Attributes:
        pager: reads the pages.
        reached: for each page of the file: 1 if a visit has reached it, else 0.
    """

    def __init__(self, disk: Readable, page_size: int, end: int | None = None) -> None:
        """Begin on the file on `disk`; pages from `end` on belong to no node. None: of the file."""
        available = disk.size() // page_size
        self._end = available if end is None else end
        self.pager = Pager(disk, page_size)
        self.reached = bytearray(min(self._end, available))

    def nodes(self, start: _Ref) -> Iterator[Visit[_Ref]]:
        """Visit the tree at `start`, with all buckets nested in it, in the order of the keys.

        Each page comes before those that it refers to. A page that was reached before is visited,
        as a fault, but not read again.

        Raises:
            OSError: the file cannot be read.
        """
        # A stack of its own: buckets may nest deeper than Python's bears.
        pending = [start]
        while pending:
            visit = Visit(pending.pop())
            try:
                self._read(visit)
            except CorruptError as error:
                visit.fault = error
            yield visit
            if visit.node is not None:
                below = visit.below
                below.reverse()
                pending += below

    def read_freelist(self, page: int) -> tuple[tuple[int, ...], int]:
        """Return the ids on a freelist page, and how many pages it takes; they are reached now.

        Raises:
            CorruptError: there is no sound freelist. A page of another kind is not reached by that.
            OSError: the file cannot be read.
        """
        visit = Visit(PageRef(page))
        header = self._first(visit)[1]
        if header.kind == FREELIST_PAGE:
            self._claim(visit, header)
        return decode_freelist(*self.pager.read(page)), visit.span

    def forget(self, visit: Visit[_Ref]) -> None:
        """Release the pages that a visit claimed, so that another reference may reach them."""
        self.reached[visit.claimed.start : visit.claimed.stop] = bytes(len(visit.claimed))

    def _read(self, visit: Visit[_Ref]) -> None:
        data, header = self._first(visit)
        # Claimed before the overflow is read: pages that overflow into each other are not read
        # again and again.
        self._claim(visit, header)
        if visit.ref.depth > MAX_DEPTH:
            raise CorruptError(f"the tree is deeper than {MAX_DEPTH} levels")
        if header.overflow:
            data, header = self.pager.read(visit.ref.page)
        visit.node = decode_node(data, header)

    def _first(self, visit: Visit[_Ref]) -> tuple[bytes, Header]:
        """Return the first page of a node, without its overflow, and its header."""
        page = visit.ref.page
        if not FIRST_NODE_PAGE <= page < self._end:
            raise CorruptError(f"page {page} is out of bounds")
        if page < len(self.reached) and self.reached[page]:
            visit.is_repeated = True
            raise CorruptError(f"page {page} is referred to twice")
        return self.pager.read_first(page)

    def _claim(self, visit: Visit[_Ref], header: Header) -> None:
        """Count a page and its overflow as reached.

        Raises:
            CorruptError: one of them was reached before, or is out of bounds.
        """
        page = visit.ref.page
        end = page + header.overflow + 1
        if end > self._end:
            raise CorruptError(f"page {page} overflows out of bounds")
        taken = self.reached.find(1, page, end)
        stop = end if taken < 0 else taken
        # Also where one is taken: what comes before that is not passed again.
        self.reached[page:stop] = b"\1" * (stop - page)
        visit.claimed = range(page, stop)
        visit.span = header.overflow + 1
        if taken >= 0:
            raise CorruptError(f"page {taken} is referred to twice")
