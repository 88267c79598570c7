"""The contracts of a content backend and a snapshot backend, which keep the data.

The stores name data by namespace; a backend knows nothing of namespaces. Its references
and keys are the backend names `<namespace>/<sequence>/<key>` that the stores make up.
All errors are those of `orlop.errors`, or an `OSError` of the system.

`ContentBackend` and `SnapshotBackend` are what every backend has. The protocols that can be
checked at run time are capabilities that one may have; `orlop.storage.capabilities` says what
is done without them.

Source: github.com/containerd/containerd, core/content and core/snapshots.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, runtime_checkable

from orlop import digests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from orlop.records import ContentInfo, IngestStatus, Mount, SnapshotInfo, SnapshotUsage

CONTENT_BACKEND: Final = ""
"""The name of the content backend, among those of the snapshotters."""

INGEST_KIND: Final = "ingest"
"""The kind of an ingest in lists of the data of a backend."""

ORLOP_DIRECTORY: Final = ".orlop"
"""In the directory of a backend: files of Orlop, which containerd does not look at."""

REMOVED_PREFIX: Final = "rm-"
"""Begins the name of the directory of a removed snapshot; its number follows."""

_KEPT_NAME_BYTES: Final = 200
_BEING_DELETED: Final = re.compile(rf"{REMOVED_PREFIX}(.+)-[0-9a-f]{{12}}", re.DOTALL)


def snapshot_number(directory: str) -> str:
    """Return the number in the name of a snapshot's directory; empty if there is none."""
    number = directory.removeprefix(REMOVED_PREFIX)
    return number if number.isdecimal() else ""


def deletion_name(directory: str, token: str) -> str:
    """Return the name of a snapshot's directory while it is being deleted.

    Nothing else ever gets that name: a deletion that goes on for long hits nothing new.

    Args:
        directory: its name so far.
        token: random hexadecimal digits.
    """
    kept = os.fsencode(directory.removeprefix(REMOVED_PREFIX))[:_KEPT_NAME_BYTES]
    return f"{REMOVED_PREFIX}{os.fsdecode(kept)}-{token}"


def name_before_deletion(directory: str) -> str:
    """Return the name of a directory before its deletion began; empty if it did not begin."""
    found = _BEING_DELETED.fullmatch(directory)
    return "" if found is None else found[1]


def ingest_directory(ref: str) -> str:
    """Return the name of the directory of an ingest in a content store: the hash of its name."""
    return digests.encoded(digests.from_bytes(ref.encode("utf-8", "surrogateescape")))


def takes_argument(function: Callable[..., object], name: str) -> bool:
    """Whether a function takes an argument of that name."""
    import inspect  # noqa: PLC0415 (it takes long to import, and few commands clean)

    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True  # it does not say so, and is called as the contract has it
    return name in parameters or any(
        one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()
    )


