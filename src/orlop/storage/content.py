"""The content store on disk: blobs by digest, and ingests that become blobs.

Source: containerd, plugins/content/local; the layout is the same to the byte.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, BinaryIO

from orlop.concurrency.forks import HomeProcess
from orlop.concurrency.interrupts import reraise_interrupt
from orlop.concurrency.ownership import Mutex
from orlop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from orlop.storage.blobs import Blobs
from orlop.storage.content_writer import ContentWriter
from orlop.storage.ingests import Ingests
from orlop.storage.locks import ReferenceLock, ReferenceLocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orlop.clock import Clock
    from orlop.records import ContentInfo, IngestStatus


_logger = logging.getLogger(__name__)


class LocalContent:
    """Blobs in a directory, which is made by the first write.

    Every thread may use it. References are locked in the memory of this object: of two
    processes, or two objects on one directory, only one may write.
    """

    def __init__(self, root: Path, *, clock: Clock) -> None:
        root = root.absolute()  # the working directory may change
        self._root = root
        self._clock = clock
        self._blobs = Blobs(root)
        self._ingests = Ingests(root, clock)
        self._locks = ReferenceLocks(clock)
        self._tidying = Mutex()
        self._is_tidy = False
        self._home = HomeProcess()

    def info(self, digest: str) -> ContentInfo:
        """Return size and times of a blob: created when it was modified, updated when read.

        Raises:
            InvalidArgumentError: this is no digest.
            NotFoundError: there is no such blob.
        """
        return self._blobs.info(digest)

    def walk(self) -> Iterator[ContentInfo]:
        """Iterate over all blobs in the order of their digests; other files are skipped."""
        return self._blobs.walk()

    def open(self, digest: str) -> BinaryIO:
        """Open a blob for reading; it is seekable, and the caller closes it.

        Raises:
            InvalidArgumentError: this is no digest.
            NotFoundError: there is no such blob.
        """
        return self._blobs.open(digest)

    def delete(self, digest: str) -> None:
        """Delete a blob; open readers of it stay valid.

        Raises:
            InvalidArgumentError: this is no digest.
            NotFoundError: there is no such blob.
        """
        self._tidy_once()
        self._blobs.delete(digest)

    def discard(self, digest: str) -> None:
        """Hide a blob; `cleanup` deletes its data.

        Raises:
            InvalidArgumentError: this is no digest.
            NotFoundError: there is no such blob.
        """
        self._require_home()
        self._blobs.discard(digest)

    def writer(self, ref: str, *, size: int = 0, expected: str = "") -> ContentWriter:
        """Open the ingest `ref` for writing: a new one, or an old one where it stopped.

        To go on where it stopped, all that was written before is read again and hashed.

        Args:
            ref: the name of the ingest, any text.
            size: how many bytes the blob will have; 0: not known. An ingest that was begun
                for another size is begun again.
            expected: a digest; where such a blob exists, of that size, nothing is opened.

        Raises:
            InvalidArgumentError: `ref` is empty, or `expected` is no digest.
            UnavailableError: another writer holds `ref`.
            AlreadyExistsError: a blob with the `expected` digest, and of that size, is there
                already.
        """
        if not ref:
            raise InvalidArgumentError("ref must not be empty")
        self._tidy_once()
        lock = ReferenceLock(ref)
        self._locks.acquire(lock)
        try:
            self._refuse_existing(expected, size)
            ingest = self._ingests.open(ref, size)
            return ContentWriter(
                ingest, self._ingests, self._blobs, (self._locks, lock), self._clock
            )
        except BaseException:
            self._locks.release(lock)
            raise

    def status(self, ref: str) -> IngestStatus:
        """Return the progress of `ref`.

        Raises:
            NotFoundError: there is no such ingest.
        """
        return self._ingests.status(ref)

    def statuses(self) -> Iterator[IngestStatus]:
        """Iterate over all ingests, in no order that means anything."""
        return self._ingests.statuses()

    def abort(self, ref: str) -> None:
        """Delete the ingest `ref` with its data; an open writer of it can only be closed then.

        Raises:
            NotFoundError: there is no such ingest.
        """
        self._tidy_once()
        self._ingests.remove(ref)

    def discard_ingest(self, ref: str) -> None:
        """Hide an ingest; `cleanup` deletes its data.

        A writer that holds it can only close then.

        Raises:
            NotFoundError: there is no such ingest.
        """
        self._require_home()
        self._ingests.discard(ref)

    def leftovers(self) -> dict[str, int]:
        """Return the directories in `ingest` that have data and no reference, with their bytes."""
        return self._ingests.leftovers()

    def discard_leftover(self, name: str) -> None:
        """Hide a leftover; `cleanup` deletes its data.

        Raises:
            NotFoundError: there is no leftover of that name: it may be an ingest again.
        """
        self._require_home()
        self._ingests.discard_leftover(name)

    def ingest_size(self, ref: str) -> int:
        """Return the sizes of all files of an ingest together, in bytes.

        Raises:
            NotFoundError: there is no such ingest.
        """
        return self._ingests.size(ref)

    def cleanup(self, *, advance: Callable[[], None] = lambda: None) -> None:
        """Delete discarded data, and ingests without data that killed processes left.

        Args:
            advance: is called before each deletion; it raises where nothing may go any more.

        Raises:
            OSError: something could not be deleted; all the rest was.
        """
        self._require_home()
        try:
            self._ingests.cleanup(advance)
        finally:
            self._blobs.cleanup(advance)

    def mounted(self) -> dict[str, str]:
        """Return the digests and references that something is mounted in, each with its path.

        A leftover has the name of its directory.
        """
        return {**self._blobs.mounted(), **self._ingests.mounted()}

    def _refuse_existing(self, expected: str, size: int) -> None:
        if not expected:
            return
        try:
            found = self._blobs.info(expected)
        except NotFoundError:
            return
        if size <= 0 or size == found.size:
            raise AlreadyExistsError(f"content {expected}")

    def _require_home(self) -> None:
        """Refuse to write in a forked process: which references are locked, the parent knows."""
        if not self._home.is_here:
            raise FailedPreconditionError(f"{self._root}: {self._home.refusal}")

    def _tidy_once(self) -> None:
        self._require_home()
        with self._tidying:
            if not self._is_tidy:
                try:
                    self._ingests.cleanup()
                except OSError as error:
                    reraise_interrupt(error)
                    # The next cleanup tries again, and tells.
                    _logger.warning("an old ingest stays: %s", error)
                self._is_tidy = True
