"""A copy of the newest version of a file that another process keeps writing.

A version T is intact exactly as long as T is the newest. So what was read counts if both metas
are, after it, what they were before; and when T+1 appears, the copy goes on with that
(`orlop.bolt.copied_tree`). If a version was missed, it begins anew. It ends when all pages of the
newest version are there, however many versions went by.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from orlop.bolt.copied_tree import CopiedTree
from orlop.bolt.meta import META_SIZE, newest_meta, read_metas
from orlop.bolt.page_store import PageStore
from orlop.kv.errors import EngineError, FileBusyError

if TYPE_CHECKING:
    from orlop.bolt.disk import Readable
    from orlop.bolt.meta import Meta, Metas

MAX_COPY_SECONDS: Final = 10.0
"""How long a busy file is copied before it is refused."""

_HINT: Final = (
    "allow more time (--timeout SECONDS), or copy the file while that process is stopped, and ask "
    "the copy (--db COPY)"
)


class ChangedError(EngineError):
    """A meta was written since the metas were taken: the bytes read may be of two versions."""


class CurrentDisk:
    """A file from which nothing is returned that was read after a meta had changed."""

    def __init__(self, disk: Readable, page_size: int) -> None:
        """Read from `disk`; its metas of this moment count until `take_metas` is called."""
        self._disk = disk
        self._length = page_size + META_SIZE
        self.take_metas()

    def size(self) -> int:
        """Return the size in bytes."""
        return self._disk.size()

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on: fewer only at the end.

        Raises:
            ChangedError: a meta has been written since the metas were taken.
        """
        data = self._disk.read(offset, length)
        # A version is intact as long as it is the newest: where no meta was written until the
        # read had ended, its pages are those of the version.
        if self.has_changed():
            raise ChangedError("a meta was written")
        return data

    def has_changed(self) -> bool:
        """Whether a meta has been written since the metas were taken."""
        return self._disk.read(0, self._length) != self._written

    def take_metas(self) -> Metas:
        """Return the metas that the file has now; from here on they count."""
        self._written = self._disk.read(0, self._length)
        return read_metas(lambda offset, length: self._written[offset : offset + length])


class LiveCopy:
    """The copy: a `Readable` once `run` has returned.

    Attributes:
        metas: those of the file at the version that was copied.
        followed: how many versions were followed.
        restarts: how often the copy began anew.
    """

    def __init__(
        self, disk: Readable, page_size: int, *, memory_bytes_max: int | None = None
    ) -> None:
        """Prepare to copy `disk`.

        Args:
            disk: the file.
            page_size: of its pages, in bytes.
            memory_bytes_max: how much memory to take; the rest goes to a spool file. None: as
                much as the machine can spare.

        Raises:
            CorruptError: it is no database.
        """
        self._disk = disk
        self._page_size = page_size
        self._current = CurrentDisk(disk, page_size)
        self._store = PageStore(page_size, memory_bytes_max=memory_bytes_max)
        self._deadline: float | None = None
        self.followed = 0
        self.restarts = -1
        self._begin(self._current.take_metas())

    def _begin(self, metas: Metas) -> None:
        self._store.clear()
        self.metas = metas
        self._tree = CopiedTree(self._current, newest_meta(metas), self._store)
        self.restarts += 1

    def run(self, seconds: float | None = None) -> None:
        """Copy all of the newest version.

        Args:
            seconds: how long the copying and all reading of the copy may take together. None:
                the copying as long as `MAX_COPY_SECONDS`, the reading without end.

        Raises:
            FileBusyError: it took longer than so many seconds.
            CorruptError: the tree is damaged.
            OSError: the file cannot be read.
        """
        begun, first = monotonic(), newest_meta(self.metas).transaction
        deadline = begun + (MAX_COPY_SECONDS if seconds is None else seconds)
        self._deadline = None if seconds is None else deadline
        is_left = True
        while is_left:
            # In small steps: the fewer pages a step reads, the smaller the chance that a commit
            # falls into it, so that it was in vain.
            try:
                is_left = self._tree.copy_some()
            except ChangedError:
                self._follow()
            if monotonic() > deadline:
                commits = newest_meta(self._current.take_metas()).transaction - first
                raise FileBusyError(
                    f"another process changes the database too fast to read it ({commits} commits "
                    f"in {monotonic() - begun:.1f} s)",
                    hint=_HINT,
                )

    def _follow(self) -> None:
        """Update the copy to the newest version."""
        while True:
            metas = self._current.take_metas()
            meta = newest_meta(metas)
            known = self._tree.meta
            # Something else on the pages of the metas was written: the version is the same.
            if meta == known:
                self.metas = metas
                return
            try:
                is_next = meta.transaction == known.transaction + 1 and self._tree.advance(meta)
            except ChangedError:
                continue
            # Each version may overwrite pages of the one before the last: a copy that missed one
            # cannot know which of its pages still count, and begins anew.
            if is_next:
                self.metas = metas
                self.followed += 1
            else:
                self._begin(metas)
            return

    @property
    def meta(self) -> Meta:
        """The version that was copied."""
        return self._tree.meta

    def size(self) -> int:
        """Return the size of the file in bytes."""
        return self._disk.size()

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on: fewer only at the end.

        What is no part of the version is read from the file as it is by now.

        Raises:
            FileBusyError: the time for copying and reading is over.
        """
        if self._deadline is not None and monotonic() > self._deadline:
            raise FileBusyError(
                "the database is large, and another process keeps changing it: an answer takes "
                "longer than it may",
                hint=_HINT,
            )
        size, numbers = self._page_size, self._tree.numbers
        first, begin = divmod(offset, size)
        last = (offset + length - 1) // size
        pieces = []
        for page in range(first, last + 1):
            number = numbers[page] if page < len(numbers) else 0
            pieces.append(
                self._store.read(number) if number else self._disk.read(page * size, size)
            )
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return data if not begin and len(data) == length else data[begin : begin + length]

    def close(self) -> None:
        """Delete the temporary files of the copy."""
        self._store.close()