class BackendWriter(Protocol):
    """A blob in writing. Exactly one writer holds a reference at a time."""

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append `data`; return how many bytes that was."""

    def status(self) -> IngestStatus:
        """Return the progress of the blob."""

    def digest(self) -> str:
        """Return the digest (sha256) of the bytes written so far."""

    def truncate(self, size: int) -> None:
        """Start over. Only a `size` of 0 is supported; else InvalidArgumentError."""

    def sync(self) -> None:
        """Make the data written so far durable."""

    def commit(self, *, size: int = 0, expected: str = "", replace: bool = False) -> None:
        """Make the blob part of the store under its digest, durably, and close the writer.

        A file of that digest that has another size than the data is replaced, atomically.

        Args:
            size: what the size must be, in bytes; 0 for any.
            expected: what the digest must be; empty for any.
            replace: whether a file of the same size is replaced, too.

        Raises:
            FailedPreconditionError: size or digest differ (the ingest stays), or the
                writer is closed.
            AlreadyExistsError: the blob is there already, and stays (the ingest goes).
        """

    def close(self) -> None:
        """Release the reference and keep the bytes written, durably, for a later resume."""


class ContentBackend(Protocol):
    """The blobs on disk, by digest."""

    def info(self, digest: str) -> ContentInfo:
        """Return size and times of a blob; NotFoundError where there is none."""

    def walk(self) -> Iterator[ContentInfo]:
        """Iterate over all blobs."""

    def open(self, digest: str) -> BinaryIO:
        """Open a blob for (seekable) reading; NotFoundError where there is none."""

    def delete(self, digest: str) -> None:
        """Delete a blob; NotFoundError where there is none."""

    def discard(self, digest: str) -> None:
        """Hide a blob without waiting for the disk; `cleanup` deletes its data.

        NotFoundError where there is none.
        """

    def writer(self, ref: str, *, size: int = 0, expected: str = "") -> BackendWriter:
        """Open the ingest `ref` for writing: a new one, or an old one where it stopped.

        Raises:
            UnavailableError: another writer holds `ref`.
            AlreadyExistsError: a blob with the `expected` digest, and of that size, is there
                already.
        """

    def status(self, ref: str) -> IngestStatus:
        """Return the progress of `ref`; NotFoundError if it is unknown."""

    def statuses(self) -> Iterator[IngestStatus]:
        """Iterate over all ingests."""

    def abort(self, ref: str) -> None:
        """Drop the ingest `ref` with its data; NotFoundError where it is unknown."""

    def discard_ingest(self, ref: str) -> None:
        """Take an ingest out of sight as `discard` a blob; NotFoundError where it is unknown."""

    def ingest_size(self, ref: str) -> int:
        """Return the size of an ingest in bytes: its data and its notes."""

    def cleanup(self) -> None:
        """Delete discarded data, and ingests without data that killed processes left.

        A parameter `advance` is optional: it is called before each deletion, and raises where
        nothing may go any more.
        """


class SnapshotBackend(Protocol):
    """Keeps the files of snapshots by key; a committed snapshot can be a parent."""

    def stat(self, key: str) -> SnapshotInfo:
        """Return the record of a snapshot; NotFoundError where there is none."""

    def update(self, info: SnapshotInfo, paths: Sequence[str] = ()) -> SnapshotInfo:
        """Change labels: all of them, or those that `paths` (`labels`, `labels.<key>`) name."""

    def usage(self, key: str) -> SnapshotUsage:
        """Return the disk usage of a snapshot beyond its parent."""

    def mounts(self, key: str) -> tuple[Mount, ...]:
        """Return how to mount an active snapshot or a view."""

    def prepare(
        self, key: str, parent: str, labels: Mapping[str, str] | None = None
    ) -> tuple[Mount, ...]:
        """Create an active snapshot on `parent` (empty: on nothing) and return its mounts."""

    def view(
        self, key: str, parent: str, labels: Mapping[str, str] | None = None
    ) -> tuple[Mount, ...]:
        """Create a read-only snapshot on `parent` and return its mounts."""

    def commit(
        self, name: str, key: str, labels: Mapping[str, str] | None = None, *, parent: str = ""
    ) -> None:
        """Turn the active snapshot `key` into the committed snapshot `name`.

        A `parent` that is not empty is what it shall stand on, though it was prepared on nothing.
        """

    def remove(self, key: str) -> None:
        """Remove a snapshot; FailedPreconditionError where it has children."""

    def discard(self, keys: Sequence[str]) -> list[str]:
        """Remove snapshots in that order, all at once; `cleanup` deletes their files.

        One that is not there, or on which others stand, is passed over.

        Returns:
            Which this removed.
        """

    def size_on_disk(self, key: str) -> int:
        """Return how many bytes of the disk the removal of a snapshot gives back."""

    def walk(self) -> Iterator[SnapshotInfo]:
        """Iterate over all snapshots."""

    def cleanup(self) -> None:
        """Delete the files of removed snapshots.

        Parameters `keep` (the names of leftovers that stay) and `advance` (see `ContentBackend`)
        are optional; a backend with leftovers needs the first.
        """

    def close(self) -> None:
        """Release files and locks; closing twice is allowed."""


@runtime_checkable
class Leftovers(Protocol):
    """A backend that finds data of its own that it has no name for."""

    def leftovers(self) -> Mapping[str, int]:
        """Return that data with its bytes.

        Of a content backend: the ingests on disk with data and no known reference, by the hash of
        their reference (`ingest_directory`). Of a snapshot backend: the directories that no
        snapshot needs.
        """


@runtime_checkable
class DiscardableLeftovers(Leftovers, Protocol):
    """A content backend that can discard leftovers."""

    def discard_leftover(self, name: str) -> None:
        """Take a leftover out of sight as `discard` a blob; NotFoundError where there is none."""


@runtime_checkable
class RepairableSnapshots(SnapshotBackend, Protocol):
    """A snapshot backend that tells where the files of a snapshot are gone, and restores them."""

    def fault(self, key: str) -> str:
        """Return why the files of a snapshot are not there; empty where they are.

        NotFoundError where there is no such snapshot.
        """

    def faults(self) -> Mapping[str, str]:
        """Return the faults of all snapshots with missing files, by key."""

    def restore(
        self, key: str, active: str, labels: Mapping[str, str] | None = None, *, parent: str = ""
    ) -> Callable[[], None]:
        """Give a copy of the files of an active snapshot to the committed one `key`.

        That one has lost its own, or is not known any more: then it gets `labels` and `parent`.
        The active one stays as it is.

        Returns:
            What takes the files away again.
        """


@runtime_checkable
class CopiedRestores(RepairableSnapshots, Protocol):
    """A backend that copies the files for `restore` before the update that needs them."""

    def copy_files(self, active: str) -> AbstractContextManager[object]:
        """Yield a durable copy of the files of an active snapshot; at the end it is deleted.

        NotFoundError where there is no such snapshot.
        """

    def restore(
        self,
        key: str,
        active: str,
        labels: Mapping[str, str] | None = None,
        *,
        parent: str = "",
        copy: object | None = None,
    ) -> Callable[[], None]:
        """Restore with a `copy` that was made before; ConflictError where `active` is another."""


@runtime_checkable
class MountedData(Protocol):
    """A backend that keeps data in directories, in which something else may be mounted."""

    def mounted(self) -> Mapping[str, str]:
        """Return where something is mounted in data here, by the name that the data has.

        That is the digest of a blob, the reference of an ingest, the key of a snapshot, or the
        name of a leftover.
        """


@dataclass(frozen=True, slots=True)
class PendingCommit:
    """A commit of a snapshot that a backend has noted, and that may be undone.

    Attributes:
        number: the id of the snapshot in its backend.
        key: how the backend calls the snapshot while it is active.
        name: how the backend calls it once it is committed.
    """

    number: str
    key: str
    name: str


@runtime_checkable
class ReversibleCommits(SnapshotBackend, Protocol):
    """A snapshot backend that notes commits before it does them, and can undo them.

    Between `begin_commit` and `end_commit` the metadata may name either the active or the
    committed snapshot, whatever happens to the process.
    """

    def begin_commit(
        self, name: str, key: str, labels: Mapping[str, str] | None = None, *, parent: str = ""
    ) -> PendingCommit:
        """Note durably that `commit` with the same arguments is about to begin."""

    def pending_commits(self) -> list[PendingCommit]:
        """Return the commits that are noted."""

    def undo_commit(self, pending: PendingCommit) -> bool:
        """Make a snapshot active again; return whether it is.

        FailedPreconditionError where others stand on it.
        """

    def redo_commit(self, pending: PendingCommit) -> bool:
        """Make a snapshot committed after all; return whether it is."""

    def end_commit(self, pending: PendingCommit) -> None:
        """Strike off the note on a commit."""
