"""The seam to the disk: every byte that the engine reads or writes passes here.

Tests put a simulated disk in the file's place. There is no memory map: an I/O error or a
truncation under a mapping would kill the process and pass by this seam.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import time
from threading import get_ident
from typing import TYPE_CHECKING, Final, Protocol

from orlop.bolt import file_lock
from orlop.bolt.file_lock import lock_exclusively
from orlop.concurrency.forks import HomeProcess
from orlop.concurrency.interrupts import reraise_interrupt
from orlop.concurrency.ownership import OwnedFile, TemporaryName
from orlop.kv.errors import CorruptError, EngineClosedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import FrameType

_MAX_CHUNKS = os.sysconf("SC_IOV_MAX")
_POLL_SECONDS = 0.001
_PATIENCE_SECONDS = 10.0
"""How long a call of another thread is waited for, be it under way or noted by mistake."""
_FICLONE = 0x40049409


class Readable(Protocol):
    """A source of pages. Every method raises OSError if the system call fails.

    A file that has been closed raises EngineClosedError.
    """

    def size(self) -> int:
        """Return the size in bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on: fewer only at the end."""


class Disk(Readable, Protocol):
    """A file: random reads and writes, and the moment when writes are durable.

    Every method raises OSError where the system refuses. Any thread may read, write or close.
    """

    @property
    def is_synced(self) -> bool:
        """Whether `sync` waits for the disk."""

    def write(self, offset: int, chunks: Sequence[bytes]) -> None:
        """Write the chunks one after the other from `offset` on; durable after `sync`."""

    def grow(self, size: int) -> None:
        """Make the file `size` bytes long, with the space taken, so that writes find room."""

    def sync(self) -> None:
        """Make everything written so far durable (fdatasync)."""

    def identity(self) -> object:
        """Return an identity that changes when another file replaces this one."""

    def status(self) -> os.stat_result | None:
        """Return the status of the open file; `None` if it is not a real one."""

    def close(self) -> None:
        """Close the file, and release its lock."""


class InMemory:
    """A file that was read whole."""

    def __init__(self, contents: bytes) -> None:
        """Take `contents` for the file."""
        self._contents = contents

    def size(self) -> int:
        """Return the size in bytes."""
        return len(self._contents)

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on: fewer only at the end."""
        return self._contents[offset : offset + length]


