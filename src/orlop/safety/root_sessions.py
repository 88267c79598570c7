"""The write sessions of a root: the files that they watch, and compaction beside them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

from orlop.concurrency.interrupts import reraise_interrupt
from orlop.layout import FILE_NAME, METADATA_DIRECTORY, SNAPSHOTTER_DIRECTORY, RootLayout
from orlop.safety.assessment import METADATA, RootFiles
from orlop.safety.compaction import CarriedProof, carried_over
from orlop.safety.write_session import SessionTracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orlop.kv import FileState

StateReader: TypeAlias = "Callable[[Path], FileState | None]"

MARKER_DIRECTORY: Final = "orlop"
"""The directory beside `meta.db` that containerd does not look into."""


def root_files(layout: RootLayout, read_state: StateReader) -> RootFiles:
    """Return the paths of a root that its sessions watch.

    Args:
        layout: of the root.
        read_state: reads the state of a database file; see `orlop.bolt.read_file_state`.
    """

    def state_of(path: Path) -> FileState | None:
        try:
            return read_state(path)
        except OSError as error:
            reraise_interrupt(error)
            return None

    names = (METADATA, *layout.snapshotters)
    return RootFiles(
        marker_directory=layout.metadata / MARKER_DIRECTORY,
        databases={
            name: layout.metastore_file(name) if name else layout.metadata_file for name in names
        },
        backends={name: layout.backend(name) for name in names},
        directories={name: layout.data_directories(name) for name in names},
        has_data=layout.has_data,
        state_of=state_of,
    )


def tracker_of_file(path: Path, read_state: StateReader) -> SessionTracker | None:
    """Return the tracker of the root that a bare `meta.db` belongs to, if it has one."""
    if path.name != FILE_NAME or path.parent.name != METADATA_DIRECTORY:
        return None
    return SessionTracker(root_files(RootLayout(path.parent.parent), read_state))


@contextmanager
def proof_carried_over(path: Path, read_state: StateReader) -> Iterator[CarriedProof]:
    """Carry the proof of a database over to the file that the block leaves in its place.

    Args:
        path: the database. The caller holds its lock; if it is of no root, nothing happens.
        read_state: reads the state of a database file.

    Raises:
        OSError: the witness cannot be written.
    """
    nothing = CarriedProof(root_files(RootLayout(path.parent), read_state), METADATA, None)
    # The file, or a directory above it, may be a symbolic link, into a root or out of one.
    for place in (path.absolute(), path.resolve()):
        directory = place.parent
        name = METADATA
        if directory.name.startswith(SNAPSHOTTER_DIRECTORY):
            name = directory.name.removeprefix(SNAPSHOTTER_DIRECTORY)
        files = root_files(RootLayout(directory.parent), read_state)
        if files.databases.get(name) == place:
            with carried_over(files, name) as proof:
                yield proof
            return
    yield nothing
