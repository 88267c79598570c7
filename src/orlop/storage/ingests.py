"""Blobs in writing: `ingest/<sha256 of the reference>/{ref,data,startedat,updatedat,total}`.

An ingest appears and disappears whole, by a rename: what is being made or removed lies in
the store's root under `.new-` or `.rm-`, where containerd does not look. (Its listing of
ingests fails as a whole when one of them has no data.) `cleanup` deletes what a killed
process left there.

The directory's name is the hash of the reference, so an ingest whose `ref` is damaged is found by
its reference all the same, and is written on to. Where the reference is not known, it is a
leftover: it has data and no name, and `cleanup` leaves it alone.

Source: containerd, plugins/content/local.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from whenever import Instant

from orlop import digests
from orlop.concurrency.forks import HomeProcess
from orlop.concurrency.interrupts import reraise_interrupt
from orlop.concurrency.ownership import Mutex, OwnedFile
from orlop.errors import NotFoundError
from orlop.records import IngestStatus
from orlop.schema.codec import timestamps
from orlop.storage import files
from orlop.storage.contract import ingest_directory
from orlop.storage.mounts import MountedError, mounts_in, naming_mounts
from orlop.storage.removal import remove_tree, remove_trees
from orlop.storage.usage import disk_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orlop.clock import Clock
    from orlop.digests import Hash

DATA: Final = "data"
_INGEST: Final = "ingest"
_REF: Final = "ref"
_STARTED_AT: Final = "startedat"
_UPDATED_AT: Final = "updatedat"
_TOTAL: Final = "total"
_SMALL_FILES: Final = (_REF, _STARTED_AT, _UPDATED_AT, _TOTAL)
_NEW: Final = ".new-"
_REMOVED: Final = ".rm-"
_DIRECTORY_MODE: Final = 0o755
_DATA_MODE: Final = 0o644
_READ_BYTES: Final = 1 << 20
_SMALL_FILE_BYTES: Final = 1 << 16
_OWNER_WRITES: Final = stat.S_IWUSR
_SMALL_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_DATA: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class OpenIngest:
    """An ingest with an open writer.

    Attributes:
        name: of its directory in `ingest`.
        file: its data, which stands at the end.
        running: the sha256 of the data so far.
        status: how far it had come when it was opened.
    """

    name: str
    file: OwnedFile
    running: Hash
    status: IngestStatus

    @property
    def descriptor(self) -> int:
        """The descriptor of its data."""
        return self.file.fileno()


class Ingests:
    """The ingests of a content store. Locks on references are the caller's."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root
        self._clock = clock
        # Held while an ingest is put in place or taken away, so that cleanup sees neither.
        self._changing = Mutex()
        self._home = HomeProcess()

    def open(self, ref: str, total: int) -> OpenIngest:
        """Open the ingest of `ref` for writing, at its end; a missing one is made.

        One without data, or that was begun for another `total`, is begun again. Where its
        reference or its times cannot be read, they are written again.
        """
        name = ingest_directory(ref)
        with self._changing:
            if not os.path.lexists(f"{self._root}/{_INGEST}/{name}"):
                return self._create(name, ref, total)
            found = self._read(name, ref)
            if found is None or 0 < total != found.total > 0:
                self._take_away(name)
                return self._create(name, ref, total)
            with files.directory(self._root, _INGEST, name) as ingest:
                self._repair(ingest, ref)
                file = OwnedFile(_open_for_writing(ingest), "r+b")
        return self._resume(name, file, found)

    def status(self, ref: str) -> IngestStatus:
        """Return the progress of `ref`.

        Raises:
            NotFoundError: there is no such ingest.
        """
        found = self._read(ingest_directory(ref), ref)
        if found is None:
            raise _missing(ref)
        return found

    def statuses(self) -> Iterator[IngestStatus]:
        """Iterate over all ingests; leftovers and other files are skipped."""
        for name in self._names():
            found = self._read(name)
            if found is not None:
                yield found

    def leftovers(self) -> dict[str, int]:
        """Return the directories in `ingest` that have data and no reference, with their bytes."""
        found = {}
        for name in self._names():
            if self._is_leftover(name):
                with contextlib.suppress(FileNotFoundError):  # it was removed meanwhile
                    found[name] = disk_usage(self._root / _INGEST / name).size
        return found

    def discard_leftover(self, name: str) -> None:
        """Move a leftover out of sight, unless its reference became known meanwhile.

        Raises:
            NotFoundError: there is no leftover of that name.
            MountedError: something is mounted in it.
        """
        place = mounts_in(self._root / _INGEST).get(name)
        if place is not None:
            raise MountedError(place)
        with self._changing:
            if not self._is_leftover(name) or self._take_away(name) is None:
                raise NotFoundError(f"{self._root / _INGEST / name}")

    def remove(self, ref: str) -> None:
        """Delete the ingest of `ref` with its data.

        Raises:
            NotFoundError: there is no such ingest.
        """
        remove_tree(self.discard(ref))

    def discard(self, ref: str) -> Path:
        """Move the ingest of `ref` out of sight; return where `cleanup` will find it.

        Raises:
            NotFoundError: there is no such ingest.
        """
        place = mounts_in(self._root / _INGEST).get(ingest_directory(ref))
        if place is not None:
            raise MountedError(place)
        removed = self.take_away(ref)
        if removed is None:
            raise _missing(ref)
        return removed

    def take_away(self, ref: str) -> Path | None:
        """Move the ingest of `ref` out of sight; return where it is, `None` where there is none."""
        with self._changing:
            return self._take_away(ingest_directory(ref))

    def size(self, ref: str) -> int:
        """Return the sizes of all files of the ingest of `ref` together, in bytes.

        Raises:
            NotFoundError: there is no such ingest.
        """
        try:
            with (
                files.directory(self._root, _INGEST, ingest_directory(ref)) as descriptor,
                os.scandir(descriptor) as entries,
            ):
                return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
        except FileNotFoundError:
            raise _missing(ref) from None

    def set_updated(self, ingest: OpenIngest, updated_at: Instant) -> None:
        """Note when an ingest was written to last; nothing happens where it is gone."""
        with self.holding(ingest) as descriptor:
            if descriptor is not None:
                text = timestamps.format_rfc3339_nano(updated_at).encode()
                files.write_atomically(_UPDATED_AT, text, dir_fd=descriptor)

    def sync(self, ingest: OpenIngest) -> None:
        """Make durable all that an ingest needs beside its data; nothing happens where it is gone.

        That is what is noted of it, and the names of its files and of its directory.
        """
        with self.holding(ingest) as descriptor:
            if descriptor is None:
                return
            for name in _SMALL_FILES:
                with contextlib.suppress(FileNotFoundError):  # `total` may be missing
                    files.sync_file(name, dir_fd=descriptor)
            os.fsync(descriptor)
        files.sync_directory(self._root / _INGEST)

    @contextlib.contextmanager
    def holding(self, ingest: OpenIngest) -> Iterator[int | None]:
        """Yield the directory of an open ingest, `None` where it was removed meanwhile."""
        with contextlib.ExitStack() as stack:
            try:
                place = files.directory(self._root, _INGEST, ingest.name)
                descriptor = stack.enter_context(place)
                named = os.stat(DATA, dir_fd=descriptor, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                yield None
                return
            is_same = os.path.samestat(named, os.fstat(ingest.descriptor))
            yield descriptor if is_same else None

    def mounted(self) -> dict[str, str]:
        """Return the references of ingests that something is mounted in, each with its path.

        A leftover has the name of its directory instead.
        """
        found = {}
        for name, path in mounts_in(self._root / _INGEST).items():
            ingest = self._read(name)
            found[name if ingest is None else ingest.ref] = path
        return found

    def cleanup(self, advance: Callable[[], None] = lambda: None) -> None:
        """Delete leftovers of killed processes: ingests without data, or half removed.

        Args:
            advance: is called before each deletion; it raises where nothing may go any more.

        Raises:
            OSError: something could not be deleted; all the rest was.
        """
        if not self._root.is_dir():
            return
        mounted = mounts_in(self._root / _INGEST)
        names = self._names()
        empty = [name for name in names if name not in mounted and self._is_empty(name)]
        with self._changing:  # so that none is being made or taken away
            for name in empty:
                advance()
                if self._is_empty(name):
                    self._take_away(name)
            with files.directory(self._root) as descriptor:
                found = files.list_names(descriptor)
            leftovers = [self._root / name for name in found if name.startswith((_NEW, _REMOVED))]
        remove_trees(leftovers, advance)

    def _is_empty(self, name: str) -> bool:
        """Return whether there is an ingest without a byte of data, and not a whole one."""
        if self._read(name) is not None:
            return False
        try:
            with (
                files.directory(self._root, _INGEST, name) as descriptor,
                os.scandir(descriptor) as entries,
            ):
                return all(map(_holds_no_data, entries))
        except OSError as error:
            reraise_interrupt(error)
            if files.is_missing(error):
                return False  # it is gone, or is no directory
            raise

    def _is_leftover(self, name: str) -> bool:
        is_there = os.path.lexists(f"{self._root}/{_INGEST}/{name}")
        return is_there and self._read(name) is None and not self._is_empty(name)

    def _repair(self, ingest: int, ref: str) -> None:
        """Rewrite the unreadable small files of an ingest: its reference and its times.

        The directory's name has told that it is the ingest of `ref`.
        """
        if _read_ref(ingest) != ref:
            files.write_atomically(_REF, _to_bytes(ref), dir_fd=ingest)
        now = timestamps.format_rfc3339_nano(self._clock.now()).encode()
        for name in (_STARTED_AT, _UPDATED_AT):
            if _parse_time(ingest, name) is None:
                files.write_atomically(name, now, dir_fd=ingest)

    def _create(self, name: str, ref: str, total: int) -> OpenIngest:
        now = self._clock.now()
        text = timestamps.format_rfc3339_nano(now).encode()
        contents = {_REF: _to_bytes(ref), _STARTED_AT: text, _UPDATED_AT: text}
        if total > 0:
            contents[_TOTAL] = str(total).encode()
        files.make_directories(self._root / _INGEST, _DIRECTORY_MODE)
        fresh = files.make_unique_directory(self._root, _NEW, _DIRECTORY_MODE)
        try:
            with files.directory(fresh) as descriptor, files.naming(f"ingest of ref {ref}"):
                for file, content in contents.items():
                    files.write_new(file, content, dir_fd=descriptor)
                data = OwnedFile(os.open(DATA, _NEW_DATA, _DATA_MODE, dir_fd=descriptor), "r+b")
                os.fchmod(data.fileno(), _DATA_MODE)
            with files.directory(self._root, _INGEST) as ingests:
                os.rename(fresh, name, dst_dir_fd=ingests)
        except BaseException:
            if self._home.is_here:
                remove_tree(fresh)
            raise
        status = IngestStatus(
            ref=ref, offset=0, total=max(total, 0), started_at=now, updated_at=now
        )
        return OpenIngest(name, data, digests.new_hash(), status)

    def _resume(self, name: str, file: OwnedFile, found: IngestStatus) -> OpenIngest:
        running = digests.new_hash()
        offset = 0
        while chunk := os.read(file.fileno(), _READ_BYTES):
            running.update(chunk)
            offset += len(chunk)
        status = IngestStatus(
            ref=found.ref,
            offset=offset,
            total=found.total,
            started_at=found.started_at,
            updated_at=found.updated_at,
        )
        return OpenIngest(name, file, running, status)

    def _take_away(self, name: str) -> Path | None:
        """Move an ingest out of sight; return where it is, `None` where there was none."""
        removed = files.unique_name(_REMOVED)
        try:
            with files.directory(self._root, _INGEST) as ingests, naming_mounts(ingests, name):
                # Not synced: what a power loss brings back is garbage, or is begun again.
                os.rename(name, self._root / removed, src_dir_fd=ingests)
        except FileNotFoundError:
            return None
        return self._root / removed

    def _names(self) -> list[str]:
        try:
            with files.directory(self._root, _INGEST) as ingests:
                return sorted(files.list_names(ingests))
        except FileNotFoundError:
            return []

    def _read(self, name: str, ref: str = "") -> IngestStatus | None:
        """Return the status of an ingest; `None` where there is none.

        Args:
            name: of its directory.
            ref: its reference; empty: there is none, unless it says itself what its reference is.
        """
        try:
            with files.directory(self._root, _INGEST, name) as descriptor:
                data = os.stat(DATA, dir_fd=descriptor, follow_symlinks=False)
                ref = ref or _read_ref(descriptor)
                if not stat.S_ISREG(data.st_mode) or ingest_directory(ref) != name:
                    return None
                return _read_status(descriptor, ref, data)
        except OSError as error:
            reraise_interrupt(error)
            if files.is_missing(error):
                return None
            raise


def _read_status(descriptor: int, ref: str, data: os.stat_result) -> IngestStatus:
    modified = Instant.from_timestamp(data.st_mtime_ns, unit="nanosecond")
    updated = _read_time(descriptor, _UPDATED_AT)
    return IngestStatus(
        ref=ref,
        offset=data.st_size,
        total=_read_total(descriptor),
        started_at=_read_time(descriptor, _STARTED_AT),
        # The file is only written when a writer closes: the data may be younger.
        updated_at=modified if updated is None else max(updated, modified),
    )


def _read_ref(descriptor: int) -> str:
    """Return the reference that an ingest says it has; empty where it says none."""
    return _read_small(descriptor, _REF).decode("utf-8", "surrogateescape")


def _read_time(descriptor: int, name: str) -> Instant | None:
    """Return a time that is noted, `None` where none is, or where it cannot be read."""
    instant = _parse_time(descriptor, name)
    return None if instant == Instant.MIN else instant


def _parse_time(descriptor: int, name: str) -> Instant | None:
    """Return a time as it is written, `None` where it cannot be read."""
    try:
        return timestamps.parse_rfc3339(_read_small(descriptor, name).decode())
    except ValueError:  # it was cut short
        return None


def _holds_no_data(entry: os.DirEntry[str]) -> bool:
    """Return whether a file in the directory of an ingest is one of ours, and no byte of data."""
    if not entry.is_file(follow_symlinks=False):
        return False
    if entry.name == DATA:
        return entry.stat(follow_symlinks=False).st_size == 0
    return entry.name.removesuffix(files.TEMPORARY_SUFFIX) in _SMALL_FILES


def _read_total(descriptor: int) -> int:
    try:
        return int(_read_small(descriptor, _TOTAL))
    except ValueError:
        return 0


def _read_small(descriptor: int, name: str) -> bytes:
    """Return the bytes of a small file; empty if no regular file has that name."""
    try:
        file = os.open(name, _SMALL_FLAGS, dir_fd=descriptor)
        with os.fdopen(file, "rb") as reader:
            return reader.read(_SMALL_FILE_BYTES)
    except IsADirectoryError:
        return b""
    except OSError as error:
        reraise_interrupt(error)
        if files.is_missing(error):
            return b""
        raise


def _open_for_writing(ingest: int) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(DATA, flags, dir_fd=ingest)
    except PermissionError:
        # A commit makes the data read-only before it renames it, and may have died between.
        reader = os.open(DATA, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=ingest)
        try:
            os.fchmod(reader, os.fstat(reader).st_mode | _OWNER_WRITES)
        finally:
            os.close(reader)
        return os.open(DATA, flags, dir_fd=ingest)


def _to_bytes(ref: str) -> bytes:
    return ref.encode("utf-8", "surrogateescape")


def _missing(ref: str) -> NotFoundError:
    return NotFoundError(f"ingest ref {ref!r}")
