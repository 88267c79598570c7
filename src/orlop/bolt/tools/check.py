"""The checker: every fault that bbolt's own check knows, and the order of keys.

Every fault names its page and the buckets that lead to it. How the pages are walked over:
`orlop.bolt.tools.walk`.

Source: go.etcd.io/bbolt, tx_check.go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import lt
from typing import TYPE_CHECKING

from orlop.bolt.file_lock import lock_holders
from orlop.bolt.meta import NO_FREELIST, Meta, newest_meta, read_metas
from orlop.bolt.node import BUCKET_FLAG, Leaf
from orlop.bolt.pager import FIRST_NODE_PAGE
from orlop.bolt.tools.walk import PageRef, PageWalk, names_of
from orlop.bolt.versions import read_version
from orlop.kv.errors import CorruptError, EmptyFileError, FileBusyError

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.bolt.disk import Readable
    from orlop.bolt.meta import Metas
    from orlop.bolt.node import Node
    from orlop.bolt.tools.walk import Visit
    from orlop.bolt.versions import Version

MAX_FAULTS = 10_000
"""More faults than these are counted, but not told."""

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
class _Check:
    disk: Readable
    meta: Meta
    faults: list[Fault] = field(default_factory=list)
    untold: int = 0
    tree_fault: Fault | None = None

    def run(self) -> None:
        """Visit[PageRef] all reachable pages, then compare them with the free ones."""
        available = self.disk.size() // self.meta.page_size
        if self.meta.high_water > available:
            self.beside(
                f"{self.meta.high_water} pages are in use, the file holds {available}", None
            )
        walk = PageWalk(self.disk, self.meta.page_size, self.meta.high_water)
        free = self._freelist(walk)
        for visit in walk.nodes(PageRef(self.meta.root)):
            if visit.fault is not None:
                self._fault(str(visit.fault), visit.ref)
            else:
                self._visit(visit)
        if free is not None:
            self._compare(walk.reached, free)

    def beside(self, message: str, page: int | None) -> None:
        """Note a fault that is none of the tree."""
        self._note(Fault(message, page))

    def _fault(self, message: str, ref: PageRef) -> None:
        fault = Fault(message, ref.page, names_of(ref.bucket))
        self.tree_fault = self.tree_fault or fault
        self._note(fault)

    def _note(self, fault: Fault) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(fault)
        else:
            self.untold += 1

    def _freelist(self, walk: PageWalk) -> bytearray | None:
        """Return which pages are free: 1 for each of them; None: the file does not say so."""
        page = self.meta.freelist
        if page == NO_FREELIST:
            return None
        try:
            ids, _ = walk.read_freelist(page)
        except CorruptError as error:
            self.beside(f"freelist: {error}", page)
            return None
        free = bytearray(len(walk.reached))
        for each in ids:
            if not FIRST_NODE_PAGE <= each < self.meta.high_water:
                self.beside(f"freelist: page {each} is out of bounds", page)
            elif each < len(free):
                if free[each]:
                    self.beside(f"freelist: page {each} is listed twice", page)
                free[each] = 1
        return free

    def _compare(self, reached: bytearray, free: bytearray) -> None:
        for page in range(FIRST_NODE_PAGE, len(reached)):
            if reached[page] != free[page]:
                continue
            if free[page]:
                self.beside(f"page {page} is reachable but free", page)
            else:
                self.beside(f"page {page} is neither reachable nor free", page)

    def _visit(self, visit: Visit[PageRef]) -> None:
        node, ref = visit.node, visit.ref
        if node is None:
            return
        self._keys(node, ref)
        if not isinstance(node, Leaf):
            return
        if ref.bucket is None and not all(flag & BUCKET_FLAG for flag in node.flags):
            for key, flag in zip(node.keys, node.flags, strict=True):
                if not flag & BUCKET_FLAG:
                    self._fault(f"the outermost bucket holds the value {_told(key)}", ref)
        for bucket in visit.buckets:
            if bucket.fault is not None:
                self._fault(str(bucket.fault), ref.nested(ref.page, bucket.name))
            elif bucket.inline is not None:
                self._inline(bucket.inline, ref, bucket.name)

    def _inline(self, leaf: Leaf, ref: PageRef, name: bytes) -> None:
        keys = leaf.keys
        # Most records are inline buckets, and sound: those need no reference.
        if BUCKET_FLAG not in leaf.flags and all(map(lt, keys, keys[1:])):
            return
        inline = ref.nested(ref.page, name)
        self._keys(leaf, inline)
        if BUCKET_FLAG in leaf.flags:
            self._fault("an inline bucket holds a bucket", inline)

    def _keys(self, node: Node, ref: PageRef) -> None:
        keys = node.keys
        if not all(map(lt, keys, keys[1:])):
            for index in range(1, len(keys)):
                if keys[index - 1] >= keys[index]:
                    self._fault(
                        f"key {index} ({_told(keys[index])}) is not above the one before", ref
                    )
        if not keys:
            if ref.depth > 1:
                self._fault("a node below a branch is empty", ref)
            return
        if ref.least is not None and keys[0] < ref.least:
            self._fault(f"first key {_told(keys[0])} is below its parent's {_told(ref.least)}", ref)
        if ref.below is not None and keys[-1] >= ref.below:
            self._fault(
                f"last key {_told(keys[-1])} reaches into the next node ({_told(ref.below)})", ref
            )


def _told(key: bytes) -> str:
    return repr(key) if len(key) <= _KEY_BYTES_TOLD else f"{key[:_KEY_BYTES_TOLD]!r}..."
