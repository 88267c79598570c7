"""Restoring of snapshots that have lost their files, from an active snapshot with the same ones."""

from __future__ import annotations

import abc
import contextlib
from functools import partial
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from orlop.errors import AlreadyExistsError, ConflictError, FailedPreconditionError
from orlop.records import SnapshotKind
from orlop.storage import files
from orlop.storage.copying import copy_tree
from orlop.storage.directories import SnapshotDirectories
from orlop.storage.reversible import ReversibleSnapshotter
from orlop.storage.usage import disk_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from orlop.records import SnapshotInfo, SnapshotUsage
    from orlop.storage.metastore import Metastore


class SnapshotCopy(NamedTuple):
    """A copy of the files of a snapshot.

    Attributes:
        source: the number of the snapshot.
        directory: where the copy is.
        usage: what the copy takes on disk.
    """

    source: str
    directory: Path
    usage: SnapshotUsage


class RestorableSnapshotter(ReversibleSnapshotter):
    """A snapshotter that keeps each snapshot in a directory, and can restore it."""

    _moves: ClassVar[bool]
    """Whether a snapshot that was prepared on nothing can be committed onto a parent."""

    def __init__(self, root: Path, metastore: Metastore, directory: Path) -> None:
        super().__init__(root, metastore)
        self._directory = directory
        self._directories = SnapshotDirectories(directory)

    @abc.abstractmethod
    def discard(self, keys: Sequence[str]) -> list[str]:
        """Remove snapshots; return their keys. The next cleanup deletes their files."""

    @abc.abstractmethod
    def _data(self, number: str) -> Path:
        """Return where the files of the snapshot with that id are."""

    @abc.abstractmethod
    def _fault(self, number: str, info: SnapshotInfo, usage: SnapshotUsage) -> str:
        """Return why the files of a snapshot are missing; empty if they are there."""

    @abc.abstractmethod
    def _explaining(self, key: str, number: str) -> contextlib.AbstractContextManager[None]:
        """Say of a missing directory which snapshot it is of."""

    @abc.abstractmethod
    def _numbers(self) -> dict[str, str]:
        """Return the keys of all snapshots by their ids."""

    @contextlib.contextmanager
    def copy_files(self, active: str) -> Iterator[SnapshotCopy]:
        """Yield a durable copy of the files of an active snapshot, for `restore`.

        It is deleted at the end of the block, unless a snapshot got it.

        Raises:
            NotFoundError: there is no such snapshot.
            DataLossError: its directory is missing.
            OSError: it could not be copied.
        """
        source, _, _ = self._metastore.read(lambda snapshots: snapshots.info(active))
        with (
            self._explaining(active, source),
            self._directories.new(partial(copy_tree, self._directory / source)) as directory,
        ):
            data = self._data(source).relative_to(self._directory / source)
            usage = disk_usage(directory / data)
            files.sync_tree(directory)
            yield SnapshotCopy(source, directory, usage)

    def restore(
        self,
        key: str,
        active: str,
        labels: Mapping[str, str] | None = None,
        *,
        parent: str = "",
        copy: object | None = None,
    ) -> Callable[[], None]:
        """Give a copy of the files of an active snapshot to a committed one that has lost its own.

        They are durable when this returns, and where they were before: what stands on the
        committed snapshot, and mounts of it, find them. The active one stays as it is, so that
        nothing is lost if the update that this is part of never ends.

        Args:
            key: of the committed snapshot. One that the database does not know is made.
            active: of the active one.
            labels: of a snapshot that is made.
            parent: what a snapshot that is made stands on.
            copy: of the files, from `copy_files`; `None`: they are copied now.

        Returns:
            What takes the files away again.

        Raises:
            NotFoundError: there is no such active snapshot, or no such parent.
            AlreadyExistsError: the directory of the committed one is there.
            FailedPreconditionError: they are not of these kinds, or do not stand on the same
                snapshot, or something else is in the place of the directory.
            ConflictError: the active one was made again since it was copied.
            OSError: it could not be copied.
        """
        self._directories.put_back(self._numbers)
        source, taken, _ = self._metastore.read(lambda snapshots: snapshots.info(active))
        is_known = self._check_restoring(key, taken, parent)
        with contextlib.ExitStack() as copied:
            made = copy if isinstance(copy, SnapshotCopy) else None
            made = made or copied.enter_context(self.copy_files(active))
            if made.source != source:
                raise ConflictError(f"snapshot {active!r} was made again while it was copied")
            if is_known:
                return self._give(key, made.directory, made.usage)
            with contextlib.ExitStack() as claimed, self._changing() as snapshots:
                number = snapshots.create_committed(
                    key, parent, labels, usage=made.usage, is_free=self._directories.is_free
                )
                claimed.enter_context(self._directories.claim(number))
                self._directories.put_in_place(made.directory, number)
        return lambda: self._forget(key)

    def _give(self, key: str, directory: Path, usage: SnapshotUsage) -> Callable[[], None]:
        """Let a directory be that of a snapshot that has lost its own."""
        with contextlib.ExitStack() as claimed, self._changing() as snapshots:
            snapshots.set_usage(key, usage)
            number = str(snapshots.number(key))
            claimed.enter_context(self._directories.claim(number))
            data = self._data(number).relative_to(self._directory / number)
            given = self._directories.hand_over(directory, number, data)
        return lambda: self._directories.throw_away(given)

    def _forget(self, key: str) -> None:
        self.discard([key])

    def _check_restoring(self, key: str, active: SnapshotInfo, parent: str) -> bool:
        """Check that a snapshot can get the files of another; return whether it is known.

        Raises:
            FailedPreconditionError: they would be others.
            AlreadyExistsError: it has its files.
        """
        is_known = self._number(key) is not None
        if active.kind is not SnapshotKind.ACTIVE:
            raise FailedPreconditionError(
                f"snapshot {active.name!r} is {active.kind.name.lower()}, not active"
            )
        if is_known:
            number, info, usage = self._metastore.read(lambda snapshots: snapshots.info(key))
            if info.kind is not SnapshotKind.COMMITTED:
                raise FailedPreconditionError(
                    f"snapshot {key!r} is {info.kind.name.lower()}, not committed"
                )
            if not self._fault(number, info, usage):
                raise AlreadyExistsError(f"the files of snapshot {key!r}")
            parent = info.parent
        if active.parent != parent and (active.parent or not self._moves):
            raise FailedPreconditionError(
                f"snapshot {key!r} stands on {parent!r}, and {active.name!r} on "
                f"{active.parent!r}: its files are others"
            )
        return is_known
