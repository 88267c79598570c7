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
from orlop.bolt.tools.pages import DAMAGED, FREE, LEAF, UNREACHABLE, PageList
from orlop.bolt.tools.walk import GROUP_DEPTH, names_of, nested_buckets, nested_path
from orlop.bolt.versions import read_version
from orlop.kv.errors import CorruptError
from orlop.schema import names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orlop.bolt.tools.pages import Page
    from orlop.bolt.tools.walk import BucketPath, NestedBucket, PageRef, Visit
    from orlop.bolt.versions import Version

MAX_LARGEST_VALUES: Final = 5
MAX_BUCKET_SIZES: Final = 100


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
    size = version.disk.size()
    in_use = meta.high_water * meta.page_size
    if size < in_use:
        raise CorruptError(f"the file has {size} bytes, of {in_use} in use: it was cut")
    count = _Count(meta.page_size)
    listing = PageList(version.disk, meta)
    for page in listing.metas():
        count.kinds[page.kind] += 1
    for page, visit in listing.nodes(meta.root):
        count.add(page, visit)
    for page in listing.idle():
        count.kinds[page.kind] += 1
    # Those of the version before that the walk has not met: only it needs them.
    older = (each for each in version.metas if isinstance(each, Meta) and each != meta)
    pending = sum(page.kind != DAMAGED for each in older for page, _ in listing.nodes(each.root))
    return _result(size, meta, count, pending)


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
        largest=[LargeValue(size, names_of(path)) for size, _, path in sorted(count.largest)[::-1]],
        sizes=dict(_largest_first(count.sizes)),
    )


def _largest_first(
    sizes: dict[BucketPath, BucketSize],
) -> Iterator[tuple[tuple[bytes, ...], BucketSize]]:
    ordered = sorted(sizes.items(), key=lambda item: (-item[1].used_bytes, names_of(item[0])))
    for path, total in ordered[:MAX_BUCKET_SIZES]:
        yield names_of(path), total


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
    largest: list[tuple[int, int, BucketPath]] = field(default_factory=list)
    sizes: dict[BucketPath, BucketSize] = field(default_factory=dict)
    _named: int = 0
    _whole_pages: int = 0
    _loose_bytes: dict[tuple[BucketPath | None, str], int] = field(default_factory=dict)

    def compacted_pages(self, meta: Meta) -> int:
        """Return how many pages the same contents take when they are written in order."""
        loose = sum(-(-taken // self.page_size) for taken in self._loose_bytes.values())
        return FIRST_NODE_PAGE + (meta.freelist != NO_FREELIST) + self._whole_pages + loose

    def add(self, page: Page, visit: Visit[PageRef] | None) -> None:
        """Count a page, and its contents."""
        self.kinds[page.kind] += 1
        if visit is None:
            return
        bucket = page.bucket
        self.node_bytes += page.span * self.page_size
        self.used_bytes += page.used_bytes
        self.depth = max(self.depth, page.depth)
        if page.depth == 1 and bucket is not None:
            self.buckets += 1
        for total in self._sizes_of(bucket):
            total.pages += page.span
            total.used_bytes += page.used_bytes
        if (page.kind == LEAF and page.depth == 1) or page.span > 1:
            self._whole_pages += page.span
        else:
            tree = (bucket, page.kind)
            self._loose_bytes[tree] = self._loose_bytes.get(tree, 0) + page.used_bytes
        if isinstance(visit.node, Leaf):
            self._add_leaf(visit.node, visit.buckets, bucket)

    def _add_leaf(self, leaf: Leaf, buckets: list[NestedBucket], path: BucketPath | None) -> None:
        """Count the contents of a leaf, and of the inline buckets on it at any depth.

        No writer puts a bucket into an inline one, so only a damaged file has many levels; each
        of them is decoded from the one before.
        """
        pending = [(leaf, buckets, path, 0)]
        while pending:
            leaf, buckets, path, level = pending.pop()
            self._add_values(leaf, path)
            if level > MAX_NESTING:
                raise CorruptError(
                    f"inline buckets lie more than {MAX_NESTING} deep in each other, in "
                    f"{names_of(path)[0]!r}"
                )
            for bucket in buckets:
                inline = bucket.inline
                if inline is None:
                    continue
                self.inline_buckets += 1
                nested = nested_path(path, bucket.name)
                if nested.depth <= GROUP_DEPTH:
                    for total in self._sizes_of(nested)[-1:]:
                        total.used_bytes += inline.size
                pending.append((inline, nested_buckets(inline), nested, level + 1))

    def _add_values(self, leaf: Leaf, path: BucketPath | None) -> None:
        self.nesting = max(self.nesting, 0 if path is None else path.depth)
        values = 0
        for key, value, flag in zip(leaf.keys, leaf.values, leaf.flags, strict=True):
            if not flag & BUCKET_FLAG:
                values += 1
                self._add_value(len(value) if isinstance(value, bytes) else 0, path, key)
        self.keys += values
        for total in self._sizes_of(path):
            total.keys += values

    def _add_value(self, size: int, path: BucketPath | None, key: bytes) -> None:
        if len(self.largest) < MAX_LARGEST_VALUES or size > self.largest[0][0]:
            # The number keeps two of one size from being compared by their paths.
            self._named += 1
            heapq.heappush(self.largest, (size, -self._named, nested_path(path, key)))
            if len(self.largest) > MAX_LARGEST_VALUES:
                heapq.heappop(self.largest)

    def _sizes_of(self, path: BucketPath | None) -> list[BucketSize]:
        """Return the sums that a bucket is part of."""
        found: list[BucketSize] = []
        ancestor = None if path is None else path.group or path
        while ancestor is not None:
            parent = ancestor.parent
            if parent is None or parent.name == names.SCHEMA:
                found.insert(0, self.sizes.setdefault(ancestor, BucketSize()))
            ancestor = parent
        return found
