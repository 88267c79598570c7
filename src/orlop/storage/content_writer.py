"""One blob in writing, from its first byte to its commit.

Source: containerd, plugins/content/local/writer.go.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import stat
from typing import TYPE_CHECKING, Final

from orlop import digests
from orlop.concurrency.forks import HomeProcess
from orlop.concurrency.interrupts import reraise_interrupt
from orlop.errors import (
    AbortedError,
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
)
from orlop.storage.files import naming
from orlop.storage.ingests import DATA
from orlop.storage.removal import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from orlop.clock import Clock
    from orlop.records import IngestStatus
    from orlop.storage.blobs import Blobs
    from orlop.storage.ingests import Ingests, OpenIngest
    from orlop.storage.locks import ReferenceLock, ReferenceLocks

_logger = logging.getLogger(__name__)

_READ_BYTES: Final = 1 << 20
_READABLE: Final = 0o444


class ContentWriter:
    """Writes an ingest and makes a blob of it. One thread at a time may use it."""

    def __init__(
        self,
        ingest: OpenIngest,
        ingests: Ingests,
        blobs: Blobs,
        lock: tuple[ReferenceLocks, ReferenceLock],
        clock: Clock,
    ) -> None:
        self._ingest = ingest
        self._ingests = ingests
        self._blobs = blobs
        self._locks, self._lock = lock
        self._clock = clock
        self._status = ingest.status
        self._running = ingest.running
        self._is_sealed = False
        self._is_open = True
        self._home = HomeProcess()
        self._changed_at = self._change_time()

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append `data`; return how many bytes that was.

        When it fails half-way (the disk is full), what was written counts, and the writer
        can go on.

        Raises:
            FailedPreconditionError: the writer is closed.
        """
        descriptor = self._descriptor("write to")
        self._is_sealed = False
        remaining = memoryview(data).cast("B")
        length = len(remaining)
        try:
            with self._naming():
                while remaining:
                    written = os.write(descriptor, remaining)
                    self._running.update(remaining[:written])
                    remaining = remaining[written:]
        finally:
            self._changed_at = self._change_time()
            offset = self._status.offset + length - len(remaining)
            self._status = dataclasses.replace(
                self._status, offset=offset, updated_at=self._clock.now()
            )
        return length

    def status(self) -> IngestStatus:
        """Return the progress of the blob; also of a closed writer."""
        return self._status

    def digest(self) -> str:
        """Return the digest (sha256) of the bytes written so far."""
        return digests.of_hash(self._running)

    def truncate(self, size: int) -> None:
        """Start over.

        Raises:
            InvalidArgumentError: `size` is not 0.
            FailedPreconditionError: the writer is closed.
        """
        if size != 0:
            raise InvalidArgumentError(
                f"ref {self._status.ref}: can only be truncated to 0 bytes, not to {size}"
            )
        descriptor = self._descriptor("truncate")
        self._is_sealed = False
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        self._changed_at = self._change_time()
        self._running = digests.new_hash()
        self._status = dataclasses.replace(self._status, offset=0)

    def sync(self) -> None:
        """Make the data written so far durable; a commit that follows need not do it again.

        The ingest itself becomes durable with `close`, or the blob with `commit`.

        Raises:
            FailedPreconditionError: the writer is closed.
        """
        self._seal(self._descriptor("sync"))

    def commit(self, *, size: int = 0, expected: str = "", replace: bool = False) -> None:
        """Make the blob part of the store under its digest, durably, and close the writer.

        The blob is named by its sha256, or by the algorithm of `expected`. A file of that name
        that has another size than the data is replaced; hard links to it, and readers that have
        it open, keep the old one.

        Args:
            size: what the size must be, in bytes; 0 for any.
            expected: what the digest must be; empty for any.
            replace: whether a file of the same size is replaced, too.

        Raises:
            FailedPreconditionError: size or digest differ, or a directory is in the place of
                the blob (the ingest stays), or the writer is closed.
            AlreadyExistsError: the blob is there already, and stays (the ingest goes).
            InvalidArgumentError: `expected` is no digest (the ingest stays).
            AbortedError: the ingest was aborted meanwhile.
        """
        descriptor = self._descriptor("commit")
        try:
            digest = self._verified(descriptor, size, expected)
            if not self._is_sealed:
                self._seal(descriptor)
            self._publish(digest, replace=replace)
        finally:
            self._release()

    def close(self) -> None:
        """Unlock the reference and keep the written bytes, durably, to resume later.

        Closing twice, or after a commit, is allowed.
        """
        if not self._is_open:
            return
        try:
            with self._naming():
                if not self._home.is_here:
                    return  # the process that began it goes on with it
                os.fsync(self._ingest.descriptor)
                updated_at = self._status.updated_at
                if updated_at is not None:
                    self._ingests.set_updated(self._ingest, updated_at)
                self._ingests.sync(self._ingest)
        finally:
            self._release()

    def _naming(self) -> AbstractContextManager[None]:
        return naming(f"ingest of ref {self._status.ref}")

    def _descriptor(self, action: str) -> int:
        if not self._is_open:
            raise FailedPreconditionError(
                f"cannot {action} on closed writer of ref {self._status.ref}"
            )
        if not self._home.is_here:
            raise FailedPreconditionError(f"ref {self._status.ref}: {self._home.refusal}")
        return self._ingest.descriptor

    def _release(self) -> None:
        self._is_open = False
        try:
            self._ingest.file.close()
        finally:
            if self._home.is_here:
                self._locks.release(self._lock)

    def _verified(self, descriptor: int, size: int, expected: str) -> str:
        """Return the digest to store the data under, once size and digest are as demanded."""
        actual = os.fstat(descriptor).st_size
        if size > 0 and size != actual:
            raise FailedPreconditionError(
                f"ref {self._status.ref}: unexpected commit size {actual}, expected {size}"
            )
        if actual != self._status.offset:
            raise FailedPreconditionError(
                f"ref {self._status.ref}: {self._status.offset} bytes were written, but the file "
                f"has {actual}: somebody else changed it; write it again from the beginning"
            )
        digest = self.digest()
        if self._change_time() != self._changed_at and digest != _hash_again(
            descriptor, digests.algorithm(digest)
        ):
            raise FailedPreconditionError(
                f"ref {self._status.ref}: the data is not what was written; somebody else changed "
                "it; write it again from the beginning"
            )
        if expected and digests.algorithm(expected) != digests.algorithm(digest):
            digest = _hash_again(descriptor, digests.algorithm(expected))
        if expected and expected != digest:
            raise FailedPreconditionError(
                f"ref {self._status.ref}: unexpected commit digest {digest}, expected {expected}"
            )
        return digest

    def _seal(self, descriptor: int) -> None:
        """Make the data read-only and durable, as of now."""
        unchanged = self._change_time() == self._changed_at
        now = self._clock.now().timestamp(unit="nanosecond")
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        os.fchmod(descriptor, mode & _READABLE)
        os.utime(descriptor, ns=(now, now))
        os.fsync(descriptor)
        self._is_sealed = True
        if unchanged:
            self._changed_at = self._change_time()

    def _change_time(self) -> int:
        """Return the change time of the data file, in nanoseconds: it shows foreign writes."""
        return os.fstat(self._ingest.descriptor).st_ctime_ns

    def _publish(self, digest: str, *, replace: bool) -> None:
        with self._ingests.holding(self._ingest) as source:
            if source is None:
                raise AbortedError(
                    f"ref {self._status.ref}: the ingest was removed; write it again"
                )
            # The ingest goes before the sync of the blob's name, which so covers both: an
            # ingest without data is not to be seen after a loss of power.
            is_new, removed = self._blobs.publish(
                digest, DATA, source, self._take_away, size=None if replace else self._status.offset
            )
        if removed is not None:
            try:
                remove_tree(removed)
            except OSError as error:
                reraise_interrupt(error)
                # The blob is in its place. The next cleanup tries again, and tells.
                _logger.warning("ref %s: a part of its ingest stays: %s", self._status.ref, error)
        if not is_new:
            raise AlreadyExistsError(f"content {digest}")

    def _take_away(self) -> Path | None:
        # Somebody who aborts at the same moment removes it as well.
        return self._ingests.take_away(self._status.ref)


def _hash_again(descriptor: int, algorithm: str) -> str:
    def chunks() -> Iterator[bytes]:
        offset = 0
        while chunk := os.pread(descriptor, _READ_BYTES, offset):
            yield chunk
            offset += len(chunk)

    return digests.of_chunks(chunks(), algorithm)
