"""Pages that were copied out of a file: in memory where there is some, else in a spool file."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orlop.concurrency.interrupts import reraise_interrupt, suppress_os_errors
from orlop.kv.errors import FileBusyError

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK_BYTES: Final = 32 * 1024 * 1024
"""Memory is taken, and asked for, in such pieces. A multiple of every page size."""

_SHARE_TAKEN: Final = 2
"""At most one part in so many of the free memory is taken: to work on the pages takes some too."""

_DISK_SPARED_BYTES: Final = 64 * 1024 * 1024

_MEMINFO: Final = Path("/proc/meminfo")
_OWN_GROUP: Final = Path("/proc/self/cgroup")
_GROUPS: Final = Path("/sys/fs/cgroup")
_LIMITS: Final = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Of a control group of version 2, then 1: its limit, what it uses, what of that is cache."""

_KIBIBYTE: Final = 1024
_UNKNOWN: Final = 256 * 1024 * 1024
"""What is taken to be free where the system does not say."""

_LASTING: Final = "/var/tmp"  # noqa: S108 (files there have no name)


def available_bytes() -> int:
    """Return how much memory can be taken without swapping, by the machine and all limits."""
    return min([_of_machine(), *_of_groups()])


def _of_machine() -> int:
    for line in _read(_MEMINFO).splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * _KIBIBYTE
    return _UNKNOWN


def _of_groups() -> list[int]:
    """Return the bytes that each control group of this process, and each above it, still allows."""
    found = []
    for line in _read(_OWN_GROUP).splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = _GROUPS / "memory" if controllers else _GROUPS
        group = top / name.lstrip("/")
        while True:
            left = _of_group(group)
            if left is not None:
                found.append(left)
            if group == top or top not in group.parents:
                break
            group = group.parent
    return found


def _of_group(group: Path) -> int | None:
    for limit_name, used_name, cache_name in _LIMITS:
        limit, used = _read(group / limit_name).strip(), _read(group / used_name).strip()
        if limit.isdecimal() and used.isdecimal():
            statistics = dict(
                line.split(" ", 1) for line in _read(group / "memory.stat").splitlines()
            )
            return max(int(limit) - int(used) + int(statistics.get(cache_name, 0)), 0)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeError) as error:
        reraise_interrupt(error)
        return ""


def spool_directory() -> str:
    """Return the directory for large temporary files: `$TMPDIR`, else one on a disk."""
    if os.environ.get("TMPDIR") or not os.access(_LASTING, os.W_OK):
        import tempfile  # noqa: PLC0415 (few files are copied)

        return tempfile.gettempdir()
    return _LASTING


class PageStore:
    """Pages of one size, numbered from 1 in the order in which they were added."""

    def __init__(
        self,
        page_size: int,
        *,
        memory_bytes_max: int | None = None,
        available: Callable[[], int] = available_bytes,
    ) -> None:
        """Begin empty.

        Args:
            page_size: in bytes.
            memory_bytes_max: how much memory to take at most; None: a share of what is free.
            available: returns how much memory is free.
        """
        self._page_size = page_size
        self._pages_a_chunk = CHUNK_BYTES // page_size
        self._memory_bytes_max = memory_bytes_max
        self._available = available
        self._chunks: list[mmap.mmap] = []
        self._descriptor = -1
        self._spooled_chunks = 0
        self.count = 0

    def add(self, data: bytes | memoryview) -> int:
        """Add consecutive pages; return the number of the first.

        Raises:
            FileBusyError: there is room for them neither in memory nor on the disk.
            OSError: they cannot be written.
        """
        first = self.count + 1
        view = memoryview(data)
        while view:
            index, page = divmod(self.count, self._pages_a_chunk)
            room = (self._pages_a_chunk - page) * self._page_size
            piece = view[:room]
            self._write(index, page * self._page_size, piece)
            self.count += len(piece) // self._page_size
            view = view[room:]
        return first

    def read(self, number: int) -> bytes:
        """Return one page."""
        index, page = divmod(number - 1, self._pages_a_chunk)
        begin = page * self._page_size
        if index < len(self._chunks):
            return self._chunks[index][begin : begin + self._page_size]
        at = (index - len(self._chunks)) * CHUNK_BYTES + begin
        return os.pread(self._descriptor, self._page_size, at)

    def clear(self) -> None:
        """Forget all pages, but keep the room."""
        self.count = 0

    def close(self) -> None:
        """Give the room back; closing twice is allowed."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        self._chunks, self._spooled_chunks = [], 0

    def __del__(self) -> None:
        self.close()

    def _write(self, index: int, begin: int, piece: memoryview) -> None:
        if index == len(self._chunks) + self._spooled_chunks:
            self._add_chunk()
        if index < len(self._chunks):
            self._chunks[index][begin : begin + len(piece)] = piece
            return
        at = (index - len(self._chunks)) * CHUNK_BYTES + begin
        while piece:
            written = os.pwrite(self._descriptor, piece, at)
            at += written
            piece = piece[written:]

    def _add_chunk(self) -> None:
        if not self._spooled_chunks and self._has_memory():
            # Private: a forked child must not write into the pages of its parent.
            chunk = mmap.mmap(-1, CHUNK_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            # Ordinary pages of memory are handed out one by one, at a fourth of the speed.
            with suppress_os_errors():  # a kernel without larger ones
                chunk.madvise(mmap.MADV_HUGEPAGE)
            self._chunks.append(chunk)
            return
        if self._descriptor < 0:
            self._descriptor = _nameless_file()
        status = os.fstatvfs(self._descriptor)
        if status.f_bavail * status.f_frsize < CHUNK_BYTES + _DISK_SPARED_BYTES:
            raise FileBusyError(
                "the file changes too fast to be read where it is, and neither memory nor "
                f"{spool_directory()} has room for a copy of it: free some, or name another "
                "directory with TMPDIR"
            )
        self._spooled_chunks += 1

    def _has_memory(self) -> bool:
        taken = len(self._chunks) * CHUNK_BYTES
        if self._memory_bytes_max is not None:
            return taken + CHUNK_BYTES <= self._memory_bytes_max
        # What was taken so far is no longer free: the share is that of the beginning.
        free = self._available() + taken
        return (taken + CHUNK_BYTES) * _SHARE_TAKEN <= free


def _nameless_file() -> int:
    import tempfile  # noqa: PLC0415 (few files are copied)

    with tempfile.TemporaryFile(dir=spool_directory()) as file:
        return os.dup(file.fileno())
