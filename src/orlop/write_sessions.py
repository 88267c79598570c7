"""The sessions of writing to a root: which files they watch, and the quarantine over them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

from orlop.gc.quarantine import Quarantine
from orlop.layout import FILE_NAME, METADATA_DIRECTORY, SNAPSHOTTER_DIRECTORY, RootLayout
from orlop.safety.assessment import METADATA, RootFiles
from orlop.safety.compaction import carried_over
from orlop.safety.write_session import SessionTracker, WriteSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orlop.clock import Clock
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
        except OSError:
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
    """Return the tracker of the root whose `meta.db` is opened as a bare file, if it has one."""
    if path.name != FILE_NAME or path.parent.name != METADATA_DIRECTORY:
        return None
    return SessionTracker(root_files(RootLayout(path.parent.parent), read_state))


@contextmanager
def proof_carried_over(
    path: Path, read_state: StateReader
) -> Iterator[Callable[[Path], None] | None]:
    """Carry the proof of a database over to the file that the block leaves in its place.

    Args:
        path: the database. The caller holds its lock; if it is of no root, nothing happens.
        read_state: reads the state of a database file.

    Raises:
        OSError: the witness cannot be written.
    """
    # The file, or a directory above it, may be a symbolic link, into a root or out of one.
    for place in (path.absolute(), path.resolve()):
        directory = place.parent
        name = METADATA
        if directory.name.startswith(SNAPSHOTTER_DIRECTORY):
            name = directory.name.removeprefix(SNAPSHOTTER_DIRECTORY)
        files = root_files(RootLayout(directory.parent), read_state)
        if files.databases.get(name) == place:
            with carried_over(files, name) as before_swap:
                yield before_swap
            return
    yield None


def quarantine(
    layout: RootLayout | None,
    tracker: SessionTracker | None,
    clock: Clock,
    read_state: StateReader,
) -> Quarantine:
    """Return the quarantine of a root. Calling this marks the session of writing as used.

    Args:
        layout: of the root; `None` for a bare database.
        tracker: has assessed the last session; `None` for a handle that only reads.
        clock: the source of time.
        read_state: reads the state of a database file.
    """
    if layout is None:
        return Quarantine(None, None, clock)
    files = root_files(layout, read_state)
    if tracker is None:
        session: WriteSession | None = WriteSession(files, files.states(), read_only=True)
    else:
        session = tracker.session
        if session is not None:
            session.keep()
    return Quarantine(files.marker_directory, session, clock)
