"""The pages of a file: the kind of each, and the bucket that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from orlop.bolt.meta import NO_FREELIST
from orlop.bolt.node import BUCKET_FLAG, Branch
from orlop.bolt.page import decode_bucket, decode_freelist, decode_node
from orlop.bolt.pager import FIRST_NODE_PAGE, Pager
from orlop.bolt.tools.place import Place, inside, path_of
from orlop.bolt.versions import read_version
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orlop.bolt.disk import Readable
    from orlop.bolt.meta import Meta
    from orlop.bolt.node import Leaf, Node
    from orlop.bolt.page import Header

_T = TypeVar("_T")

META: Final = "meta"
FREELIST: Final = "freelist"
BRANCH: Final = "branch"
LEAF: Final = "leaf"
OVERFLOW: Final = "overflow"
FREE: Final = "free"
UNREACHABLE: Final = "unreachable"
DAMAGED: Final = "damaged"

_REACHED, _LISTED = 1, 2


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        id: its number.
        kind: meta, freelist, branch, leaf, overflow (more of the page before), free,
            unreachable (and not in the freelist that the file keeps) or damaged.
        elements: how many it holds.
        used_bytes: of it and its overflow.
        span: how many pages it takes, overflow included.
        depth: on which level of its bucket's tree it lies: the root on 1; 0: on none.
        place: the bucket that it belongs to; None: the outermost, or none.
    """

    id: int
    kind: str
    elements: int = 0
    used_bytes: int = 0
    span: int = 1
    depth: int = 0
    place: Place | None = None

    @property
    def bucket_path(self) -> tuple[bytes, ...]:
        """The names of the buckets that lead to it: the last 32, if there are more."""
        return path_of(self.place)


@dataclass(frozen=True, slots=True)
class Subtree:
    """A page that is still to be visited, with its place."""

    page: int
    place: Place | None = None
    depth: int = 1


class PageWalk:
    """Visits every page once: the reachable ones in the order of the tree, then the rest."""

    def __init__(self, disk: Readable, meta: Meta) -> None:
        """Walk over the version of `meta`."""
        self._pager = Pager(disk, meta.page_size)
        self._meta = meta
        self._state = bytearray(min(meta.high_water, disk.size() // meta.page_size))

    def pages(self) -> Iterator[Page]:
        """Iterate over all pages.

        Raises:
            OSError: the file cannot be read.
        """
        for page, _ in self.nodes(self._meta.root, with_metas=True):
            yield page
        yield from self.idle()

    def idle(self) -> Iterator[Page]:
        """Iterate over the pages that were not reached so far."""
        for number in range(FIRST_NODE_PAGE, len(self._state)):
            if not self._state[number] & _REACHED:
                yield Page(number, self._idle_kind(number))

    def nodes(self, root: int, *, with_metas: bool = False) -> Iterator[tuple[Page, Node | None]]:
        """Iterate over the pages that can be reached, and were not before, with their nodes.

        Raises: as `pages`.
        """
        if with_metas:
            for number in range(min(FIRST_NODE_PAGE, len(self._state))):
                self._state[number] |= _REACHED
                yield Page(number, META), None
            if self._meta.freelist != NO_FREELIST:
                yield from self._freelist(self._meta.freelist)
        pending = [Subtree(root)]
        while pending:
            subtree = pending.pop()
            if self._is_reached(subtree.page):
                continue
            try:
                header, node = self._read(subtree.page)
            except CorruptError:
                yield self._damaged(subtree), None
                continue
            kind = BRANCH if isinstance(node, Branch) else LEAF
            page = Page(
                subtree.page,
                kind,
                len(node.keys),
                node.size,
                header.overflow + 1,
                subtree.depth,
                subtree.place,
            )
            yield page, node
            yield from self._overflow(page)
            pending += below(node, subtree)

    def _is_reached(self, page: int) -> bool:
        return page < len(self._state) and bool(self._state[page] & _REACHED)

    def _idle_kind(self, page: int) -> str:
        is_free = self._meta.freelist == NO_FREELIST or self._state[page] & _LISTED
        return FREE if is_free else UNREACHABLE

    def _freelist(self, number: int) -> Iterator[tuple[Page, None]]:
        try:
            header = self._claim(number)
            ids = decode_freelist(*self._pager.read(number))
        except CorruptError:
            yield self._damaged(Subtree(number, depth=0)), None
            return
        for each in ids:
            if each < len(self._state):
                self._state[each] |= _LISTED
        page = Page(number, FREELIST, len(ids), 8 * len(ids), header.overflow + 1)
        yield page, None
        yield from self._overflow(page)

    def _read(self, number: int) -> tuple[Header, Node]:
        header = self._claim(number)
        data, _ = self._pager.read(number)
        return header, decode_node(data, header)

    def _claim(self, number: int) -> Header:
        """Note a page and its overflow as reached, before all of it is read.

        Raises:
            CorruptError: one of them was reached already, or does not exist.
        """
        header = self._pager.read_first(number)[1]
        end = number + header.overflow + 1
        if end > len(self._state):
            raise CorruptError(f"page {number} is out of bounds")
        for each in range(number, end):
            if self._state[each] & _REACHED:
                raise CorruptError(f"page {each} is referred to twice")
            self._state[each] |= _REACHED
        return header

    def _damaged(self, subtree: Subtree) -> Page:
        if subtree.page < len(self._state):
            self._state[subtree.page] |= _REACHED
        return Page(subtree.page, DAMAGED, depth=subtree.depth, place=subtree.place)

    def _overflow(self, page: Page) -> Iterator[tuple[Page, None]]:
        for number in range(page.id + 1, page.id + page.span):
            yield Page(number, OVERFLOW, depth=page.depth, place=page.place), None


def below(node: Node, subtree: Subtree) -> Iterator[Subtree]:
    """Iterate over the subtrees below a node: children, or the trees of nested buckets."""
    if isinstance(node, Branch):
        for child in node.children:
            if isinstance(child, int):
                yield Subtree(child, subtree.place, subtree.depth + 1)
        return
    for key, root, _ in nested(node):
        if root:
            yield Subtree(root, inside(subtree.place, key))


def nested(leaf: Leaf) -> Iterator[tuple[bytes, int, Leaf | None]]:
    """Iterate over the sound buckets in a leaf: name, and root page (0: none) or inline leaf."""
    for key, value, flag in zip(leaf.keys, leaf.values, leaf.flags, strict=True):
        if flag & BUCKET_FLAG and isinstance(value, bytes):
            try:
                header, inline = decode_bucket(value)
            except CorruptError:
                continue
            yield key, header.root, inline


def pages(path: Path) -> list[Page]:
    """Return all pages of a file, in the order of its tree; then the idle ones.

    Raises: as `walk_pages`.
    """
    return walk_pages(path, list)


def walk_pages(path: Path, function: Callable[[Iterator[Page]], _T]) -> _T:
    """Return the result of a function on all pages of a file; no lock is taken.

    It is called again where the file was changed meanwhile.

    Raises:
        CorruptError: the file is no database.
        StaleReadError: it changes all the time.
        OSError: it cannot be read.
    """
    return read_version(
        path, lambda version: function(PageWalk(version.disk, version.meta).pages())
    )
