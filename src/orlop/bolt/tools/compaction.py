"""Compaction: the same contents in a new, small file that takes the old one's place.

The old file stays as it is until the new one is durable and has been read back whole; then a
rename swaps them. While it lasts, the lock is held: nobody writes to what would be lost.

bbolt opens a file before it asks for the lock. A daemon that waits for the lock when the files
are swapped would go on with the old one, which has no name any more. So after the swap every
process is asked whether it has the old file open for writing; if one has, the old file gets
its name back.

Nothing is written to the old file. What a killed compaction leaves is removed by the next one, or
by the next opening for writing (`orlop.bolt.interrupted_compaction`).

Source: go.etcd.io/bbolt, compact.go.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Protocol, TypeAlias

from orlop.bolt.disk import FileDisk, create_file, sync_directory
from orlop.bolt.engine import BoltEngine
from orlop.bolt.file_lock import other_writers
from orlop.bolt.initialization import empty_database, is_uninitialized, require_initialized
from orlop.bolt.interrupted_compaction import (
    count_names,
    find_leftovers,
    link_of_old,
    remove_leftovers,
)
from orlop.bolt.meta import NO_FREELIST, newest_meta, read_metas, require_length
from orlop.bolt.pager import Pager
from orlop.bolt.reachable import count_free
from orlop.bolt.reader import version_of
from orlop.concurrency.forks import HomeProcess
from orlop.concurrency.ownership import TemporaryName
from orlop.kv.errors import CorruptError, EngineError, LockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from orlop.bolt.bucket import BoltBucket
    from orlop.bolt.meta import Meta
    from orlop.bolt.transaction import BoltTransaction
    from orlop.kv.contract import FileState, Item

_TRANSACTION_BYTES = 8 * 1024 * 1024
_ELEMENT_BYTES = 32

UnderLock: TypeAlias = "Callable[[Path], AbstractContextManager[SwapFollower]]"
"""Makes a block that runs while the lock of a file is held."""


class SwapFollower(Protocol):
    """Receives the renames and links of a compaction."""

    def swapping(self, new: Path) -> None:
        """Receive the new file, complete and durable, before it may take the place of the old."""

    def linking(self) -> None:
        """Receive that links are about to be made or removed, which sets times of the files."""


class _NoFollower:
    def swapping(self, new: Path) -> None:
        """Receive the new file."""

    def linking(self) -> None:
        """Receive that links are about to be made or removed."""


@contextlib.contextmanager
def _without_follower(_: Path) -> Iterator[SwapFollower]:
    """Make a block that does nothing: the file is of no root."""
    yield _NoFollower()


WORTH_BYTES = 16 * 1024 * 1024
"""Compaction on opening is worth it from so many free bytes on ..."""

WORTH_SHARE = 0.5
"""... if they are at least this share of the file."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """The result of a compaction; sizes are in bytes."""

    before: int
    after: int


def compact(
    path: Path,
    *,
    output: Path | None = None,
    timeout: float | None = 0,
    inspect: Callable[[Path], None] | None = None,
    under_lock: UnderLock = _without_follower,
) -> Compacted:
    """Write the contents of a database anew, without free pages.

    Args:
        path: the file. It keeps its owner, its mode and its form of freelist.
        output: where to write; None: in the place of `path`.
        timeout: seconds to wait for the lock.
        inspect: is called with the new file before it gets its name, and may refuse it.
        under_lock: is entered with `path` once the lock is held, before anything is written, and
            left when the new file is in its place.

    Raises:
        LockedError: another process holds the lock, or waits for it with the file open.
        CorruptError: the file is damaged; it is left alone.
        FileExistsError: there is an `output` already.
        OSError: the system refused; the file is left alone.
    """
    real = path.resolve()  # a link to the file stays one
    if output is not None and os.path.lexists(output):
        raise FileExistsError(17, "is there already; name a new file", str(output))
    target = output or real
    disk = FileDisk.for_writing(path, timeout=timeout)
    try:
        leftovers = find_leftovers(real)
        with TemporaryName(target) as temporary, under_lock(path) as follower:
            if leftovers:
                follower.linking()
                remove_leftovers(leftovers)
            before = disk.size()
            meta = _sound_meta(disk)
            create_file(temporary, empty_database(meta.page_size), 0o600)
            _fill(version_of(disk, meta), temporary, keep_freelist=meta.freelist != NO_FREELIST)
            if inspect is not None:
                inspect(temporary)
            _dress(temporary, real)
            after = temporary.stat().st_size
            if output is None:
                follower.swapping(temporary)
                _swap(real, temporary, follower)
            else:
                os.link(temporary, output)
                sync_directory(output.parent)
    finally:
        disk.close()
    return Compacted(before, after)


def compact_if_worth(
    path: Path,
    *,
    timeout: float | None = None,
    least_bytes: int = WORTH_BYTES,
    least_share: float = WORTH_SHARE,
    under_lock: UnderLock = _without_follower,
) -> Compacted | None:
    """Compact a file if enough of it is free; else return None.

    Args:
        path: the file.
        timeout: seconds to wait for the lock; None: without end.
        least_bytes: it is not worth it for less than so many free bytes.
        least_share: nor if they are less than this share of the file.
        under_lock: as for `compact`.

    Raises: as `compact`.
    """
    disk = FileDisk.for_writing(path, timeout=timeout)
    try:
        if is_uninitialized(disk):
            return None  # whoever opens it decides whether it may be filled
        find_leftovers(path)  # the opening or the compaction removes them
        size = disk.size()
        meta = _sound_meta(disk)
        unused = count_free(disk, Pager(disk, meta.page_size), meta)
        free = size - meta.bytes_in_use + unused * meta.page_size
    finally:
        disk.close()
    if free < least_bytes or free < least_share * size or count_names(path) > 1:
        return None
    return compact(path, timeout=timeout, under_lock=under_lock)


def _sound_meta(disk: FileDisk) -> Meta:
    """Return the newest meta of a file that is as long as that says."""
    require_initialized(disk)
    meta = newest_meta(read_metas(disk.read))
    require_length(meta, disk.size())
    return meta


class _Stamping:
    """A follower that receives nothing: with one, each version gets a stamp of its own."""

    def opened(self, state: FileState) -> None:
        """Receive the state that was found."""

    def writing(self, stamp: str) -> None:
        """Receive the stamp of the next version."""

    def changing(self, ctime_ns: int, *, is_meta: bool) -> None:
        """Receive how the file is before it changes."""

    def waiting(self, ctime_ns: int) -> None:
        """Receive how the file is before the disk is waited for."""

    def durable(self, state: FileState) -> None:
        """Receive a durable version."""

    def closing(self, version: int | None) -> None:
        """Receive the last version."""


def _fill(source: BoltTransaction, path: Path, *, keep_freelist: bool) -> None:
    target = BoltEngine(
        FileDisk.for_writing(path, timeout=0), freelist_sync=keep_freelist, follower=_Stamping()
    )
    try:
        copy_bucket(source.root, target)
        with target.begin() as copied:
            _require_equal(source.root, copied.root)
        in_use = target.file_bytes_in_use()
    finally:
        target.close()
    # A file grows in steps; this one has just been filled and ends where its pages do.
    os.truncate(path, in_use)


def copy_bucket(source: BoltBucket, target: BoltEngine) -> None:
    """Copy all that is in the outermost bucket `source` into an empty database.

    In key order, and in transactions of some megabytes, so that it needs little memory.
    """
    writing = target.begin(writable=True)
    opened: dict[tuple[bytes, ...], BoltBucket] = {}
    pending = 0
    try:
        for path, sequence, key, value in _everything(source):
            if pending > _TRANSACTION_BYTES:
                writing.commit()
                writing, pending = target.begin(writable=True), 0
                opened.clear()
            bucket = opened.get(path)
            if bucket is None:
                bucket = opened[path] = _bucket_at(writing.root, path)
            if key is None:
                bucket.set_sequence(sequence)
            else:
                bucket.put(key, value)
            pending += len(value) + len(key or b"") + _ELEMENT_BYTES
        writing.commit()
    except BaseException:
        with contextlib.suppress(EngineError):
            writing.rollback()
        raise


def _bucket_at(root: BoltBucket, path: tuple[bytes, ...]) -> BoltBucket:
    for name in path:
        root = root.create_bucket_if_absent(name)
    return root


def _everything(
    root: BoltBucket,
) -> Iterator[tuple[tuple[bytes, ...], int, bytes | None, bytes]]:
    """Iterate over all buckets (with no key) and all values, in key order, parents first.

    Raises:
        CorruptError: the file is damaged.
    """
    yield (), root.sequence, None, b""
    walked: list[tuple[tuple[bytes, ...], BoltBucket, Iterator[Item]]] = [((), root, root.items())]
    while walked:
        path, bucket, items = walked[-1]
        for key, value in items:
            if value is None:
                below = (*path, key)
                nested = bucket.listed(key)
                yield below, nested.sequence, None, b""
                walked.append((below, nested, nested.items()))
                break
            if not path:
                raise CorruptError(f"the outermost bucket holds the plain value {key!r}")
            yield path, 0, key, value
        else:
            walked.pop()


def _require_equal(one: BoltBucket, other: BoltBucket) -> None:
    """Read both whole, side by side."""
    for mine, copied in zip_longest(_everything(one), _everything(other)):
        if mine != copied:
            raise CorruptError("the copy differs from the file; nothing was changed")


def _dress(path: Path, like: Path) -> None:
    """Give a file the owner, mode, attributes and times of another, durably."""
    model = like.stat()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if (model.st_uid, model.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, model.st_uid, model.st_gid)
        os.fchmod(descriptor, model.st_mode & 0o7777)
        for name in os.listxattr(like):
            # Some belong to the system, which sets them itself.
            with contextlib.suppress(PermissionError):
                os.setxattr(descriptor, name, os.getxattr(like, name))
        # By it the next opening knows whether the old file was written to since.
        os.utime(descriptor, ns=(model.st_atime_ns, model.st_mtime_ns))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _swap(path: Path, new: Path, follower: SwapFollower) -> None:
    old, home = link_of_old(new), HomeProcess()
    try:
        follower.linking()
        os.link(path, old)
        with _put_back_on_failure(old, path, home, follower):
            new.replace(path)
            sync_directory(path.parent)
            _require_no_writers(old, path)
    finally:
        if home.is_here:  # a fork leaves the block as well
            old.unlink(missing_ok=True)
    sync_directory(path.parent)


@contextlib.contextmanager
def _put_back_on_failure(
    old: Path, path: Path, home: HomeProcess, follower: SwapFollower
) -> Iterator[None]:
    """Give a file its name back where the block fails, if only by an interrupt."""
    try:
        yield
    except BaseException:
        if home.is_here:
            follower.linking()
            old.replace(path)
            sync_directory(path.parent)
        raise


def _require_no_writers(old: Path, path: Path) -> None:
    """Raise if another process has the replaced file of `path` open."""
    others = other_writers(old.stat())
    if others:
        raise LockedError(
            f"{path} is open for writing in {others}; nothing was changed",
            hint="stop that process first",
        )
