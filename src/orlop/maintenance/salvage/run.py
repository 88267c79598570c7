"""One salvage from beginning to end; the package lists the sources that are tried."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from orlop.bolt.disk import FileDisk, create_file, sync_directory
from orlop.bolt.engine import BoltEngine
from orlop.bolt.file_lock import lock_holders, writers_of
from orlop.bolt.initialization import empty_database, require_initialized
from orlop.bolt.meta import NO_FREELIST, Meta, read_metas, suspect_metas
from orlop.bolt.node import Leaf
from orlop.bolt.page import HEADER, MAX_PAGE_SIZE, MIN_PAGE_SIZE
from orlop.bolt.pager import FIRST_NODE_PAGE
from orlop.bolt.reader import version_of
from orlop.bolt.tools.check import check_file, tree_fault
from orlop.bolt.tools.compaction import copy_bucket
from orlop.bolt.tools.walk import nested_buckets, nested_path
from orlop.concurrency.ownership import TemporaryName
from orlop.kv.errors import CorruptError
from orlop.maintenance.salvage.reading import LenientDisk, Reader, Spot
from orlop.maintenance.salvage.recognition import Gaps, Recognition
from orlop.maintenance.salvage.report import Loss, Recovered, Salvaged
from orlop.maintenance.salvage.writing import Sink

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path


LOST_AND_FOUND: Final = b"lost+found"

_PAGES_GUESSED_BY: Final = 4096
_ROOTS_TRIED: Final = 8


def salvage(source: Path, target: Path) -> Salvaged:
    """Write the readable part of `source` to the new file `target`.

    The new file has been checked and is durable when it gets its name. No lock is taken; who
    has the file open for writing is in the report.

    Raises:
        FileExistsError: there is a `target` already.
        CorruptError: nothing at all was found.
        NestingTooDeepError: the file is sound, but nested deeper than can be written.
        OSError: the system refused.
    """
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "is there already; name a new file", str(target))
    disk = FileDisk.for_reading(source)
    writers = _writers(source)
    try:
        require_initialized(disk)
        with TemporaryName(target) as temporary:
            attempt = _Attempt(LenientDisk(disk), temporary, source.stat().st_mode & 0o777)
            report = attempt.whole() or attempt.parts()
            if report.is_empty:
                raise CorruptError(f"{source} holds nothing that can be recognised")
            faults = check_file(temporary).faults
            if faults:
                raise CorruptError(f"what was salvaged is not sound: {faults[0].message}")
            os.link(temporary, target)
    finally:
        disk.close()
    sync_directory(target.parent)
    report.writers = tuple(sorted(writers | _writers(source)))
    return report


def _writers(path: Path) -> set[tuple[int, str]]:
    """Return the processes that have a file open for writing, or hold its lock."""
    status = path.stat()
    holders = [(holder.number, holder.command) for holder in lock_holders(status)]
    found = {*writers_of(status), *holders}
    return {(number, command) for number, command in found if number != os.getpid()}


class _Attempt:
    """Reads a damaged file, and writes the recovered leaves to a file of its own."""

    def __init__(self, disk: LenientDisk, path: Path, mode: int) -> None:
        self._disk = disk
        self._path = path
        self._mode = mode
        found = read_metas(disk.read_or_nothing)
        sound = [meta for meta in found if isinstance(meta, Meta)]
        # A meta whose checksum is wrong may still say where the tree begins.
        self._metas = sound or suspect_metas(disk.read_or_nothing)
        self._metas.sort(key=lambda meta: -meta.transaction)
        self._faults = [] if sound else [str(each) for each in found]
        self._page_size = self._metas[0].page_size if self._metas else _likely_page_size(disk)

    def whole(self) -> Salvaged | None:
        """Copy the newest version with a sound tree, unless parts of the newest are more."""
        report = Salvaged(is_whole=True)
        for meta in () if self._faults else self._metas:
            fault = tree_fault(self._disk, meta)
            if fault is not None:
                why = f"transaction {meta.transaction} is damaged: {fault.message}"
                report.lose(_of_version(fault.page or 0, why))
                continue
            if self._loses_by(meta):
                return None
            engine = self._new_engine()
            try:
                with version_of(self._disk, meta) as transaction:
                    copy_bucket(transaction.root, engine)
            finally:
                engine.close()
            report.transaction, report.entries = meta.transaction, self._reachable(meta)
            return report
        return None

    def _loses_by(self, meta: Meta) -> bool:
        """Whether a version has less than the reachable part of the newest.

        The last transaction may have been most of the file: then going back is no rescue.
        """
        newest = self._metas[0]
        return meta is not newest and self._reachable(meta) < self._reachable(newest)

    def _reachable(self, meta: Meta) -> int:
        """Count the values and buckets of a version that can be read."""
        count = [0]

        def add(_spot: Spot, leaf: Leaf) -> dict[bytes, bool]:
            count[0] += len(leaf.keys)
            inline = [each.inline for each in nested_buckets(leaf) if each.inline]
            count[0] += sum(len(each.keys) for each in inline)
            return dict.fromkeys(leaf.keys, False)

        Reader(self._disk, self._page_size).walk(Spot(meta.root), add, lambda _loss: None)
        return count[0]

    def parts(self) -> Salvaged:
        """Copy the leaves reachable around the damage, then the loose ones."""
        engine = self._new_engine()
        try:
            work = _Work(self._disk, self._page_size, engine)
            for slot, why in enumerate(self._faults):
                work.report.lose(_of_version(slot, why))
            return work.run(self._metas)
        finally:
            engine.close()

    def _new_engine(self) -> BoltEngine:
        self._path.unlink(missing_ok=True)
        create_file(self._path, empty_database(self._page_size), self._mode)
        keeps = bool(self._metas) and self._metas[0].freelist != NO_FREELIST
        return BoltEngine(FileDisk.for_writing(self._path, timeout=0), freelist_sync=keeps)


def _of_version(page: int, why: str) -> Loss:
    return Loss(page, None, why, is_of_record=True, is_gap=False)


def _likely_page_size(disk: LenientDisk) -> int:
    """Find the page size of a file without metas: that at which pages carry their own number."""

    def hits(size: int) -> int:
        pages = range(FIRST_NODE_PAGE, min(disk.size() // size, _PAGES_GUESSED_BY))
        heads = ((page, disk.read_or_nothing(page * size, HEADER.size)) for page in pages)
        return sum(head[:8] == page.to_bytes(8, "little") for page, head in heads)

    sizes = []
    size = MIN_PAGE_SIZE
    while size <= MAX_PAGE_SIZE:
        sizes.append(size)
        size *= 2
    return max(sizes, key=hits)


class _Work:
    """Takes the reachable leaves, then the loose ones."""

    def __init__(self, disk: LenientDisk, page_size: int, target: BoltEngine) -> None:
        self.report = Salvaged()
        self._disk = disk
        self._page_size = page_size
        self._reader = Reader(disk, page_size)
        self._recognition = Recognition(self._reader)
        self._sink = Sink(target, self.report.lose)

    def run(self, metas: list[Meta]) -> Salvaged:
        """Take everything; the newest of `metas` comes first."""
        try:
            free = self._reader.free(metas)
            if metas:
                self.report.transaction = metas[0].transaction
                self._sink.set_sequence(metas[0].sequence)
                self._take_reachable(metas[0].root)
                for meta in metas[1:]:
                    self._fill_gaps(meta.root)
            else:
                root = self._likely_root()
                if root is not None:
                    self._take_reachable(root)
            if not metas or any(loss.is_gap for loss in self.report.losses):
                self._take_loose(free)
        except BaseException:
            self._sink.rollback()
            raise
        self._sink.commit()
        return self.report

    def _take_reachable(self, root: int) -> None:
        self._reader.walk(Spot(root), self._sink.take, self.report.lose)
        self.report.entries = self._sink.entries

    def _fill_gaps(self, root: int) -> None:
        """Fill the losses of the newest version from the version before."""
        gaps = Gaps(self.report.losses)
        before = self._sink.entries
        self._reader.walk(
            Spot(root),
            lambda spot, leaf: self._sink.fill(spot, leaf, gaps.holds),
            lambda _loss: None,
        )
        self.report.older_entries = self._sink.entries - before

    def _likely_root(self) -> int | None:
        """Find the outermost bucket without a meta: that with the least damage and newest."""
        roots = [
            (self._recognition.time_of(leaf), page)
            for page, leaf in self._reader.loose_leaves(frozenset())
            if self._recognition.is_root(leaf)
        ]
        roots.sort(reverse=True)
        qualities = [(self._quality(page), page) for _, page in roots[:_ROOTS_TRIED]]
        return max(qualities, default=(None, None))[1]

    def _quality(self, root: int) -> tuple[int, int]:
        """Return how little of a tree is lost, and how new it is."""
        losses: list[Loss] = []
        times = [0]

        def look(_spot: Spot, leaf: Leaf) -> dict[bytes, bool]:
            times[0] = max(times[0], self._recognition.time_of(leaf))
            return dict.fromkeys(leaf.keys, False)

        Reader(self._disk, self._page_size).walk(Spot(root), look, losses.append)
        return -len(losses), times[0]

    def _take_loose(self, free: Container[int]) -> None:
        """Take leaves that nothing reaches to where they fit; the rest to `lost+found`."""
        gaps = Gaps(self.report.losses)
        within: set[int] = set()
        loose: list[tuple[int, int]] = []
        for page, leaf in self._reader.loose_leaves(free):
            within.update(each.root for each in nested_buckets(leaf) if each.root)
            loose.append((-self._recognition.time_of(leaf), page))
        # The newest first: what is there already stays. And what lies in the bucket of
        # another loose leaf is found through that one.
        loose.sort()
        for page in [page for _, page in loose if page not in within] + [p for _, p in loose]:
            if not self._reader.reached[page]:
                self._take_leaf(page, gaps)

    def _take_leaf(self, page: int, gaps: Gaps) -> None:
        try:
            leaf = self._reader.peek(page)
        except CorruptError:
            return
        if not isinstance(leaf, Leaf):
            return
        path = self._recognition.home(leaf, gaps)
        if path is None:
            path = (LOST_AND_FOUND, b"%d" % page)
        bucket = None
        for name in path:
            bucket = nested_path(bucket, name)
        before = self._sink.entries
        self._reader.walk(Spot(page, bucket), self._sink.add, lambda _loss: None)
        taken = self._sink.entries - before
        if taken:
            self.report.recovered.append(Recovered(page, path, taken))
