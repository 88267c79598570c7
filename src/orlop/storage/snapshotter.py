"""Base of the snapshotters that keep each snapshot in a directory.

`<root>/metadata.db` names the snapshots, `<root>/snapshots/<id>` holds them. A directory
is complete and durable before the database names it, and is deleted only after the database
durably names it no more: a process killed at any point leaves at most directories that
nothing names, which `cleanup` deletes.

Durable means a sync of the whole file system (syncfs) where a snapshot has many files: a sync
of each costs a write of the journal each, one after the other.

Source: containerd, plugins/snapshots/{native,overlay}.
"""

from __future__ import annotations

import abc
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from orlop.concurrency.interrupts import reraise_interrupt, suppress_os_errors
from orlop.errors import (
    RESTORE_SNAPSHOTS,
    ConflictError,
    DataLossError,
    FailedPreconditionError,
    NotFoundError,
    UnimplementedError,
)
from orlop.records import SnapshotKind
from orlop.storage import files
from orlop.storage.contract import snapshot_number
from orlop.storage.directories import directory_fault, emptied_fault
from orlop.storage.metastore import Metastore
from orlop.storage.mounts import MountedError
from orlop.storage.restoring import RestorableSnapshotter
from orlop.storage.usage import disk_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from orlop.clock import Clock
    from orlop.kv import Engine
    from orlop.records import Mount, SnapshotInfo, SnapshotUsage
    from orlop.storage.snapshots import Snapshot, Snapshots

_LOG: Final = logging.getLogger(__name__)
_DATABASE: Final = "metadata.db"
_SNAPSHOTS: Final = "snapshots"
_DIRECTORY_MODE: Final = 0o700
_AT_ONCE: Final = 64
"""So many leftovers are renamed while the database is locked."""


