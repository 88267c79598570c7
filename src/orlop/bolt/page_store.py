"""Pages that were copied out of a file: in memory where there is some, else in a spool file."""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import TYPE_CHECKING, Final

from orlop.bolt.memory import available_bytes, spool_directory
from orlop.kv.errors import FileBusyError

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK_BYTES: Final = 32 * 1024 * 1024
"""Memory is taken, and asked for, in such pieces. A multiple of every page size."""

_SHARE_TAKEN: Final = 2
"""At most one part in so many of the free memory is taken: to work on the pages takes some too."""

_DISK_SPARED_BYTES: Final = 64 * 1024 * 1024


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
        """Add pages that lie one after the other; return the number of the first.

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
            with contextlib.suppress(OSError):  # a kernel without larger ones
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
