"""The file page by page: what each one is, and who it belongs to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orlop.bolt.disk import FileDisk
from orlop.bolt.meta import NO_FREELIST, newest_meta, read_metas
from orlop.bolt.node import BUCKET_FLAG, Branch, Node
from orlop.bolt.page import decode_bucket, decode_freelist, decode_node
from orlop.bolt.pager import FIRST_NODE_PAGE, Pager
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orlop.bolt.meta import Meta

META, FREELIST, BRANCH, LEAF, OVERFLOW, FREE, DAMAGED = (
    "meta",
    "freelist",
    "branch",
    "leaf",
    "overflow",
    "free",
    "damaged",
)


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        id: its number.
        kind: meta, freelist, branch, leaf, overflow, free or damaged.
        elements: how many it holds.
        used_bytes: how many of its bytes are used; overflow counts with the page it continues.
        bucket_path: the buckets that lead to it.
        depth: how deep it lies in its bucket's tree.
    """

    id: int
    kind: str
    elements: int = 0
    used_bytes: int = 0
    bucket_path: tuple[bytes, ...] = ()
    depth: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """A file in numbers; sizes are in bytes.

    Attributes:
        file_bytes: the size of the file.
        page_size: of one page.
        pages: how many there are of each kind.
        used_bytes: what is used on branches and leaves.
        free_bytes: pages that hold nothing; what compaction would save, roughly.
        keys: values, without nested buckets.
        buckets: nested buckets with pages of their own.
        inline_buckets: small ones, inside of their parent's page.
        depth: levels of the deepest tree.
    """

    file_bytes: int
    page_size: int
    pages: dict[str, int]
    used_bytes: int
    free_bytes: int
    keys: int
    buckets: int
    inline_buckets: int
    depth: int


class _Walk:
    """Visits every page that can be reached, once; what is damaged is a page of that kind."""

    def __init__(self, pager: Pager, meta: Meta) -> None:
        self._pager = pager
        self._meta = meta
        self._seen: set[int] = set()
        self.keys = self.buckets = self.inline_buckets = 0

    def pages(self) -> Iterator[Page]:
        yield from (Page(number, META) for number in range(FIRST_NODE_PAGE))
        self._seen.update(range(FIRST_NODE_PAGE))
        if self._meta.freelist != NO_FREELIST:
            yield from self._freelist(self._meta.freelist)
        pending: list[tuple[int, tuple[bytes, ...], int]] = [(self._meta.root, (), 1)]
        while pending:
            number, path, depth = pending.pop()
            if number in self._seen:
                continue
            yield from self._node(number, path, depth, pending)
        for number in range(FIRST_NODE_PAGE, self._meta.high_water):
            if number not in self._seen:
                yield Page(number, FREE)

    def _freelist(self, number: int) -> Iterator[Page]:
        try:
            data, header = self._pager.read(number)
            ids = decode_freelist(data, header)
        except CorruptError:
            self._seen.add(number)
            yield Page(number, DAMAGED)
            return
        yield from self._with_overflow(
            Page(number, FREELIST, len(ids), 8 * len(ids)), header.overflow
        )

    def _node(
        self,
        number: int,
        path: tuple[bytes, ...],
        depth: int,
        pending: list[tuple[int, tuple[bytes, ...], int]],
    ) -> Iterator[Page]:
        try:
            data, header = self._pager.read(number)
            node = decode_node(data, header)
        except CorruptError:
            self._seen.add(number)
            yield Page(number, DAMAGED, bucket_path=path, depth=depth)
            return
        kind = BRANCH if isinstance(node, Branch) else LEAF
        page = Page(number, kind, len(node.keys), node.size, path, depth)
        yield from self._with_overflow(page, header.overflow)
        pending += self._below(node, path, depth)

    def _below(
        self, node: Node, path: tuple[bytes, ...], depth: int
    ) -> Iterator[tuple[int, tuple[bytes, ...], int]]:
        if isinstance(node, Branch):
            for child in node.children:
                if isinstance(child, int):
                    yield child, path, depth + 1
            return
        for key, value, flag in zip(node.keys, node.values, node.flags, strict=True):
            if not flag & BUCKET_FLAG or not isinstance(value, bytes):
                self.keys += 1
                continue
            try:
                header, inline = decode_bucket(value)
            except CorruptError:
                continue
            if inline is not None:
                self.inline_buckets += 1
                self.keys += len(inline.keys)
            else:
                self.buckets += 1
                yield header.root, (*path, key), 1

    def _with_overflow(self, page: Page, overflow: int) -> Iterator[Page]:
        self._seen.add(page.id)
        yield page
        end = min(page.id + overflow + 1, self._meta.high_water)
        for number in range(page.id + 1, end):
            if number not in self._seen:
                self._seen.add(number)
                yield Page(number, OVERFLOW, bucket_path=page.bucket_path, depth=page.depth)


def pages(path: Path) -> Iterator[Page]:
    """Iterate over all pages of a file, in the order of its tree. No lock is taken.

    Raises:
        CorruptError: the file is no database.
        OSError: it cannot be read.
    """
    disk = FileDisk.for_reading(path)
    try:
        meta = newest_meta(read_metas(disk.read))
        yield from _Walk(Pager(disk, meta.page_size), meta).pages()
    finally:
        disk.close()


def statistics(path: Path) -> Statistics:
    """Count what is in a file. No lock is taken.

    Raises:
        CorruptError: the file is no database.
        OSError: it cannot be read.
    """
    disk = FileDisk.for_reading(path)
    try:
        meta = newest_meta(read_metas(disk.read))
        walk = _Walk(Pager(disk, meta.page_size), meta)
        kinds: Counter[str] = Counter()
        used = depth = 0
        for page in walk.pages():
            kinds[page.kind] += 1
            if page.kind in {BRANCH, LEAF}:
                used += page.used_bytes
                depth = max(depth, page.depth)
        size = disk.size()
        beyond = max(size - meta.high_water * meta.page_size, 0)
        return Statistics(
            file_bytes=size,
            page_size=meta.page_size,
            pages=dict(kinds),
            used_bytes=used,
            free_bytes=kinds[FREE] * meta.page_size + beyond,
            keys=walk.keys,
            buckets=walk.buckets,
            inline_buckets=walk.inline_buckets,
            depth=depth,
        )
    finally:
        disk.close()
