"""Salvage: what can still be read of a damaged file, in a new one.

The source is never written. Three things are tried, the best first:

1. a version whose tree is sound: the newest, else the one before it;
2. every page that can still be reached, around those that are damaged;
3. leaves that nothing reaches any more: those below a damaged branch, or older copies of a
   damaged leaf. Where such a leaf belongs is known by its keys: they lie where the damage
   left a gap, and look like what that bucket holds. What fits nowhere goes to a bucket
   `lost+found`, under the number of its page.

What comes from the third is marked in the report: it may be older than the last commit.

Source: the idea of going back one meta, and of clearing pages, is that of bbolt's `surgery`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from orlop.bolt.birth import empty_database
from orlop.bolt.compaction import copy_bucket
from orlop.bolt.disk import FileDisk, create_file
from orlop.bolt.engine import BoltEngine
from orlop.bolt.meta import NO_FREELIST, Meta, read_metas
from orlop.bolt.node import BUCKET_FLAG, Branch, Leaf
from orlop.bolt.page import LEAF_PAGE, decode_bucket, decode_freelist, decode_header, decode_node
from orlop.bolt.pager import FIRST_NODE_PAGE, Pager
from orlop.bolt.reader import version_of
from orlop.inspect.bolt.check import is_tree_sound
from orlop.kv.errors import CorruptError, EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orlop.bolt.bucket import BoltBucket
    from orlop.bolt.disk import Disk
    from orlop.bolt.node import Node

LOST_AND_FOUND: Final = b"lost+found"
_NESTING_MAX: Final = 200
_TRANSACTION_LEAVES: Final = 500


@dataclass(frozen=True, slots=True)
class Loss:
    """A page that could not be read, and what may have been on it.

    Attributes:
        page: its number.
        bucket_path: the buckets that lead to it.
        least: no key on it was below this; None: not known.
        below: all keys on it were below this; None: not known.
        why: what is wrong with it.
    """

    page: int
    bucket_path: tuple[bytes, ...]
    least: bytes | None
    below: bytes | None
    why: str


@dataclass(slots=True)
class Salvaged:
    """What became of a damaged file.

    Attributes:
        transaction: the version that was taken; None: from loose pages alone.
        is_whole: whether that version was sound, so that nothing of it is lost.
        entries: how many values and buckets were taken from pages that can be reached.
        losses: the pages that could not be read.
        recovered: leaves that nothing reached, with the bucket that they were put into.
    """

    transaction: int | None = None
    is_whole: bool = False
    entries: int = 0
    losses: list[Loss] = field(default_factory=list)
    recovered: list[tuple[int, tuple[bytes, ...]]] = field(default_factory=list)


def salvage(source: Path, target: Path) -> Salvaged:
    """Write what can still be read of `source` to the new file `target`.

    No lock is taken; nobody should be writing to a file that needs this.

    Raises:
        FileExistsError: there is a `target` already.
        CorruptError: nothing at all was found.
        OSError: the system refused.
    """
    if target.exists():
        raise FileExistsError(17, "is there already; name a new file", str(target))
    disk = FileDisk.for_reading(source)
    try:
        metas = sorted(
            (meta for meta in read_metas(disk.read) if isinstance(meta, Meta)),
            key=lambda meta: -meta.transaction,
        )
        page_size = metas[0].page_size if metas else _likely_page_size(disk)
        create_file(target, empty_database(page_size), source.stat().st_mode & 0o777)
        report = _filled(disk, metas, page_size, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    finally:
        disk.close()
    return report


def _filled(disk: Disk, metas: list[Meta], page_size: int, target: Path) -> Salvaged:
    engine = BoltEngine(FileDisk.for_writing(target, timeout=0))
    try:
        report = _salvage(disk, metas, page_size, engine)
    finally:
        engine.close()
    if not report.entries and not report.recovered and not report.is_whole:
        raise CorruptError("the file holds nothing that can be recognised")
    return report


def _likely_page_size(disk: Disk) -> int:
    """Find the page size of a file without metas: that at which pages carry their own number."""
    sizes = [1024 << shift for shift in range(7)]

    def hits(size: int) -> int:
        pages = range(FIRST_NODE_PAGE, min(disk.size() // size, 4096))
        return sum(decode_header(disk.read(page * size, 16)).id == page for page in pages)

    return max(sizes, key=hits)


def _salvage(disk: Disk, metas: list[Meta], page_size: int, target: BoltEngine) -> Salvaged:
    for meta in metas:
        if is_tree_sound(disk, meta):
            with version_of(disk, meta) as transaction:
                copy_bucket(transaction.root, target)
                count = sum(1 for _ in transaction.root.items())
            return Salvaged(meta.transaction, is_whole=True, entries=count)
    work = _Work(disk, page_size, target)
    if metas:
        work.report.transaction = metas[0].transaction
        work.take_reachable(metas[0])
    work.take_loose(metas)
    return work.report


class _Work:
    """Takes what is reachable, then what is loose, into the target."""

    def __init__(self, disk: Disk, page_size: int, target: BoltEngine) -> None:
        self._disk = disk
        self._pager = Pager(disk, page_size)
        self._page_size = page_size
        self._target = target
        self._reached: set[int] = set()
        self._is_loose = False
        self.report = Salvaged()

    def take_reachable(self, meta: Meta) -> None:
        """Copy every leaf that can still be reached."""
        self.report.entries += self._copy(meta.root, meta.sequence, ())

    def _copy(self, root: int, sequence: int, path: tuple[bytes, ...]) -> int:
        """Copy the tree at page `root` into the bucket `path`; return how many entries."""
        count = leaves = 0
        writing = self._target.begin(writable=True)
        start = Loss(root, path, None, None, "")
        for below, counter, leaf in self._leaves(start, sequence):
            if leaves == _TRANSACTION_LEAVES:
                writing.commit()
                writing, leaves = self._target.begin(writable=True), 0
            leaves += 1
            bucket = _opened(writing.root, below)
            if bucket is not None:
                if counter:
                    bucket.set_sequence(counter)
                count += _put_leaf(bucket, leaf)
        writing.commit()
        return count

    def _leaves(self, start: Loss, sequence: int) -> Iterator[tuple[tuple[bytes, ...], int, Leaf]]:
        """Walk leniently: a page that cannot be read is a loss, and the walk goes on."""
        pending = [(start.page, sequence, start)]
        while pending:
            page, sequence, place = pending.pop()
            node = self._node(page, place)
            if isinstance(node, Branch):
                pending += [
                    (child, sequence, _child_place(node, index, child, place))
                    for index, child in enumerate(node.children)
                    if isinstance(child, int)
                ]
            elif node is not None:
                yield place.bucket_path, sequence, node
                if len(place.bucket_path) < _NESTING_MAX:
                    pending += self._nested(node, place.bucket_path)

    def _nested(self, leaf: Leaf, path: tuple[bytes, ...]) -> Iterator[tuple[int, int, Loss]]:
        for key, header in _bucket_headers(leaf):
            if header[0]:
                yield header[0], header[1], Loss(header[0], (*path, key), None, None, "")

    def _node(self, page: int, place: Loss) -> Node | None:
        if page in self._reached:
            self._lose(place, f"page {page} is referred to twice")
            return None
        self._reached.add(page)
        try:
            data, header = self._pager.read(page)
            node = decode_node(data, header)
        except CorruptError as error:
            self._lose(place, str(error))
            return None
        self._reached.update(range(page, page + header.overflow + 1))
        return node

    def _lose(self, place: Loss, why: str) -> None:
        # A loose leaf may be an old one, whose pages are long part of something else.
        if not self._is_loose:
            self.report.losses.append(replace(place, why=why))

    def take_loose(self, metas: list[Meta]) -> None:
        """Copy leaves that nothing reaches to where they fit; the rest to `lost+found`."""
        self._is_loose = True
        free = self._known_free(metas)
        loose = {
            page: leaf
            for page in range(FIRST_NODE_PAGE, self._disk.size() // self._page_size)
            if page not in self._reached
            and page not in free
            and (leaf := self._loose_leaf(page)) is not None
        }
        # What lies in the bucket of another loose leaf is found through that one.
        inside = {header[0] for leaf in loose.values() for _, header in _bucket_headers(leaf)}
        for page in [*(page for page in loose if page not in inside), *loose]:
            if page not in self._reached:
                path = self._home(loose[page]) or (LOST_AND_FOUND, b"%d" % page)
                if self._copy(page, 0, path):
                    self.report.recovered.append((page, path))

    def _known_free(self, metas: list[Meta]) -> set[int]:
        for meta in metas:
            if meta.freelist != NO_FREELIST:
                try:
                    data, header = self._pager.read(meta.freelist)
                    return {meta.freelist, *decode_freelist(data, header)}
                except CorruptError:
                    continue
        return set()

    def _loose_leaf(self, page: int) -> Leaf | None:
        try:
            data, header = self._pager.read(page)
            if header.kind != LEAF_PAGE or not header.elements:
                return None
            node = decode_node(data, header)
        except CorruptError:
            return None
        if not isinstance(node, Leaf) or node.keys != sorted(set(node.keys)):
            return None
        return node

    def _home(self, leaf: Leaf) -> tuple[bytes, ...] | None:
        """Return the bucket in which the damage left a gap that these keys fit into."""
        for loss in self.report.losses:
            is_bounded = loss.least is not None or loss.below is not None
            fits = (loss.least is None or leaf.keys[0] >= loss.least) and (
                loss.below is None or leaf.keys[-1] < loss.below
            )
            if fits and self._looks_like(leaf, loss.bucket_path, is_bounded=is_bounded):
                return loss.bucket_path
        return None

    def _looks_like(self, leaf: Leaf, path: tuple[bytes, ...], *, is_bounded: bool) -> bool:
        """Whether a leaf may be of the bucket `path`: by its records, where they are known."""
        if not path:
            return all(flag & BUCKET_FLAG for flag in leaf.flags) and b"v1" in leaf.keys
        mark = _RECORDS.get(path[-1])
        if mark is None and len(path) == _SNAPSHOTS_DEPTH and path[-2] == b"snapshots":
            mark = b"name"
        if mark is None:
            return is_bounded
        return all(mark in keys for keys in self._keys_inside(leaf))

    def _keys_inside(self, leaf: Leaf) -> Iterator[list[bytes]]:
        """Iterate over the keys of each bucket in a leaf; a plain value counts as a misfit."""
        for value, flag in zip(leaf.values, leaf.flags, strict=True):
            if not flag & BUCKET_FLAG or not isinstance(value, bytes):
                yield []
                continue
            try:
                header, inline = decode_bucket(value)
                node = inline or decode_node(*self._pager.read(header.root))
            except CorruptError:
                continue  # that record is damaged itself, and tells nothing
            if isinstance(node, Leaf):
                yield node.keys


def _child_place(branch: Branch, index: int, child: int, place: Loss) -> Loss:
    below = place.below if index + 1 == len(branch.keys) else branch.keys[index + 1]
    return Loss(child, place.bucket_path, branch.keys[index], below, "")


def _bucket_headers(leaf: Leaf) -> Iterator[tuple[bytes, tuple[int, int]]]:
    for key, value, flag in zip(leaf.keys, leaf.values, leaf.flags, strict=True):
        if flag & BUCKET_FLAG and isinstance(value, bytes):
            try:
                header, _ = decode_bucket(value)
            except CorruptError:
                continue
            yield key, (header.root, header.sequence)


_RECORDS: Final = {
    b"blob": b"size",
    b"images": b"target",
    b"containers": b"spec",
    b"leases": b"createdat",
    b"ingests": b"ref",
    b"sandboxes": b"sandboxer",
}
"""containerd's buckets of records, and a key that each of their records has."""

_SNAPSHOTS_DEPTH: Final = 4


def _opened(root: BoltBucket, path: tuple[bytes, ...]) -> BoltBucket | None:
    """Open the bucket at `path`, made where it is missing; None where a value is in the way."""
    bucket = root
    try:
        for name in path:
            bucket = bucket.create_bucket_if_absent(name)
    except EngineError:
        return None
    return bucket


def _put_leaf(bucket: BoltBucket, leaf: Leaf) -> int:
    """Copy a leaf's values and small buckets, but for what is there already; return how many."""
    taken = 0
    for key, value, flag in zip(leaf.keys, leaf.values, leaf.flags, strict=True):
        if bucket.find(key) is not None or not isinstance(value, bytes):
            continue
        try:
            if not flag & BUCKET_FLAG:
                bucket.put(key, value)
            else:
                header, inline = decode_bucket(value)
                nested = bucket.create_bucket(key)
                nested.set_sequence(header.sequence)
                if inline is not None:
                    _put_leaf(nested, inline)
        except EngineError:
            continue
        taken += 1
    return taken
