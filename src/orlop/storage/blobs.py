"""The finished blobs of a content store: `blobs/<algorithm>/<hash>`.

Source: containerd, plugins/content/local.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from whenever import Instant

from orlop import digests
from orlop.concurrency.interrupts import reraise_interrupt
from orlop.concurrency.ownership import Mutex
from orlop.errors import FailedPreconditionError, NotFoundError
from orlop.records import ContentInfo
from orlop.storage.files import directory, is_missing, list_names, make_directories, unique_name
from orlop.storage.mounts import mounts_in, naming_mounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_Result = TypeVar("_Result")

_BLOBS: Final = "blobs"
_DISCARDED: Final = ".gone-"
"""Begins the names of discarded blobs, in the store's root, where containerd does not look."""
_DIRECTORY_MODE: Final = 0o755
_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


class Blobs:
    """Blobs by digest. No file that is reached through a symbolic link counts as one."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._publishing = Mutex()

    def info(self, digest: str) -> ContentInfo:
        """Return size and times of a blob: created when it was modified, updated when read.

        Raises:
            InvalidArgumentError: this is no digest.
            NotFoundError: there is no such blob.
        """
        algorithm, name = digests.algorithm(digest), digests.encoded(digest)
        # Most of those who ask hope for nothing, and one look tells them.
        path = self._path(digest)
        if not os.path.lexists(path):
            raise _missing(digest)
        with self._finding(digest), directory(self._root, _BLOBS, algorithm) as descriptor:
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            raise _missing(digest, f"{_kind(found.st_mode)} is in the place of its file {path}")
        return _info_of(found, algorithm, name)

    def walk(self) -> Iterator[ContentInfo]:
        """Iterate over all blobs in the order of their digests; other files are skipped."""
        for algorithm in digests.ALGORITHMS:
            with contextlib.ExitStack() as stack:
                try:
                    place = directory(self._root, _BLOBS, algorithm)
                    descriptor = stack.enter_context(place)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                yield from _walk(descriptor, algorithm)

    def open(self, digest: str) -> BinaryIO:
        """Open a blob for reading.

        Raises:
            InvalidArgumentError: this is no digest.
            NotFoundError: there is no such blob.
        """
        algorithm, name = digests.algorithm(digest), digests.encoded(digest)
        # Should it be a pipe in disguise, opening it must not wait for a writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with self._finding(digest), directory(self._root, _BLOBS, algorithm) as descriptor:
            blob = os.open(name, flags, dir_fd=descriptor)
        mode = os.fstat(blob).st_mode
        if not stat.S_ISREG(mode):
            os.close(blob)
            path = self._path(digest)
            raise _missing(digest, f"{_kind(mode)} is in the place of its file {path}")
        return os.fdopen(blob, "rb")

    def delete(self, digest: str) -> None:
        """Delete a blob; open readers of it stay valid.

        Raises:
            InvalidArgumentError: this is no digest.
            NotFoundError: there is no such blob.
        """
        algorithm, name = digests.algorithm(digest), digests.encoded(digest)
        with (
            self._finding(digest),
            directory(self._root, _BLOBS, algorithm) as descriptor,
            naming_mounts(descriptor, name),
        ):
            os.unlink(name, dir_fd=descriptor)

    def discard(self, digest: str) -> None:
        """Take a blob out of sight, without deleting its data: that may take the disk long.

        Raises:
            InvalidArgumentError: this is no digest.
            NotFoundError: there is no such blob.
        """
        algorithm, name = digests.algorithm(digest), digests.encoded(digest)
        with (
            self._finding(digest),
            directory(self._root, _BLOBS, algorithm) as descriptor,
            naming_mounts(descriptor, name),
        ):
            # Not synced: what a power loss brings back is garbage as before.
            os.rename(name, self._root / unique_name(_DISCARDED), src_dir_fd=descriptor)

    def mounted(self) -> dict[str, str]:
        """Return the digests of blobs that something is mounted on, each with its path."""
        return {
            f"{algorithm}:{name}": path
            for algorithm in digests.ALGORITHMS
            for name, path in mounts_in(self._root / _BLOBS / algorithm).items()
        }

    def cleanup(self, advance: Callable[[], None] = lambda: None) -> None:
        """Delete the data of discarded blobs; `advance` is called before each deletion."""
        if not self._root.is_dir():
            return
        with directory(self._root) as descriptor:
            for name in list_names(descriptor):
                if name.startswith(_DISCARDED):
                    advance()
                    with (
                        contextlib.suppress(FileNotFoundError),  # somebody else cleans up too
                        naming_mounts(descriptor, name),
                    ):
                        os.unlink(name, dir_fd=descriptor)

    def publish(
        self,
        digest: str,
        data: str,
        source: int,
        before_sync: Callable[[], _Result],
        *,
        size: int | None,
    ) -> tuple[bool, _Result]:
        """Make the file `data` of the open directory `source` the blob `digest`, durably.

        What has the name of the blob and is not whole is replaced in one step, so that a reader
        that has it open, or another name of it, keeps what it had.

        Args:
            digest: of the data, which is durable itself.
            data: the name of the file.
            source: where it is.
            before_sync: is called when the blob is in its place, before that is durable.
            size: of the data, in bytes: a file of that size stays. `None`: none stays.

        Returns:
            Whether the blob is new, else `data` is where it was; and what the call returned.

        Raises:
            FailedPreconditionError: a directory that cannot be removed is in its place.
        """
        algorithm, name = digests.algorithm(digest), digests.encoded(digest)
        with self._algorithm(algorithm) as target:
            with self._publishing:
                is_new = not _is_whole(target, name, size)
                if is_new:
                    self._remove_empty_directory(target, digest)
                    os.rename(data, name, src_dir_fd=source, dst_dir_fd=target)
            result = before_sync()
            # An older blob too: whoever renamed it may have been killed before this sync.
            os.fsync(target)
        return is_new, result

    def _path(self, digest: str) -> str:
        return f"{self._root}/{_BLOBS}/{digests.algorithm(digest)}/{digests.encoded(digest)}"

    @contextlib.contextmanager
    def _finding(self, digest: str) -> Iterator[None]:
        """Let an error of the system say which blob is not there, or which file it is about."""
        try:
            yield
        except FileNotFoundError as error:
            raise _missing(digest) from error
        except OSError as error:
            reraise_interrupt(error)
            path = self._path(digest)
            if is_missing(error):
                reason = f"{_kind_at(path)} is in the place of its file {path}"
                raise _missing(digest, reason) from error
            error.filename = path
            raise

    def _remove_empty_directory(self, descriptor: int, digest: str) -> None:
        """Remove the directory that a mount of a missing file leaves in its place."""
        try:
            os.rmdir(digests.encoded(digest), dir_fd=descriptor)
        except (FileNotFoundError, NotADirectoryError):
            return  # no directory is there: the usual case
        except OSError as error:
            reraise_interrupt(error)
            raise FailedPreconditionError(
                f"content {digest}: a directory is in the place of its file {self._path(digest)}, "
                f"and cannot be removed ({error.strerror}): move it away, and try again"
            ) from error

    @contextlib.contextmanager
    def _algorithm(self, algorithm: str) -> Iterator[int]:
        """Open the directory of an algorithm's blobs, which is made first where it is missing."""
        with contextlib.ExitStack() as stack:
            place = directory(self._root, _BLOBS, algorithm)
            try:
                descriptor = stack.enter_context(place)
            except FileNotFoundError:
                make_directories(self._root / _BLOBS / algorithm, _DIRECTORY_MODE)
                descriptor = stack.enter_context(place)
            yield descriptor


