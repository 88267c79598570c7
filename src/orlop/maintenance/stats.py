"""A file in numbers: the contents of its pages, their fill, the gain of a compaction."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from orlop.bolt.limits import MAX_NESTING
from orlop.bolt.meta import NO_FREELIST, Meta
from orlop.bolt.node import BUCKET_FLAG, Leaf
from orlop.bolt.pager import FIRST_NODE_PAGE
from orlop.bolt.tools.pages import DAMAGED, FREE, LEAF, UNREACHABLE, PageWalk, nested
from orlop.bolt.tools.place import SHARE_DEPTH, inside, path_of
from orlop.bolt.versions import read_version
from orlop.kv.errors import CorruptError
from orlop.schema import names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orlop.bolt.node import Node
    from orlop.bolt.tools.pages import Page
    from orlop.bolt.tools.place import Place
    from orlop.bolt.versions import Version

LARGEST: Final = 5
"""How many of the largest values are named."""

SIZES: Final = 100
"""Of how many buckets the sizes are told."""


@dataclass(slots=True)
class BucketSize:
    """The size of a bucket's pages, with those of all buckets inside.

    Attributes:
        pages: of its own; a bucket so small that it lies in its parent's page has none.
        used_bytes: on those pages, and in that place.
        keys: values in it, without nested buckets.
    """

    pages: int = 0
    used_bytes: int = 0
    keys: int = 0


@dataclass(frozen=True, slots=True)
class LargeValue:
    """A value, by the keys that lead to it (the last 32, if there are more)."""

    size: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """A file in numbers; sizes are in bytes.

    Attributes:
        file_bytes: the size of the file.
        page_size: of one page.
        transaction: the number of the newest version, which is counted.
        pages: how many there are of each kind.
        node_bytes: of all branches and leaves, overflow included.
        used_bytes: what of that is used.
        fill: the share of it.
        free_bytes: of the pages that are free or unreachable, and of those behind the last
            that was ever used.
        pending_pages: how many free pages the version before still needs.
        pending_bytes: the same, in bytes.
        compaction_saves: what a compaction would make the file smaller by, about.
        depth: levels of the deepest tree.
        nesting: how many buckets the innermost one lies in.
        buckets: nested buckets with pages of their own.
        inline_buckets: small ones, inside of their parent's page.
        keys: values, without nested buckets.
        largest: the largest values, the largest first.
        sizes: of the outermost buckets, and of the namespaces in `v1`, by their path: of the
            100 that use most, the largest first.
    """

    file_bytes: int
    page_size: int
    transaction: int
    pages: dict[str, int]
    node_bytes: int
    used_bytes: int
    fill: float
    free_bytes: int
    pending_pages: int
    pending_bytes: int
    compaction_saves: int
    depth: int
    nesting: int
    buckets: int
    inline_buckets: int
    keys: int
    largest: list[LargeValue]
    sizes: dict[tuple[bytes, ...], BucketSize]


def statistics(path: Path) -> Statistics:
    """Count the contents of a file. No lock is taken.

    Raises:
        CorruptError: the file is no database.
        OSError: it cannot be read.
    """
    return read_version(path, _counted)


def _counted(version: Version) -> Statistics:
    meta = version.meta
    count = _Count(meta.page_size)
    walk = PageWalk(version.disk, meta)
    for page, node in walk.nodes(meta.root, with_metas=True):
        count.take(page, node)
    for page in walk.idle():
        count.kinds[page.kind] += 1
    # Those of the version before that the walk has not met: only it needs them.
    older = (each for each in version.metas if isinstance(each, Meta) and each != meta)
    pending = sum(page.kind != DAMAGED for each in older for page, _ in walk.nodes(each.root))
    return _result(version.disk.size(), meta, count, pending)


def _result(size: int, meta: Meta, count: _Count, pending: int) -> Statistics:
    idle = count.kinds[FREE] + count.kinds[UNREACHABLE]
    return Statistics(
        file_bytes=size,
        page_size=meta.page_size,
        transaction=meta.transaction,
        pages={kind: number for kind, number in count.kinds.items() if number},
        node_bytes=count.node_bytes,
        used_bytes=count.used_bytes,
        fill=count.used_bytes / count.node_bytes if count.node_bytes else 0.0,
        free_bytes=idle * meta.page_size + max(size - meta.high_water * meta.page_size, 0),
        pending_pages=pending,
        pending_bytes=pending * meta.page_size,
        compaction_saves=max(size - count.compacted_pages(meta) * meta.page_size, 0),
        depth=count.depth,
        nesting=count.nesting,
        buckets=count.buckets,
        inline_buckets=count.inline_buckets,
        keys=count.keys,
        largest=[
            LargeValue(size, path_of(place)) for size, _, place in sorted(count.largest)[::-1]
        ],
        sizes=dict(_largest_first(count.sizes)),
    )


def _largest_first(
    sizes: dict[Place, BucketSize],
) -> Iterator[tuple[tuple[bytes, ...], BucketSize]]:
    ordered = sorted(sizes.items(), key=lambda item: (-item[1].used_bytes, path_of(item[0])))
    for place, taken in ordered[:SIZES]:
        yield path_of(place), taken


@dataclass(slots=True)
class _Count:
    """Adds up the pages of one version as they come."""

    page_size: int
    kinds: Counter[str] = field(default_factory=Counter)
    node_bytes: int = 0
    used_bytes: int = 0
    depth: int = 0
    nesting: int = 0
    buckets: int = 0
    inline_buckets: int = 0
    keys: int = 0
    largest: list[tuple[int, int, Place]] = field(default_factory=list)
    sizes: dict[Place, BucketSize] = field(default_factory=dict)
    _named: int = 0
    _whole_pages: int = 0
    _loose_bytes: dict[tuple[Place | None, str], int] = field(default_factory=dict)

    def compacted_pages(self, meta: Meta) -> int:
        """Return how many pages the same contents take when they are written in order."""
        loose = sum(-(-taken // self.page_size) for taken in self._loose_bytes.values())
        return FIRST_NODE_PAGE + (meta.freelist != NO_FREELIST) + self._whole_pages + loose

    def take(self, page: Page, node: Node | None) -> None:
        """Count a page, and its contents."""
        self.kinds[page.kind] += 1
        if node is None:
            return
        self.node_bytes += page.span * self.page_size
        self.used_bytes += page.used_bytes
        self.depth = max(self.depth, page.depth)
        if page.depth == 1 and page.place is not None:
            self.buckets += 1
        for taken in self._sizes_of(page.place):
            taken.pages += page.span
            taken.used_bytes += page.used_bytes
        if (page.kind == LEAF and page.depth == 1) or page.span > 1:
            self._whole_pages += page.span
        else:
            tree = (page.place, page.kind)
            self._loose_bytes[tree] = self._loose_bytes.get(tree, 0) + page.used_bytes
        if isinstance(node, Leaf):
            self._take_leaf(node, page.place)

    def _take_leaf(self, leaf: Leaf, place: Place | None) -> None:
        """Count the contents of a leaf, and of the inline buckets on it at any depth.

        No writer puts a bucket into an inline one, so only a damaged file has many levels; each
        of them is decoded from the one before.
        """
        pending = [(leaf, place, 0)]
        while pending:
            leaf, place, level = pending.pop()
            self._take_values(leaf, place)
            if level > MAX_NESTING:
                raise CorruptError(
                    f"inline buckets lie more than {MAX_NESTING} deep in each other, in "
                    f"{path_of(place)[0]!r}"
                )
            for name, root, inline in nested(leaf):
                if root or inline is None:
                    continue
                self.inline_buckets += 1
                lying = inside(place, name)
                if lying.depth <= SHARE_DEPTH:
                    for taken in self._sizes_of(lying)[-1:]:
                        taken.used_bytes += inline.size
                pending.append((inline, lying, level + 1))

    def _take_values(self, leaf: Leaf, place: Place | None) -> None:
        self.nesting = max(self.nesting, 0 if place is None else place.depth)
        values = 0
        for key, value, flag in zip(leaf.keys, leaf.values, leaf.flags, strict=True):
            if not flag & BUCKET_FLAG:
                values += 1
                self._take_value(len(value) if isinstance(value, bytes) else 0, place, key)
        self.keys += values
        for taken in self._sizes_of(place):
            taken.keys += values

    def _take_value(self, size: int, place: Place | None, key: bytes) -> None:
        if len(self.largest) < LARGEST or size > self.largest[0][0]:
            # The number keeps two of one size from being compared by their places.
            self._named += 1
            heapq.heappush(self.largest, (size, -self._named, inside(place, key)))
            if len(self.largest) > LARGEST:
                heapq.heappop(self.largest)

    def _sizes_of(self, place: Place | None) -> list[BucketSize]:
        """Return the sums that a bucket is part of."""
        found: list[BucketSize] = []
        share = None if place is None else place.share or place
        while share is not None:
            outside = share.outside
            if outside is None or outside.name == names.SCHEMA:
                found.insert(0, self.sizes.setdefault(share, BucketSize()))
            share = outside
        return found
