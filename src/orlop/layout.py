"""The layout of a root directory: the paths of its databases, content and snapshots.

Source: containerd, cmd/containerd and plugins/metadata (directories and their modes).
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orlop.digests import ALGORITHMS
from orlop.storage.contract import CONTENT_BACKEND, snapshot_number

if TYPE_CHECKING:
    from collections.abc import Iterator

METADATA_DIRECTORY: Final = "io.containerd.metadata.v1.bolt"
CONTENT_DIRECTORY: Final = "io.containerd.content.v1.content"
SNAPSHOTTER_DIRECTORY: Final = "io.containerd.snapshotter.v1."
FILE_NAME: Final = "meta.db"
METASTORE_NAME: Final = "metadata.db"

SNAPSHOTTER_NAMES: Final = ("native", "overlayfs")
"""The snapshotters that Orlop has."""

_ROOT_MODE: Final = 0o711
_CONTENT_MODE: Final = 0o755
_SNAPSHOTTER_MODE: Final = 0o700


@dataclass(frozen=True, slots=True)
class RootLayout:
    """The paths of a root directory. All are absolute.

    Attributes:
        root: the directory.
        snapshotters: the names of the snapshotters that Orlop has.
    """

    root: Path
    snapshotters: tuple[str, ...] = SNAPSHOTTER_NAMES

    @property
    def metadata(self) -> Path:
        """The directory of `meta.db`."""
        return self.root / METADATA_DIRECTORY

    @property
    def metadata_file(self) -> Path:
        """`meta.db`."""
        return self.metadata / FILE_NAME

    @property
    def journal_file(self) -> Path:
        """The journal of collections, in a directory that containerd does not look into."""
        return self.metadata / "orlop" / "journal.jsonl"

    def backend(self, name: str) -> Path:
        """Return the directory of a snapshotter, or of the content backend (`CONTENT_BACKEND`)."""
        if name == CONTENT_BACKEND:
            return self.root / CONTENT_DIRECTORY
        return self.root / f"{SNAPSHOTTER_DIRECTORY}{name}"

    def metastore_file(self, snapshotter: str) -> Path:
        """Return the `metadata.db` of a snapshotter."""
        return self.backend(snapshotter) / METASTORE_NAME

    def make(self) -> None:
        """Create the directories that are missing, with containerd's modes.

        Raises:
            OSError: one cannot be created.
        """
        _make_directory(self.root, _ROOT_MODE)
        _make_directory(self.metadata, _ROOT_MODE)
        _make_directory(self.backend(CONTENT_BACKEND), _CONTENT_MODE)
        for name in self.snapshotters:
            _make_directory(self.backend(name), _SNAPSHOTTER_MODE)

    def data_directories(self, name: str) -> tuple[str, ...]:
        """Return the paths of the directories with the data, in the directory of a backend."""
        if name != CONTENT_BACKEND:
            return ("snapshots",)
        blobs = (f"blobs/{algorithm}" for algorithm in ALGORITHMS)
        return ("blobs", *blobs, "ingest")

    def data_sample(self, name: str) -> list[Path]:
        """Return at most one path of data in a backend: a blob, an ingest or a directory."""
        return list(islice(self._data(name), 1))

    def numbered_directory(self, snapshotter: str) -> Path | None:
        """Return the directory of one snapshot; `None` if the snapshotter has none."""
        found = _entries(self.backend(snapshotter) / "snapshots")
        numbered = (path for path in found if snapshot_number(path.name))
        return next(numbered, None)

    def has_data(self, name: str) -> bool:
        """Return whether a backend has data that a record may name.

        A directory of a snapshot has a number by then; before that, it is being filled.
        """
        if name == CONTENT_BACKEND:
            return bool(self.data_sample(name))
        return self.numbered_directory(name) is not None

    def any_data(self) -> Path | None:
        """Return a path of data in any backend, also of snapshotters that Orlop does not have."""
        found = {CONTENT_BACKEND: None, **dict.fromkeys(self.snapshotters)}
        prefix = SNAPSHOTTER_DIRECTORY
        for entry in _entries(self.root):
            if entry.name.startswith(prefix):
                found[entry.name.removeprefix(prefix)] = None
        return next((path for name in found for path in self.data_sample(name)), None)

    def _data(self, name: str) -> Iterator[Path]:
        directory = self.backend(name)
        if name != CONTENT_BACKEND:
            yield from _entries(directory / "snapshots")
            return
        yield from _entries(directory / "ingest")
        for algorithm in _entries(directory / "blobs"):
            yield from _entries(algorithm)


def _entries(directory: Path) -> Iterator[Path]:
    """Iterate over a directory; one that is missing, or is none, has no entries."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as entries:
        for entry in entries:
            yield Path(entry.path)


def _make_directory(path: Path, mode: int) -> None:
    """Create a directory; one that exists keeps its mode."""
    if path.is_dir():
        return
    try:
        path.mkdir(parents=True)
    except FileExistsError as error:
        if path.is_dir():
            return  # another process was faster
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error
    path.chmod(mode)  # past the umask, as containerd's directories are