def _missing(digest: str, reason: str = "") -> NotFoundError:
    return NotFoundError(f"content {digest}: {reason}" if reason else f"content {digest}")


def _kind_at(path: str) -> str:
    try:
        return _kind(os.lstat(path).st_mode)
    except OSError as error:
        reraise_interrupt(error)
        return "something else"


def _kind(mode: int) -> str:
    """Return the name of a file type that is not a regular file."""
    return _KINDS.get(stat.S_IFMT(mode), "something else")


def _is_whole(descriptor: int, name: str, size: int | None) -> bool:
    """Return whether there is a plain file of that size; `None`: of no size."""
    if size is None:
        return False
    try:
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == size


def _walk(descriptor: int, algorithm: str) -> Iterator[ContentInfo]:
    for name in sorted(list_names(descriptor)):
        if digests.is_valid(f"{algorithm}:{name}"):
            found = _info(descriptor, algorithm, name)
            if found is not None:
                yield found


def _info(descriptor: int, algorithm: str, name: str) -> ContentInfo | None:
    try:
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return _info_of(status, algorithm, name) if stat.S_ISREG(status.st_mode) else None


def _info_of(status: os.stat_result, algorithm: str, name: str) -> ContentInfo:
    return ContentInfo(
        digest=f"{algorithm}:{name}",
        size=status.st_size,
        created_at=Instant.from_timestamp(status.st_mtime_ns, unit="nanosecond"),
        updated_at=Instant.from_timestamp(status.st_atime_ns, unit="nanosecond"),
    )
