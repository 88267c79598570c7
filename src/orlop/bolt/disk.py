"""The seam to the disk: every byte that the engine reads or writes passes here.

Tests put a simulated disk in the file's place. There is no memory map: an I/O error or a
truncation under a mapping would kill the process and pass by this seam.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time
from typing import TYPE_CHECKING, NoReturn, Protocol

from orlop.bolt.lock import lock_exclusively
from orlop.kv.errors import CorruptError, EngineClosedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_CHUNKS_MAX = os.sysconf("SC_IOV_MAX")
_POLL_SECONDS = 0.001
_FICLONE = 0x40049409


class Readable(Protocol):
    """What pages can be read from. Every method raises OSError where the system refuses.

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

    def write(self, offset: int, chunks: Sequence[bytes]) -> None:
        """Write the chunks one after the other from `offset` on; durable after `sync`."""

    def grow(self, size: int) -> None:
        """Make the file `size` bytes long, with the space taken, so that writes find room."""

    def sync(self) -> None:
        """Make everything written so far durable (fdatasync)."""

    def identity(self) -> object:
        """Return what changes when another file takes this one's place under its name."""

    def status(self) -> os.stat_result | None:
        """Return the status of the open file; `None` if it is not a real one."""

    def close(self) -> None:
        """Let go of the file, and of its lock."""


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

    def __init__(self, path: Path, descriptor: int, *, sync: bool = True) -> None:
        """Take over an open descriptor of the file at `path`; `sync`: see `open_engine`."""
        self._path = path.absolute()  # the working directory may change
        self._descriptor = descriptor
        self._sync = sync
        self._use = _Use(path)

    @classmethod
    def for_reading(cls, path: Path) -> FileDisk:
        """Open an existing file; no lock is taken."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        return cls(path, _refuse_irregular(path, descriptor))

    @classmethod
    def for_writing(cls, path: Path, *, timeout: float | None, sync: bool = True) -> FileDisk:
        """Open an existing file and take its lock, waiting `timeout` seconds at most.

        Raises:
            LockedError: another process kept the lock; the message names it.
        """
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
            disk = cls(path, _refuse_irregular(path, descriptor), sync=sync)
            try:
                lock_exclusively(descriptor, path, timeout)
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
        with self._use:
            return os.fstat(self._descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on: fewer only where the file ends."""
        use = self._use
        use.entries.append(None)  # as `with use`, without two calls for each page
        try:
            if use.is_over:
                use.refuse()
            data = os.pread(self._descriptor, length, offset)
            return data if len(data) == length else self._read_on(data, offset, length)
        finally:
            use.entries.pop()

    def _read_on(self, data: bytes, offset: int, length: int) -> bytes:
        """Read what the system has left out, unless the file ends there."""
        pieces = [data]
        missing = length - len(data)
        while missing and data:
            data = os.pread(self._descriptor, missing, offset + length - missing)
            pieces.append(data)
            missing -= len(data)
        return b"".join(pieces)

    def write(self, offset: int, chunks: Sequence[bytes]) -> None:
        """Write the chunks one after the other from `offset` on."""
        with self._use:
            self._write(offset, chunks)

    def _write(self, offset: int, chunks: Sequence[bytes]) -> None:
        if len(chunks) <= _CHUNKS_MAX:
            # Most often the system takes all of it; else it is written again, piece by piece.
            length = sum(map(len, chunks))
            if os.pwritev(self._descriptor, chunks, offset) == length:
                return
        pending = [memoryview(chunk) for chunk in chunks if chunk]
        first = 0
        while first < len(pending):
            batch = pending[first : first + _CHUNKS_MAX]
            written = os.pwritev(self._descriptor, batch, offset)
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
        with self._use:
            current = self.size()
            if size > current:
                # Takes the space, so that a full disk is found before a page is written.
                os.posix_fallocate(self._descriptor, current, size - current)

    def sync(self) -> None:
        """Make everything written so far durable."""
        with self._use:
            if self._sync:
                os.fdatasync(self._descriptor)

    def status(self) -> os.stat_result | None:
        """Return the status of the open file."""
        with self._use:
            return os.fstat(self._descriptor)

    def identity(self) -> object:
        """Return device and inode of the file that has the name now; None where there is none."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 (the pair with fstat below)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def clone(self) -> FileDisk | None:
        """Return what is in the file now, as a file without a name; None where that takes time.

        Some file systems (XFS, Btrfs) let files share their blocks, and do it in one step.
        """
        try:
            # In the same directory: it must be the same file system. No other process sees it.
            flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
            descriptor = os.open(self._path.parent, flags, 0o600)
        except OSError:
            return None
        try:
            with self._use:
                fcntl.ioctl(descriptor, _FICLONE, self._descriptor)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError):
                return None
            raise
        return Clone(self._path, descriptor)

    def close(self) -> None:
        """Let go of the file, and of its lock, as soon as no other call is under way.

        Else a thread could read, or write, another file that was given the descriptor's number.
        """
        if self._use.end():
            # No explicit unlock: in a forked child that would release the parent's lock.
            os.close(self._descriptor)

    def _is_current(self) -> bool:
        mine = os.fstat(self._descriptor)
        return self.identity() == (mine.st_dev, mine.st_ino)


class Clone(FileDisk):
    """A file without a name. It is closed, and gone, with the last one who reads it."""

    def __del__(self) -> None:
        self.close()


class _Use:
    """Is entered by everyone who uses a descriptor, and ends when all have left it.

    Attributes:
        entries: one for each who is in it.
        is_over: whether nobody may enter it any more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process = os.getpid()
        # A count that needs no lock: to append and to pop are one step each.
        self.entries: list[None] = []
        self.is_over = False
        self._unclosed = [None]

    def __enter__(self) -> None:
        # In this order: who ends it looks the other way round.
        self.entries.append(None)
        if self.is_over:
            self.entries.pop()
            self.refuse()

    def __exit__(self, *_: object) -> None:
        self.entries.pop()

    def refuse(self) -> NoReturn:
        """Say that it is over."""
        raise EngineClosedError(f"{self._path} is closed")

    def end(self) -> bool:
        """Refuse whoever comes, wait for the others; return whether to close the descriptor.

        It is to be closed by the first who ends it, and by nobody else.
        """
        self.is_over = True
        # A forked child has none of the threads of its parent.
        while self.entries and os.getpid() == self._process:
            time.sleep(_POLL_SECONDS)
        try:
            self._unclosed.pop()
        except IndexError:
            return False
        return True


def _refuse_irregular(path: Path, descriptor: int) -> int:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CorruptError(f"{path} is no regular file, so no database")
    return descriptor


def create_file(path: Path, contents: bytes, mode: int) -> None:
    """Create the file at `path`, whole and durable or not at all; leave an existing one alone."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            FileDisk(temporary, descriptor).write(0, [contents])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        # A link, not a rename: it never takes the place of a file that another process
        # has created, and perhaps locked, meanwhile.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