class DirectorySnapshotter(RestorableSnapshotter):
    """A snapshot backend over directories. Every thread may use it."""

    def __init__(self, root: Path, open_engine: Callable[[Path], Engine], *, clock: Clock) -> None:
        self._root = root.absolute()  # mounts are made from any working directory
        directory = self._root / _SNAPSHOTS
        metastore = Metastore(
            self._root / _DATABASE, open_engine, find_data=self._find_directory, clock=clock
        )
        super().__init__(self._root, metastore, directory)

    @abc.abstractmethod
    def _has_directory(self, kind: SnapshotKind, parent_id: str | None) -> bool:
        """Return whether a new snapshot gets a directory of its own."""

    @abc.abstractmethod
    def _fill(
        self,
        directory: Path,
        kind: SnapshotKind,
        parent_id: str | None,
        labels: Mapping[str, str],
    ) -> None:
        """Fill the empty directory of a new snapshot.

        Data is durable when this returns. Directories become so with the name of this one: a
        file system that syncs the names in a directory syncs those below that are new.
        """

    @abc.abstractmethod
    def _own(self, number: str, kind: SnapshotKind, *, has_parent: bool) -> tuple[Path, ...]:
        """Return the directories that a snapshot must have of its own."""

    @abc.abstractmethod
    def _lower(self, kind: SnapshotKind, parent_ids: Sequence[str]) -> Sequence[str]:
        """Return the ids of the parents that a mount stacks."""

    @abc.abstractmethod
    def _mounts(self, snapshot: Snapshot) -> tuple[Mount, ...]:
        """Return how to mount an active snapshot or a view."""

    def stat(self, key: str) -> SnapshotInfo:
        """Return the info of a snapshot.

        Raises:
            NotFoundError: there is no such snapshot.
        """
        return self._metastore.read(lambda snapshots: snapshots.info(key))[1]

    def update(self, info: SnapshotInfo, paths: Sequence[str] = ()) -> SnapshotInfo:
        """Change labels: all of them, or those that `paths` (`labels`, `labels.<key>`) name.

        Raises:
            NotFoundError: there is no such snapshot.
            InvalidArgumentError: a path names something else.
        """
        with self._changing() as snapshots:
            return snapshots.update(info, paths)

    def usage(self, key: str) -> SnapshotUsage:
        """Return the disk usage of a snapshot beyond its parent.

        That of an active one is counted now, that of a committed one was at its commit.

        Raises:
            NotFoundError: there is no such snapshot.
            DataLossError: the directory of an active one is missing.
        """
        number, info, usage = self._metastore.read(lambda snapshots: snapshots.info(key))
        if info.kind is not SnapshotKind.ACTIVE:
            return usage
        with self._explaining(key, number):
            return disk_usage(self._data(number))

    def mounts(self, key: str) -> tuple[Mount, ...]:
        """Return how to mount an active snapshot or a view.

        Raises:
            NotFoundError: there is no such snapshot.
            FailedPreconditionError: it is committed.
            DataLossError: a directory that would be mounted is missing.
        """
        snapshot, chain = self._metastore.read(
            lambda snapshots: (snapshots.snapshot(key), snapshots.chain(key))
        )
        with self._unless_gone(lambda: self.stat(key)):
            own = self._own(snapshot.id, snapshot.kind, has_parent=bool(snapshot.parent_ids))
            if reason := next(filter(None, map(directory_fault, own)), ""):
                raise _lost(repr(key), reason)
            self._require(key, chain, self._lower(snapshot.kind, snapshot.parent_ids))
        return self._mounts(snapshot)

    def fault(self, key: str) -> str:
        """Return why the directory of a snapshot is not there; empty where it is.

        Raises:
            NotFoundError: there is no such snapshot.
        """
        return self._fault(*self._metastore.read(lambda snapshots: snapshots.info(key)))

    def faults(self) -> dict[str, str]:
        """Return the faults of all snapshots with missing directories, by key."""
        known = self._metastore.read(lambda snapshots: list(snapshots.outlines()))
        found = ((one[1].name, self._fault(*one)) for one in known)
        return {key: fault for key, fault in found if fault}

    def prepare(
        self, key: str, parent: str, labels: Mapping[str, str] | None = None
    ) -> tuple[Mount, ...]:
        """Create an active snapshot on `parent` (empty: on nothing) and return its mounts.

        Raises:
            NotFoundError: the parent does not exist.
            InvalidArgumentError: it is not committed, or the key can be none.
            AlreadyExistsError: the key is taken.
            DataLossError: a directory of what it stands on is missing.
        """
        return self._create(SnapshotKind.ACTIVE, key, parent, labels)

    def view(
        self, key: str, parent: str, labels: Mapping[str, str] | None = None
    ) -> tuple[Mount, ...]:
        """Create a read-only snapshot on `parent` and return its mounts.

        Raises: as `prepare`.
        """
        return self._create(SnapshotKind.VIEW, key, parent, labels)

    def commit(
        self,
        name: str,
        key: str,
        labels: Mapping[str, str] | None = None,
        *,
        parent: str = "",
    ) -> None:
        """Turn the active snapshot `key` into the committed snapshot `name`, durably.

        All that was written to it before is durable when this returns.

        Args:
            name: of the committed snapshot.
            key: of the active one; it is gone then.
            labels: all that the committed one has; none are inherited.
            parent: what it shall stand on, where it was prepared on nothing.

        Raises:
            AlreadyExistsError: the name is taken.
            NotFoundError: there is no such active snapshot.
            FailedPreconditionError: it is not active.
            ConflictError: it was removed and made again meanwhile.
            DataLossError: its directory is missing.
            UnimplementedError: it would have to be moved onto `parent`, and cannot.
        """
        number, info, usage = self._metastore.read(lambda snapshots: snapshots.info(key))
        if parent and parent != info.parent and not self._moves:
            raise UnimplementedError(f"snapshot {key!r} cannot be moved onto {parent!r}")
        if info.kind is SnapshotKind.ACTIVE:
            # Before the transaction, so that no other writer waits for the disk.
            data = self._data(number)
            with self._explaining(key, number):
                usage = disk_usage(data)
                files.sync_tree(data)
        with self._changing() as snapshots:
            committed = snapshots.commit_active(key, name, usage, labels, parent=parent)
            if committed != number:
                raise ConflictError(f"snapshot {key!r} was made again while it was committed")

    def remove(self, key: str) -> None:
        """Remove a snapshot, and then its directory.

        What cannot be deleted is left to `cleanup`, with a warning: the snapshot is gone.

        Raises:
            NotFoundError: there is no such snapshot.
            FailedPreconditionError: others stand on it.
        """
        with contextlib.ExitStack() as claimed:
            with self._changing() as snapshots:
                number, _ = snapshots.remove(key)
                # From before it is garbage: a cleanup would empty it at the same time.
                claimed.enter_context(self._directories.claim(number))
            self._discard(number)

    def discard(self, keys: Sequence[str]) -> list[str]:
        """Remove snapshots in that order, in one transaction; `cleanup` deletes their files.

        One that is not there, or on which others stand, is passed over.

        Returns:
            Which this removed.
        """
        removed = {}
        with self._changing() as snapshots:
            for key in keys:
                try:
                    removed[key] = snapshots.remove(key)[0]
                except NotFoundError:
                    continue
                except FailedPreconditionError as error:
                    _LOG.info("%s", error)
        mounted = self._directories.mounted() if removed else {}
        for number in removed.values():
            # Whatever could not be renamed is found by the cleanup all the same.
            if number not in mounted:
                with suppress_os_errors():
                    self._directories.take_away(number)
        return list(removed)

    def size_on_disk(self, key: str) -> int:
        """Return how many bytes of the disk the removal of a snapshot gives back.

        The files of a committed one were counted at its commit.

        Raises:
            NotFoundError: there is no such snapshot.
        """
        number, info, usage = self._metastore.read(lambda snapshots: snapshots.info(key))
        directory = self._directory / number
        if not directory.is_dir():
            return 0  # a view that shows its parent, or its directory is missing
        if self._fault(number, info, usage):
            return disk_usage(directory).size
        if info.kind is not SnapshotKind.COMMITTED:
            return disk_usage(directory).size
        return usage.size + disk_usage(directory, without=self._data(number)).size

    def walk(self) -> Iterator[SnapshotInfo]:
        """Iterate over all snapshots in byte order of their keys, as they are at one moment."""
        yield from self._metastore.read(lambda snapshots: list(snapshots.walk()))

    def numbers(self) -> dict[str, str]:
        """Return the number of the directory of each snapshot, by its key."""
        return {key: number for number, key in self._numbers().items()}

    def leftovers(self) -> dict[str, int]:
        """Return directories on disk that no snapshot needs, with their bytes.

        Raises: as `cleanup`.
        """
        found = {}
        for path in self._unnamed():
            with contextlib.suppress(FileNotFoundError):  # somebody else was faster
                found[path.name] = disk_usage(path).size
        return found

    def mounted(self) -> dict[str, str]:
        """Return the keys of snapshots and the names of leftovers that something is mounted in.

        Each has the path of such a mount. Files are not deleted through it: they are not ours.
        """
        found = self._directories.mounted()
        keys = self._numbers() if found else {}
        return {keys.get(name, name): place for name, place in found.items()}

    def cleanup(
        self, keep: Collection[str] = (), *, advance: Callable[[], None] = lambda: None
    ) -> None:
        """Delete leftovers of removed snapshots and killed processes from disk.

        Args:
            keep: leftovers that stay.
            advance: is called before each deletion; it raises where nothing may go any more.

        Raises:
            OSError: something could not be deleted; all the rest was.
            LostDatabaseError: there are snapshots on disk, but no database.
            FailedPreconditionError: it is only read: another process makes snapshots.
        """
        self._metastore.require_home()
        if self._directories.names() and self._metastore.exists():
            self._metastore.require_writing()
            advance()
            self._intents.delete_unfinished()
        advance()
        self._directories.put_back(self._numbers)
        names = [path.name for path in self._unnamed() if path.name not in keep]
        errors: list[OSError] = []
        for begin in range(0, len(names), _AT_ONCE):
            batch = names[begin : begin + _AT_ONCE]
            for path in self._begin_deletions(batch, advance, errors):
                advance()
                try:
                    self._directories.delete(path)
                except OSError as error:
                    reraise_interrupt(error)
                    errors.append(error)
        if errors:
            raise errors[0]

    def _begin_deletions(
        self, names: Sequence[str], advance: Callable[[], None], errors: list[OSError]
    ) -> list[Path]:
        """Rename directories that no snapshot needs, out of reach; return the new paths.

        The database is locked meanwhile: what a snapshot got since it was listed stays.
        """
        begun = []
        mounted = self._directories.mounted()

        def rename(known: Collection[str]) -> None:
            for name in names:
                advance()
                try:
                    if name in mounted:
                        raise MountedError(mounted[name])
                    path = self._directories.begin_deletion(name, known)
                except OSError as error:
                    reraise_interrupt(error)
                    errors.append(error)
                else:
                    if path is not None:
                        begun.append(path)

        if self._metastore.exists():
            self._metastore.while_locked(lambda snapshots: rename(snapshots.ids()))
        else:
            rename(())
        return begun

    def close(self) -> None:
        """Close the database; closing twice is allowed."""
        self._metastore.close()

    def _changing(self) -> contextlib.AbstractContextManager[Snapshots]:
        self._metastore.require_home()
        if not self._metastore.is_open:
            files.make_directories(self._root, _DIRECTORY_MODE)
        return self._metastore.update()

    def _create(
        self, kind: SnapshotKind, key: str, parent: str, labels: Mapping[str, str] | None
    ) -> tuple[Mount, ...]:
        def check(snapshots: Snapshots) -> dict[str, str]:
            snapshots.parent_id(parent)
            snapshots.refuse_existing(key)
            return snapshots.chain(parent)

        self._metastore.require_home()
        # Without a parent nothing is copied, and the transaction checks soon enough.
        chain = self._metastore.read(check) if parent else {}
        parent_id = next(iter(chain), None)
        with self._unless_gone(lambda: self._metastore.read(check)):
            self._require(parent, chain, self._lower(SnapshotKind.VIEW, list(chain)))
        try:
            # Filled before the transaction, so that no other writer waits for a copy.
            with (
                self._new_directory(kind, parent_id, labels or {}) as directory,
                contextlib.ExitStack() as claimed,
                self._changing() as snapshots,
            ):
                is_free = self._directories.is_free
                snapshot = snapshots.create(kind, key, parent, labels, is_free=is_free)
                if snapshot.parent_ids[:1] != (() if parent_id is None else (parent_id,)):
                    raise ConflictError(f"parent snapshot {parent!r} was made again meanwhile")
                if directory is not None:
                    claimed.enter_context(self._directories.claim(snapshot.id))
                    self._directories.put_in_place(directory, snapshot.id)
        except FileNotFoundError:
            self._metastore.read(check)  # the parent may have been removed during the copy
            raise
        return self._mounts(snapshot)

    def _fault(self, number: str, info: SnapshotInfo, usage: SnapshotUsage) -> str:
        own = self._own(number, info.kind, has_parent=bool(info.parent))
        fault = next(filter(None, map(directory_fault, own)), "")
        # The directory itself is counted, too.
        if not fault and info.kind is SnapshotKind.COMMITTED and usage.inodes > 1:
            return emptied_fault(self._data(number))
        return fault

    def _require(self, key: str, chain: Mapping[str, str], numbers: Sequence[str]) -> None:
        """Check that the directories of committed snapshots are there.

        Args:
            key: of the snapshot that is one of them, or stands on them.
            chain: their keys by their ids.
            numbers: the ids of those to look at.

        Raises:
            DataLossError: one is missing, or was emptied.
        """
        for number in numbers:
            path = self._data(number)
            reason = directory_fault(path)
            if not reason and emptied_fault(path):
                reason = self.fault(chain[number])
            if reason:
                below = "" if chain[number] == key else f", on which {key!r} stands"
                raise _lost(f"{chain[number]!r}{below}", reason)

    @contextlib.contextmanager
    def _unless_gone(self, look_again: Callable[[], object]) -> Iterator[None]:
        """Let `look_again` say first that a snapshot was removed, where directories are missing."""
        try:
            yield
        except DataLossError:
            look_again()
            raise

    @contextlib.contextmanager
    def _explaining(self, key: str, number: str) -> Iterator[None]:
        """Let an error about a missing directory of an active snapshot say so."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            reason = directory_fault(self._data(number))
            if not reason:
                raise
            self.stat(key)  # raises where it was removed meanwhile
            raise _lost(repr(key), reason) from error

    def _new_directory(
        self, kind: SnapshotKind, parent_id: str | None, labels: Mapping[str, str]
    ) -> contextlib.AbstractContextManager[Path | None]:
        if not self._has_directory(kind, parent_id):
            return contextlib.nullcontext()
        return self._directories.new(
            lambda directory: self._fill(directory, kind, parent_id, labels)
        )

    def _discard(self, number: str) -> None:
        """Delete the directory of a snapshot that is removed."""
        try:
            self._directories.remove(number)
        except OSError as error:
            reraise_interrupt(error)
            _LOG.warning("snapshot %s is left to the next cleanup: %s", number, error)

    def _unnamed(self) -> list[Path]:
        if not self._metastore.exists():
            self._metastore.require_not_lost()
        return self._directories.unnamed(self._numbers)

    def _find_directory(self) -> Path | None:
        """Return the directory of a snapshot, if there is any."""
        numbered = next(filter(snapshot_number, self._directories.names()), None)
        return None if numbered is None else self._directory / numbered

    def _numbers(self) -> dict[str, str]:
        return self._metastore.read(lambda snapshots: snapshots.ids())


def _lost(what: str, reason: str) -> DataLossError:
    return DataLossError(f"snapshot {what}: {reason}", hint=RESTORE_SNAPSHOTS)
