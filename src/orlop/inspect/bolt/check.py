"""The checker: every fault that bbolt's own check knows, and the order of keys.

It never raises for what a file holds, and each page is visited once, whatever refers to
whatever. Every fault names its page and the buckets that lead to it.

Source: go.etcd.io/bbolt, tx_check.go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orlop.bolt.disk import FileDisk
from orlop.bolt.meta import NO_FREELIST, Meta, newest_meta, read_metas
from orlop.bolt.node import BUCKET_FLAG, Branch, Leaf
from orlop.bolt.page import decode_bucket, decode_freelist, decode_node
from orlop.bolt.pager import FIRST_NODE_PAGE, Pager
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.bolt.disk import Disk
    from orlop.bolt.node import Node


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: what, on which page, and under which buckets."""

    message: str
    page: int | None = None
    bucket_path: tuple[bytes, ...] = ()
    is_beside_the_tree: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What the checker found.

    Attributes:
        transaction: the version that was checked; None where there is none.
        pages: how many pages it uses or has used.
        faults: what is wrong; none: the file is sound.
        sound_metas: which of the two metas are sound, by their slot.
    """

    transaction: int | None
    pages: int
    faults: list[Fault]
    sound_metas: tuple[int, ...] = ()

    @property
    def tree_faults(self) -> list[Fault]:
        """The faults of the version itself, not of the other meta or the freelist."""
        return [fault for fault in self.faults if not fault.is_beside_the_tree]


def check_file(path: Path, *, meta: int | None = None) -> Report:
    """Check a version of a database file. No lock is taken.

    Args:
        path: the file.
        meta: the slot (0 or 1) whose version to check; None: the newest sound one.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        disk = FileDisk.for_reading(path)
    except CorruptError as error:
        return Report(None, 0, [Fault(str(error))])
    try:
        return check_disk(disk, meta=meta)
    finally:
        disk.close()


def check_disk(disk: Disk, *, meta: int | None = None) -> Report:
    """Check a version of the database on `disk`; see `check_file`."""
    metas = read_metas(disk.read)
    sound = tuple(slot for slot, each in enumerate(metas) if isinstance(each, Meta))
    faults = [
        Fault(str(each), is_beside_the_tree=True)
        for each in metas
        if isinstance(each, CorruptError)
    ]
    try:
        chosen = newest_meta(metas if meta is None else (metas[meta],))
    except CorruptError as error:
        return Report(None, 0, [Fault(str(error))], sound)
    check = _Check(disk, chosen)
    check.faults += faults
    check.run()
    return Report(chosen.transaction, chosen.high_water, check.faults, sound)


_NAMES_SHOWN = 32


@dataclass(frozen=True, slots=True)
class _Place:
    """A bucket, by its name and the bucket that it lies in.

    Linked, so that buckets nested a hundred thousand deep cost no more than others.
    """

    name: bytes
    outer: _Place | None

    def path(self) -> tuple[bytes, ...]:
        """Return the names that lead here: the last ones, where they are very many."""
        names: list[bytes] = []
        place: _Place | None = self
        while place is not None and len(names) < _NAMES_SHOWN:
            names.append(place.name)
            place = place.outer
        return tuple(reversed(names))


def _path(place: _Place | None) -> tuple[bytes, ...]:
    return () if place is None else place.path()


@dataclass(slots=True)
class _Subtree:
    """A node still to be visited, with what its place promises of its keys."""

    page: int
    place: _Place | None
    least: bytes | None = None
    below: bytes | None = None


