"""The checker: every fault that bbolt's own check knows, and the order of keys.

It never raises for what a file holds, visits each page once, whatever refers to whatever,
and takes no more memory than the file is large. Every fault names its page and the buckets
that lead to it.

Source: go.etcd.io/bbolt, tx_check.go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orlop.bolt.btree import MAX_DEPTH
from orlop.bolt.file_lock import lock_holders
from orlop.bolt.meta import NO_FREELIST, Meta, newest_meta, read_metas
from orlop.bolt.node import BUCKET_FLAG, Branch, Leaf
from orlop.bolt.page import FREELIST_PAGE, decode_bucket, decode_freelist, decode_node
from orlop.bolt.pager import FIRST_NODE_PAGE, Pager
from orlop.bolt.tools.place import Place, inside, path_of
from orlop.bolt.versions import read_version
from orlop.kv.errors import CorruptError, EmptyFileError, FileBusyError

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.bolt.disk import Readable
    from orlop.bolt.meta import Metas
    from orlop.bolt.node import Node
    from orlop.bolt.page import Header
    from orlop.bolt.versions import Version

MAX_FAULTS = 10_000
"""More faults than these are counted, but not told."""

_USED, _FREE = 1, 2
_KEY_BYTES_TOLD = 64


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        message: what.
        page: on which page; None: of the whole file.
        bucket_path: the names of the buckets that lead to it: the last 32, if there are more.
    """

    message: str
    page: int | None = None
    bucket_path: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a check.

    Attributes:
        transaction: the version that was checked; None where there is none.
        pages: how many pages it uses or has used.
        faults: what is wrong; none: the file is sound.
        untold: how many more faults there are, after the first 10,000.
        sound_metas: which of the two metas are sound, by their slot.
        is_tree_sound: whether all that the version holds can be read, whatever is wrong with
            the other meta, the freelist, or the end of the file.
        is_empty: whether the file never held anything, as far as it shows.
    """

    transaction: int | None
    pages: int
    faults: list[Fault]
    untold: int = 0
    sound_metas: tuple[int, ...] = ()
    is_tree_sound: bool = False
    is_empty: bool = False


def check_file(path: Path, *, meta: int | None = None) -> Report:
    """Check a version of a database file. No lock is taken.

    Where the file is changed meanwhile it is checked again: what is reported is damage of one
    version that nothing was written to.

    Args:
        path: the file.
        meta: the slot (0 or 1) whose version to check; None: the newest sound one.

    Raises:
        StaleReadError: the file changes all the time.
        OSError: the file cannot be read.
    """
    try:
        return read_version(path, lambda version: _check_version(path, version, meta))
    except CorruptError as error:
        is_empty = isinstance(error, EmptyFileError)
        return Report(None, 0, [Fault(str(error))], is_empty=is_empty)


def _check_version(path: Path, version: Version, slot: int | None) -> Report:
    report = check_disk(version.disk, meta=slot, metas=version.metas)
    if slot is not None and report.faults and report.transaction != version.meta.transaction:
        holders = [str(holder) for holder in lock_holders(path.stat())]
        if holders:
            raise FileBusyError(
                f"the version before the newest is overwritten by {', '.join(holders)} while it "
                "is checked: check the newest one, or stop that process"
            )
    return report


def check_disk(disk: Readable, *, meta: int | None = None, metas: Metas | None = None) -> Report:
    """Check a version of the database on `disk`; see `check_file`.

    Args:
        disk: where the pages are.
        meta: the slot whose version to check; None: the newest sound one.
        metas: what stands in the places of the metas; None: they are read, too.
    """
    metas = metas or read_metas(disk.read)
    sound = tuple(slot for slot, each in enumerate(metas) if isinstance(each, Meta))
    try:
        chosen = newest_meta(metas if meta is None else (metas[meta],))
    except CorruptError as error:
        return Report(None, 0, [Fault(str(error))], sound_metas=sound)
    check = _Check(disk, chosen)
    for each in metas:
        if isinstance(each, CorruptError):
            check.beside(str(each), None)
    check.run()
    return Report(
        chosen.transaction,
        chosen.high_water,
        check.faults,
        check.untold,
        sound,
        is_tree_sound=check.tree_fault is None,
    )


def tree_fault(disk: Readable, meta: Meta) -> Fault | None:
    """Return the first thing that keeps a version from being read whole; None: it can be.

    Raises:
        OSError: the file cannot be read.
    """
    check = _Check(disk, meta)
    check.run()
    return check.tree_fault


@dataclass(slots=True)
class _Subtree:
    """A node still to be visited, with the bounds of its keys."""

    page: int
    place: Place | None
    depth: int = 1
    least: bytes | None = None
    below: bytes | None = None


@dataclass(slots=True)
class _Check:
    disk: Readable
    meta: Meta
    faults: list[Fault] = field(default_factory=list)
    untold: int = 0
    tree_fault: Fault | None = None
    state: bytearray = field(default_factory=bytearray)
    pending: list[_Subtree] = field(default_factory=list)

    def run(self) -> None:
        """Visit all reachable pages, then compare them with the free ones."""
        available = self.disk.size() // self.meta.page_size
        if self.meta.high_water > available:
            self.beside(
                f"{self.meta.high_water} pages are in use, the file holds {available}", None
            )
        self.state = bytearray(min(self.meta.high_water, available))
        pager = Pager(self.disk, self.meta.page_size)
        has_freelist = self._freelist(pager)
        self.pending.append(_Subtree(self.meta.root, None))
        while self.pending:
            subtree = self.pending.pop()
            try:
                self._visit(pager, subtree)
            except CorruptError as error:
                self._fault(str(error), subtree)
        if has_freelist:
            self._compare()

    def beside(self, message: str, page: int | None) -> None:
        """Note a fault that is none of the tree."""
        self._note(Fault(message, page))

    def _fault(self, message: str, subtree: _Subtree) -> None:
        fault = Fault(message, subtree.page, path_of(subtree.place))
        self.tree_fault = self.tree_fault or fault
        self._note(fault)

    def _note(self, fault: Fault) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(fault)
        else:
            self.untold += 1

    def _freelist(self, pager: Pager) -> bool:
        """Note which pages are free; return whether the file says so."""
        page = self.meta.freelist
        if page == NO_FREELIST:
            return False
        try:
            ids = self._freelist_ids(pager, page)
        except CorruptError as error:
            self.beside(f"freelist: {error}", page)
            return False
        for each in ids:
            if not FIRST_NODE_PAGE <= each < self.meta.high_water:
                self.beside(f"freelist: page {each} is out of bounds", page)
            elif each < len(self.state):
                if self.state[each] & _FREE:
                    self.beside(f"freelist: page {each} is listed twice", page)
                self.state[each] |= _FREE
        return True

    def _freelist_ids(self, pager: Pager, page: int) -> tuple[int, ...]:
        header = pager.read_first(page)[1]
        if header.kind != FREELIST_PAGE:
            # Not claimed: it may well be a page of the tree, and a sound one.
            raise CorruptError(f"page {page} is no freelist (kind {header.kind:#x})")
        self._claim(page, header)
        return decode_freelist(*pager.read(page))

    def _compare(self) -> None:
        for page in range(FIRST_NODE_PAGE, len(self.state)):
            if self.state[page] == _USED | _FREE:
                self.beside(f"page {page} is reachable but free", page)
            elif not self.state[page]:
                self.beside(f"page {page} is neither reachable nor free", page)

    def _claim(self, page: int, header: Header) -> None:
        """Note a page and its overflow as used.

        Raises:
            CorruptError: one of them is used already, or does not exist.
        """
        end = page + header.overflow + 1
        if not FIRST_NODE_PAGE <= page < self.meta.high_water:
            raise CorruptError(f"page {page} is out of bounds")
        if end > self.meta.high_water:
            raise CorruptError(f"page {page} overflows out of bounds")
        for each in range(page, end):
            # What comes before the first that is taken stays noted: so nobody passes it again.
            if self.state[each] & _USED:
                raise CorruptError(f"page {each} is referred to twice")
            self.state[each] |= _USED

    def _visit(self, pager: Pager, subtree: _Subtree) -> None:
        page = subtree.page
        if not FIRST_NODE_PAGE <= page < self.meta.high_water:
            raise CorruptError(f"page {page} is out of bounds")
        data, header = pager.read_first(page)
        self._claim(page, header)
        if subtree.depth > MAX_DEPTH:
            raise CorruptError(f"the tree is deeper than {MAX_DEPTH} levels")
        if header.overflow:
            # Only now: pages that overflow into each other are not read again and again.
            data, header = pager.read(page)
        node = decode_node(data, header)
        self._keys(node, subtree)
        if isinstance(node, Branch):
            self._branch(node, subtree)
        else:
            self._leaf(node, subtree)

    def _keys(self, node: Node, subtree: _Subtree) -> None:
        keys = node.keys
        for index in range(1, len(keys)):
            if keys[index - 1] >= keys[index]:
                self._fault(
                    f"key {index} ({_told(keys[index])}) is not above the one before", subtree
                )
        if not keys:
            if subtree.least is not None:
                self._fault("a node below a branch is empty", subtree)
            return
        if subtree.least is not None and keys[0] < subtree.least:
            self._fault(
                f"first key {_told(keys[0])} is below its parent's {_told(subtree.least)}", subtree
            )
        if subtree.below is not None and keys[-1] >= subtree.below:
            self._fault(
                f"last key {_told(keys[-1])} reaches into the next node ({_told(subtree.below)})",
                subtree,
            )

    def _branch(self, branch: Branch, subtree: _Subtree) -> None:
        below = [*branch.keys[1:], subtree.below]
        for least, child, end in zip(branch.keys, branch.children, below, strict=True):
            if isinstance(child, int):
                self.pending.append(_Subtree(child, subtree.place, subtree.depth + 1, least, end))

    def _leaf(self, leaf: Leaf, subtree: _Subtree) -> None:
        for key, value, flag in zip(leaf.keys, leaf.values, leaf.flags, strict=True):
            if not flag & BUCKET_FLAG or not isinstance(value, bytes):
                if subtree.place is None:
                    self._fault(f"the outermost bucket holds the value {_told(key)}", subtree)
                continue
            nested = _Subtree(subtree.page, inside(subtree.place, key))
            try:
                header, inline = decode_bucket(value)
            except CorruptError as error:
                self._fault(str(error), nested)
                continue
            if inline is None:
                self.pending.append(_Subtree(header.root, nested.place))
            else:
                self._keys(inline, nested)
                if BUCKET_FLAG in inline.flags:
                    self._fault("an inline bucket holds a bucket", nested)


def _told(key: bytes) -> str:
    return repr(key) if len(key) <= _KEY_BYTES_TOLD else f"{key[:_KEY_BYTES_TOLD]!r}..."