class FileDisk:
    """A real file."""

    def __init__(self, path: Path, file: OwnedFile, *, sync: bool = True) -> None:
        """Take over an open file, the one at `path`; `sync`: see `open_engine`."""
        self._path = path.absolute()  # the working directory may change
        self._sync = sync
        self._use = _Use(self._path, file)

    @classmethod
    def for_reading(cls, path: Path) -> FileDisk:
        """Open an existing file; no lock is taken."""
        return cls(path, _open_regular(path, os.O_RDONLY))

    @classmethod
    def for_writing(cls, path: Path, *, timeout: float | None, sync: bool = True) -> FileDisk:
        """Open an existing file and take its lock, waiting `timeout` seconds at most.

        Raises:
            LockedError: another process kept the lock, or this one has it already.
        """
        while True:
            forks = file_lock.forks_begun()
            disk = cls(path, _open_regular(path, os.O_RDWR), sync=sync)
            try:
                # A child that was forked meanwhile may have the file open, and would keep the lock.
                if forks == file_lock.forks_begun():
                    lock_exclusively(disk._use.descriptor(), path, timeout)
                    disk._use.locked = _identity(os.fstat(disk._use.descriptor()))
                    # The lock counts only if the file is still the one of that name: a
                    # compaction may have put another in its place while we waited.
                    if disk._is_current():
                        return disk
            except BaseException:
                disk.close()
                raise
            disk.close()

    def size(self) -> int:
        """Return the size of the file in bytes."""
        with self._use as descriptor:
            return os.fstat(descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on: fewer only where the file ends."""
        users, me = self._use.users, get_ident()
        users.append(me)  # as `with self._use`, without two calls for each page
        try:
            data = os.pread(self._use.descriptor(), length, offset)
            return data if len(data) == length else self._read_on(data, offset, length)
        finally:
            users.remove(me)

    @property
    def is_synced(self) -> bool:
        """Whether `sync` waits for the disk."""
        return self._sync

    def _read_on(self, data: bytes, offset: int, length: int) -> bytes:
        """Read the rest after a short read, unless the file ends there or was closed."""
        pieces = [data]
        missing = length - len(data)
        while missing and data:
            data = os.pread(self._use.descriptor(), missing, offset + length - missing)
            pieces.append(data)
            missing -= len(data)
        if missing:
            self._use.descriptor()
        return b"".join(pieces)

    def write(self, offset: int, chunks: Sequence[bytes]) -> None:
        """Write the chunks one after the other from `offset` on."""
        with self._use as descriptor:
            if len(chunks) <= _MAX_CHUNKS:
                # Most often the system takes all of it; else it is written again, piece by piece.
                length = sum(map(len, chunks))
                if os.pwritev(descriptor, chunks, offset) == length:
                    return
            self._write_on(offset, chunks)

    def _write_on(self, offset: int, chunks: Sequence[bytes]) -> None:
        pending = [memoryview(chunk) for chunk in chunks if chunk]
        first = 0
        while first < len(pending):
            batch = pending[first : first + _MAX_CHUNKS]
            written = os.pwritev(self._use.descriptor(), batch, offset)
            if not written:
                raise OSError(errno.EIO, "the system wrote nothing", str(self._path))
            offset += written
            while first < len(pending) and written >= len(pending[first]):
                written -= len(pending[first])
                first += 1
            if written:
                pending[first] = pending[first][written:]

    def grow(self, size: int) -> None:
        """Make the file `size` bytes long, with the space taken."""
        with self._use as descriptor:
            current = os.fstat(descriptor).st_size
            if size > current:
                # Takes the space, so that a full disk is found before a page is written.
                os.posix_fallocate(descriptor, current, size - current)

    def sync(self) -> None:
        """Make everything written so far durable."""
        with self._use as descriptor:
            if self._sync:
                os.fdatasync(descriptor)
            self._use.descriptor()  # what was written counts if it was not closed meanwhile

    def status(self) -> os.stat_result | None:
        """Return the status of the open file."""
        with self._use as descriptor:
            return os.fstat(descriptor)

    def identity(self) -> object:
        """Return device and inode of the file that has the name now; None where there is none."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 (the pair with fstat below)
        except FileNotFoundError:
            return None
        return _identity(found)

    def clone(self) -> FileDisk | None:
        """Return a reflink copy of the file without a name; None if the file system has none.

        Some file systems (XFS, Btrfs) let files share their blocks, and do it in one step.
        """
        with self._use as source:
            try:
                # In the same directory: it must be the same file system. It has no name.
                file = _open_nameless(self._path.parent)
                fcntl.ioctl(file.fileno(), _FICLONE, source)
            except OSError as error:
                reraise_interrupt(error)
                return None
        return FileDisk(self._path, file)

    def close(self) -> None:
        """Close the file, and release its lock, as soon as no other call is running.

        Else a thread could read, or write, another file that was given the descriptor's number.
        Interrupted, it can be called again.
        """
        self._use.end()

    def _is_current(self) -> bool:
        return self.identity() == _identity(os.fstat(self._use.descriptor()))


class _Use:
    """The use of a descriptor by calls, of which each notes its thread while it is under way.

    Attributes:
        locked: device and inode, while the lock is held.
        users: the threads. An exception may have kept one from being removed.
    """

    def __init__(self, path: Path, file: OwnedFile) -> None:
        self._path = path
        self._file = file
        self._home = HomeProcess()
        self._is_over = False
        self.locked: tuple[int, int] | None = None
        # To append and to remove are one step each.
        self.users: list[int] = []
        file_lock.register(self)

    def __enter__(self) -> int:
        # In this order: who ends it looks the other way round.
        self.users.append(get_ident())
        try:
            return self.descriptor()
        except BaseException:
            self.users.remove(get_ident())
            raise

    def __exit__(self, *_: object) -> None:
        self.users.remove(get_ident())

    def descriptor(self) -> int:
        """Return the descriptor, unless the use is over."""
        if self._is_over:
            if not self._home.is_here:
                raise EngineClosedError(f"{self._path}: {self._home.refusal}")
            raise EngineClosedError(f"{self._path} is closed")
        descriptor: int = self._file.fileno()
        return descriptor

    def end(self) -> None:
        """Refuse new calls, and close the file when the calls of other threads have ended."""
        self._is_over = True
        me, until = get_ident(), time.monotonic() + _PATIENCE_SECONDS
        is_used = self._is_used_below()
        # A forked child has none of the threads of its parent.
        while self._home.is_here and any(user != me for user in tuple(self.users)):
            if time.monotonic() > until:
                is_used = True
                break
            time.sleep(_POLL_SECONDS)
        self._let_go(is_used=is_used)

    def leave_to_parent(self) -> None:
        """Close the file in a forked child, which has no thread but this one."""
        self._is_over = True
        self._let_go(is_used=self._is_used_below())

    def _let_go(self, *, is_used: bool) -> None:
        if is_used:
            self._put_nothing_in_place()
        else:
            # No explicit unlock: in a forked child that would release the parent's lock.
            self._file.close()
        self.locked = None

    def _is_used_below(self) -> bool:
        """Whether this thread is amid a call, which a handler of signals has interrupted.

        What it has noted may be of a call that an exception has ended.
        """
        frame: FrameType | None = sys._getframe()  # noqa: SLF001 (only the running calls know)
        while frame is not None:
            if frame.f_code in _USES and getattr(frame.f_locals["self"], "_use", None) is self:
                return True
            frame = frame.f_back
        return False

    def _put_nothing_in_place(self) -> None:
        """Release file and lock while a call may still use the descriptor.

        Its number stays taken, by what holds nothing, until nobody has the file any more.
        """
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.dup2(nothing, self._file.fileno(), inheritable=False)
        finally:
            os.close(nothing)


_USES: Final = frozenset(
    use.__code__
    for use in (
        FileDisk.size,
        FileDisk.read,
        FileDisk.write,
        FileDisk.grow,
        FileDisk.sync,
        FileDisk.status,
        FileDisk.clone,
    )
)
"""The calls that use a descriptor."""


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _open_nameless(directory: Path) -> OwnedFile:
    """Return a new file without a name: it is deleted when it is closed."""

    def opener(name: str, _: int) -> int:
        return os.open(name, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)

    return OwnedFile(directory, "r+b", opener=opener)


def _open_regular(path: Path, flags: int) -> OwnedFile:
    def opener(name: str, _: int) -> int:
        return os.open(name, flags | os.O_CLOEXEC | os.O_NONBLOCK)

    mode = "rb" if flags == os.O_RDONLY else "r+b"
    try:
        # What owns a descriptor closes it when it goes, whatever interrupts this.
        file = OwnedFile(path, mode, opener=opener)
    except IsADirectoryError as error:
        if flags != os.O_RDONLY:
            raise
        raise CorruptError(f"{path} is no regular file, so no database") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise CorruptError(f"{path} is no regular file, so no database")
    return file


def create_file(path: Path, contents: bytes, mode: int) -> None:
    """Create the file at `path`, whole and durable or not at all; leave an existing one alone."""
    with TemporaryName(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with OwnedFile(descriptor, "r+b") as file:
            FileDisk(temporary, file).write(0, [contents])
            os.fsync(descriptor)
        # A link, not a rename: it never takes the place of a file that another process
        # has created, and perhaps locked, meanwhile.
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass  # another process has made it, ...
        except FileNotFoundError:
            if not path.exists():
                raise  # ... and perhaps opened it, and removed what it took for a leftover
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
