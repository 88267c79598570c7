"""Opening a file: for writing with the engine, for reading beside other processes without it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from orlop.bolt.disk import FileDisk, create_file
from orlop.bolt.initialization import empty_database, is_uninitialized
from orlop.bolt.meta import newest_meta, read_metas
from orlop.bolt.provenance import file_state, read_stamp
from orlop.bolt.reader import ReadingEngine
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop.bolt.engine import BoltEngine
    from orlop.kv import FileState, Follower


def read_file_state(path: Path) -> FileState | None:
    """Return the state of a database file, without its lock; `None` if there is none that is sound.

    Raises:
        OSError: it cannot be read.
    """
    try:
        disk = FileDisk.for_reading(path)
    except (FileNotFoundError, NotADirectoryError, CorruptError):
        return None
    try:
        if is_uninitialized(disk):
            return None
        meta = newest_meta(read_metas(disk.read))
        return file_state(disk.status(), meta, read_stamp(disk, meta))
    except CorruptError:
        return None
    finally:
        disk.close()


def open_engine(
    path: Path,
    *,
    read_only: bool = False,
    create: bool = True,
    timeout: float | None = None,
    mode: int = 0o644,
    freelist_sync: bool | None = None,
    sync: bool = True,
    follower: Follower | None = None,
    before_create: Callable[[], None] | None = None,
) -> BoltEngine | ReadingEngine:
    """Open the database at `path`.

    Args:
        path: the file.
        read_only: take no lock and write nothing; other processes may write meanwhile.
        create: make the file where it is missing.
        timeout: seconds to wait for the lock; None: without end. For reading: how long a
            transaction may take on a file that another process keeps changing, in seconds.
        mode: the permissions of a new file.
        freelist_sync: whether to keep a freelist in the file, from the next commit on; None:
            as the file does.
        sync: whether a commit waits until the disk has it. Without, it is many times faster
            and gives up durability AND soundness: a power loss may lose any number of
            acknowledged transactions and may leave a file that cannot be opened. A crash
            of the process alone loses nothing.
        follower: is told of the versions, if the database is opened for writing.
        before_create: is called before a database is made where there is none, or where the file
            is empty; it may refuse that by raising.

    Raises:
        LockedError: another process has the lock, or this one has the file open already.
        ReplacedError: an interrupted compaction left a file that another program went on with.
        CorruptError: it is no database, or damaged.
        OSError: the system refuses, or the file is missing.
    """
    if read_only:
        return ReadingEngine(FileDisk.for_reading(path), busy_seconds_max=timeout)
    if create and not path.exists():
        if before_create is not None:
            before_create()
        create_file(path, empty_database(), mode)
    # What writes; readers start without.
    from orlop.bolt.engine import BoltEngine  # noqa: PLC0415
    from orlop.bolt.interrupted_compaction import find_leftovers, remove_leftovers  # noqa: PLC0415

    disk = FileDisk.for_writing(path, timeout=timeout, sync=sync)
    try:
        leftovers = find_leftovers(path)
        return BoltEngine(
            disk,
            freelist_sync=freelist_sync,
            follower=follower,
            before_create=before_create,
            before_write=partial(remove_leftovers, leftovers),
        )
    except BaseException:
        disk.close()
        raise