@dataclass(slots=True)
class _Check:
    disk: Disk
    meta: Meta
    faults: list[Fault] = field(default_factory=list)
    used: dict[int, int] = field(default_factory=dict)
    pending: list[_Subtree] = field(default_factory=list)

    def run(self) -> None:
        """Visit everything that can be reached, then compare with what is free."""
        available = self.disk.size() // self.meta.page_size
        if self.meta.high_water > available:
            self.faults.append(
                Fault(f"{self.meta.high_water} pages are in use, the file holds {available}")
            )
        pager = Pager(self.disk, self.meta.page_size)
        free = self._freelist(pager)
        self.pending.append(_Subtree(self.meta.root, None))
        while self.pending:
            self._visit(pager, self.pending.pop())
        if free is not None:
            self._compare(free)

    def _freelist(self, pager: Pager) -> set[int] | None:
        page = self.meta.freelist
        if page == NO_FREELIST:
            return None
        try:
            self._require_bounds(page)
            data, header = pager.read(page)
            ids = decode_freelist(data, header)
        except CorruptError as error:
            self.faults.append(Fault(f"freelist: {error}", page, is_beside_the_tree=True))
            return None
        self._claim(page, header.overflow + 1, None)
        seen: set[int] = set()
        for each in ids:
            if not FIRST_NODE_PAGE <= each < self.meta.high_water:
                self._beside(f"freelist: page {each} is out of bounds", page)
            elif each in seen:
                self._beside(f"freelist: page {each} is listed twice", page)
            seen.add(each)
        return seen

    def _compare(self, free: set[int]) -> None:
        for page in range(FIRST_NODE_PAGE, min(self.meta.high_water, self._pages_on_disk())):
            if page in self.used and page in free:
                self._beside(f"page {page} is reachable but free", page)
            elif page not in self.used and page not in free:
                self._beside(f"page {page} is neither reachable nor free", page)

    def _beside(self, message: str, page: int) -> None:
        self.faults.append(Fault(message, page, is_beside_the_tree=True))

    def _pages_on_disk(self) -> int:
        return self.disk.size() // self.meta.page_size

    def _require_bounds(self, page: int) -> None:
        if not FIRST_NODE_PAGE <= page < self.meta.high_water:
            raise CorruptError(f"page {page} is out of bounds")

    def _claim(self, page: int, span: int, place: _Place | None) -> bool:
        """Note the pages as used; False where one of them was used already."""
        if page + span > self.meta.high_water:
            self.faults.append(Fault(f"page {page} overflows out of bounds", page, _path(place)))
            return False
        taken = [each for each in range(page, page + span) if each in self.used]
        for each in taken:
            self.faults.append(Fault(f"page {each} is referred to twice", each, _path(place)))
        for each in range(page, page + span):
            self.used[each] = page
        return not taken

    def _visit(self, pager: Pager, subtree: _Subtree) -> None:
        page = subtree.page
        try:
            self._require_bounds(page)
            data, header = pager.read(page)
        except CorruptError as error:
            self.faults.append(Fault(str(error), page, _path(subtree.place)))
            return
        if not self._claim(page, header.overflow + 1, subtree.place):
            return
        try:
            node = decode_node(data, header)
        except CorruptError as error:
            self.faults.append(Fault(str(error), page, _path(subtree.place)))
            return
        self._keys(node, subtree)
        if isinstance(node, Branch):
            self._branch(node, subtree)
        else:
            self._leaf(node, page, subtree.place)

    def _keys(self, node: Node, subtree: _Subtree) -> None:
        keys = node.keys
        for index, key in enumerate(keys):
            if index and keys[index - 1] >= key:
                self._fault(f"key {index} ({key!r}) is not above the one before", subtree)
        if not keys:
            if subtree.least is not None:
                self._fault("a node below a branch is empty", subtree)
            return
        if subtree.least is not None and keys[0] < subtree.least:
            self._fault(f"first key {keys[0]!r} is below its parent's {subtree.least!r}", subtree)
        if subtree.below is not None and keys[-1] >= subtree.below:
            self._fault(
                f"last key {keys[-1]!r} reaches into the next node ({subtree.below!r})", subtree
            )

    def _fault(self, message: str, subtree: _Subtree) -> None:
        self.faults.append(Fault(message, subtree.page, _path(subtree.place)))

    def _branch(self, branch: Branch, subtree: _Subtree) -> None:
        for index, child in enumerate(branch.children):
            last = index + 1 == len(branch.keys)
            below = subtree.below if last else branch.keys[index + 1]
            if isinstance(child, int):
                self.pending.append(_Subtree(child, subtree.place, branch.keys[index], below))

    def _leaf(self, leaf: Leaf, page: int, place: _Place | None) -> None:
        for key, value, flag in zip(leaf.keys, leaf.values, leaf.flags, strict=True):
            if not flag & BUCKET_FLAG or not isinstance(value, bytes):
                continue
            nested = _Place(key, place)
            try:
                header, inline = decode_bucket(value)
            except CorruptError as error:
                self.faults.append(Fault(str(error), page, nested.path()))
                continue
            if inline is None:
                self.pending.append(_Subtree(header.root, nested))
            else:
                self._keys(inline, _Subtree(page, nested))
                if BUCKET_FLAG in inline.flags:
                    self.faults.append(
                        Fault("an inline bucket holds a bucket", page, nested.path())
                    )
