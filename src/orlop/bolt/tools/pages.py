"""The pages of a file: the kind of each, and the bucket that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from orlop.bolt.meta import NO_FREELIST
from orlop.bolt.node import Branch
from orlop.bolt.pager import FIRST_NODE_PAGE
from orlop.bolt.tools.walk import PageRef, PageWalk, names_of
from orlop.bolt.versions import read_version
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orlop.bolt.disk import Readable
    from orlop.bolt.meta import Meta
    from orlop.bolt.tools.walk import BucketPath, Visit

_T = TypeVar("_T")

META: Final = "meta"
FREELIST: Final = "freelist"
BRANCH: Final = "branch"
LEAF: Final = "leaf"
OVERFLOW: Final = "overflow"
FREE: Final = "free"
UNREACHABLE: Final = "unreachable"
DAMAGED: Final = "damaged"


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
        bucket: the bucket that it belongs to; None: the outermost, or none.
    """

    id: int
    kind: str
    elements: int = 0
    used_bytes: int = 0
    span: int = 1
    depth: int = 0
    bucket: BucketPath | None = None

    @property
    def bucket_path(self) -> tuple[bytes, ...]:
        """The names of the buckets that lead to it: the last 32, if there are more."""
        return names_of(self.bucket)


class PageList:
    """Lists every page of a version once: those of the tree in its order, then the rest.

    Attributes:
        walk: the walk over the pages.
    """

    def __init__(self, disk: Readable, meta: Meta) -> None:
        """List the pages of the version of `meta`."""
        self.walk = PageWalk(disk, meta.page_size, meta.high_water)
        self._meta = meta
        self._free: set[int] = set()

    def pages(self) -> Iterator[Page]:
        """Iterate over all pages.

        Raises:
            OSError: the file cannot be read.
        """
        yield from self.metas()
        for page, _ in self.nodes(self._meta.root):
            yield page
        yield from self.idle()

    def metas(self) -> Iterator[Page]:
        """Iterate over the metas, and the pages of the freelist."""
        reached = self.walk.reached
        for number in range(min(FIRST_NODE_PAGE, len(reached))):
            reached[number] = 1
            yield Page(number, META)
        number = self._meta.freelist
        if number == NO_FREELIST:
            return
        try:
            ids, span = self.walk.read_freelist(number)
        except CorruptError:
            yield self._damaged(PageRef(number, depth=0))
            return
        self._free.update(ids)
        page = Page(number, FREELIST, len(ids), 8 * len(ids), span)
        yield page
        yield from _overflow(page)

    def nodes(self, root: int) -> Iterator[tuple[Page, Visit[PageRef] | None]]:
        """Iterate over the pages below a root that were not reached before, with their visits.

        Raises: as `pages`.
        """
        for visit in self.walk.nodes(PageRef(root)):
            node, ref = visit.node, visit.ref
            if visit.is_repeated:
                continue
            if node is None:
                yield self._damaged(ref), None
                continue
            kind = BRANCH if isinstance(node, Branch) else LEAF
            elements = len(node.keys)
            page = Page(ref.page, kind, elements, node.size, visit.span, ref.depth, ref.bucket)
            yield page, visit
            for each in _overflow(page):
                yield each, None

    def idle(self) -> Iterator[Page]:
        """Iterate over the pages that were not reached so far."""
        has_list = self._meta.freelist != NO_FREELIST
        reached = self.walk.reached
        number = reached.find(0, FIRST_NODE_PAGE)
        while number >= 0:
            is_free = not has_list or number in self._free
            yield Page(number, FREE if is_free else UNREACHABLE)
            number = reached.find(0, number + 1)

    def _damaged(self, ref: PageRef) -> Page:
        if ref.page < len(self.walk.reached):
            self.walk.reached[ref.page] = 1
        return Page(ref.page, DAMAGED, depth=ref.depth, bucket=ref.bucket)


def _overflow(page: Page) -> Iterator[Page]:
    for number in range(page.id + 1, page.id + page.span):
        yield Page(number, OVERFLOW, depth=page.depth, bucket=page.bucket)


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
        path, lambda version: function(PageList(version.disk, version.meta).pages())
    )
