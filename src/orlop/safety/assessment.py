"""Assessment of the last session of writing: whether it left the newest databases, and its data.

Decision 23 says what proves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.concurrency.interrupts import suppress_os_errors
from orlop.safety.shutdown_marker import UNKNOWN_BOOT, ShutdownMarker, boot_id
from orlop.safety.suspects import SUSPECTS, digest_of_suspects
from orlop.safety.witness import NO_SESSION, NO_STAMP, Witness

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from orlop.kv import FileState

METADATA: Final = ""
"""The name of `meta.db` among those of snapshotters; its witness is in the content directory."""


class LastShutdown(Enum):
    """How the last session of writing to a database ended.

    NEW: there is no data that could be deleted. CLEAN: the session was closed, and the file has
    not changed since. INTERRUPTED: the process died, on this boot of the machine, and the file is
    as it left it. UNCLEAN: the machine went down. UNKNOWN: another program wrote the file, or it
    is another one.
    """

    NEW = "new"
    CLEAN = "clean"
    INTERRUPTED = "interrupted"
    UNCLEAN = "unclean"
    UNKNOWN = "unknown"


DOUBTS: Final = {
    LastShutdown.UNCLEAN: "the machine went down while {} was being written, and may have lost "
    "some of it",
    LastShutdown.UNKNOWN: "{} is not as Orlop left it: another program wrote it, it was made anew, "
    "or a file or directory was replaced",
}


_SUSPECTS_CHANGED: Final = "the list of what must not be deleted, {}, is not as Orlop left it"

_CLOCK_NANOSECONDS: Final = 1_000
"""So much the time of a file may be rounded."""

_CHANGE_NANOSECONDS_MAX: Final = 20_000_000
"""So much later than its note a change is still taken for the one that was announced.

The process may be delayed between the two. No program can be started in that time, work on the
file, and put a copy back.
"""


@dataclass(frozen=True, slots=True)
class RootFiles:
    """The paths of a root that a session watches. The keys are snapshotters and `METADATA`.

    Attributes:
        marker_directory: the directory of the shutdown marker.
        databases: the databases.
        backends: the directories with the data that each database names.
        directories: the paths of the directories with its data in each backend.
        has_data: whether a backend holds anything.
        state_of: reads the state of a database; `None` if there is none, or it is damaged.
    """

    marker_directory: Path
    databases: Mapping[str, Path]
    backends: Mapping[str, Path]
    directories: Mapping[str, tuple[str, ...]]
    has_data: Callable[[str], bool]
    state_of: Callable[[Path], FileState | None]

    def states(self) -> dict[str, FileState | None]:
        """Return the state of each database as it is found."""
        return {name: self.state_of(path) for name, path in self.databases.items()}

    def inodes(self, name: str) -> dict[str, int]:
        """Return the inodes of the directories with the data of a backend, of those that exist."""
        found = {}
        for directory in self.directories[name]:
            with suppress_os_errors():
                found[directory] = (self.backends[name] / directory).stat().st_ino
        return found


class Assessment(NamedTuple):
    """The end of the last session for each database, as the files show it."""

    ends: dict[str, LastShutdown]
    doubts: dict[str, str]
    witnesses: dict[str, Witness]
    marker: ShutdownMarker | None


def assess(
    files: RootFiles, states: Mapping[str, FileState | None], *, read_only: bool
) -> Assessment:
    """Assess how the last session ended for each database of a root.

    Args:
        files: the paths of the root.
        states: the state of each database, `None` if there is none.
        read_only: another process may be writing at this moment.
    """
    marker = ShutdownMarker.read(files.marker_directory)
    read = {name: Witness.read(path) for name, path in files.backends.items()}
    witnesses = {name: witness for name, witness in read.items() if witness is not None}
    ends = {}
    for name, state in states.items():
        witness = witnesses.get(name)
        if witness is None and not files.has_data(name):
            ends[name] = LastShutdown.NEW
        else:
            ends[name] = assess_shutdown(
                marker, witness, state, files.inodes(name), read_only=read_only
            )
    return Assessment(ends, _doubts(files, ends, witnesses), witnesses, marker)


def _doubts(
    files: RootFiles, ends: Mapping[str, LastShutdown], witnesses: Mapping[str, Witness]
) -> dict[str, str]:
    """Return why data of each backend may not be deleted, where it may not."""
    # Data of a snapshotter is named by both databases. What has no witness proves nothing.
    above_end = ends[METADATA]
    if above_end is LastShutdown.NEW:
        above_end = LastShutdown.UNKNOWN
    above = DOUBTS.get(above_end, "").format(title(METADATA))
    doubts = {}
    for name, end in ends.items():
        if end is LastShutdown.NEW:
            continue
        own = DOUBTS.get(end, "").format(title(name))
        why = (
            above
            or own
            or _noted_doubt(name, witnesses)
            or _changed_suspects(files, witnesses, name)
        )
        if why:
            doubts[name] = why
    return doubts


def _noted_doubt(name: str, witnesses: Mapping[str, Witness]) -> str:
    """Return the doubt about a backend that a session has noted, and that still lasts."""
    witness, above = witnesses.get(name), witnesses.get(METADATA)
    if witness is not None and witness.doubt:
        return witness.doubt
    if witness is not None and above is not None and witness.session != above.session:
        return above.doubt  # the process died before that session reached this backend
    return ""


def _changed_suspects(files: RootFiles, witnesses: Mapping[str, Witness], name: str) -> str:
    """Return why the list of suspects of a backend is not trusted; empty if it is.

    One that cannot be read stops the cleanup by itself.
    """
    expected = witnesses[name].suspects if name in witnesses else ""
    found = digest_of_suspects(files.backends[name]) if expected else None
    if found is None or found == expected:
        return ""
    return _SUSPECTS_CHANGED.format(SUSPECTS)


def assess_shutdown(
    marker: ShutdownMarker | None,
    witness: Witness | None,
    state: FileState | None,
    inodes: Mapping[str, int],
    *,
    read_only: bool,
) -> LastShutdown:
    """Assess how the last session ended for one database.

    Args:
        marker: the marker beside `meta.db`.
        witness: the witness with the data.
        state: the state of the database.
        inodes: of the directories with the data.
        read_only: another process may be writing at this moment.
    """
    if witness is None or not _is_of_last_session(witness, marker):
        return LastShutdown.UNKNOWN
    opened_on = {marker.boot} if marker and marker.boot else set()
    if witness.is_open:
        opened_on.add(witness.boot)
    if opened_on - {boot_id()} or UNKNOWN_BOOT in opened_on:
        return LastShutdown.UNCLEAN
    if not _has_its_directories(witness, inodes):
        return LastShutdown.UNKNOWN
    if not witness.is_open:
        is_known = is_as_left(witness, state)
        return LastShutdown.CLEAN if is_known else LastShutdown.UNKNOWN
    if read_only and state is not None and state.inode == witness.inode:
        # A session may be writing at this moment, between the reading of the two files.
        is_known = state.version >= witness.note.version
    else:
        is_known = is_as_left(witness, state)
    return LastShutdown.INTERRUPTED if is_known else LastShutdown.UNKNOWN


def _has_its_directories(witness: Witness, inodes: Mapping[str, int]) -> bool:
    """Whether the directories with the data are those of the last session.

    While that one was open, it may have made those that were missing.
    """
    if witness.is_open:
        return all(inodes.get(name) == inode for name, inode in witness.directories.items())
    return inodes == witness.directories


def _is_of_last_session(witness: Witness, marker: ShutdownMarker | None) -> bool:
    """Whether a witness was written by the last session of the root.

    A session writes all witnesses, then the marker. If the process dies before that, the marker
    names the session before, as the witnesses do that were not reached.
    """
    last = NO_SESSION if marker is None else marker.session
    if witness.session == last:
        return marker is not None
    return witness.is_open and witness.note.previous == last


def is_as_left(witness: Witness, state: FileState | None) -> bool:
    """Whether a database is as the session of its witness has, or can have, left it.

    Where the process died, the file is as it was noted, or has changed right after the last note.
    """
    if state is None:
        return not witness.inode
    is_same_boot = witness.boot == boot_id()  # the numbers of devices may change with a boot
    if is_same_boot and state.device != witness.device:
        return False
    note = witness.note
    since_note = state.ctime_ns - note.changing_ns
    is_in_time = -_CLOCK_NANOSECONDS <= since_note <= _CHANGE_NANOSECONDS_MAX
    if state.inode == witness.inode:
        is_noted = (state.version, state.stamp) == (note.version, note.stamp)
        is_next = note.pending not in (NO_STAMP, note.stamp) and state.stamp == note.pending
        if state.ctime_ns == note.ctime_ns:
            return is_next or (is_noted and (witness.is_open or state.size == note.size))
        # In a change that was announced, the pages of a version are written, or its meta.
        if is_in_time and (is_noted if note.pending == NO_STAMP else state.stamp == note.pending):
            return True
    found = _without_links(state, is_same_boot=is_same_boot)
    known = [_without_links(one, is_same_boot=is_same_boot) for one in witness.compacted]
    return is_in_time and found in known


def _without_links(state: FileState, *, is_same_boot: bool) -> FileState:
    """Return a state without the fields that links, renames or a reboot change."""
    return state._replace(ctime_ns=0, device=state.device if is_same_boot else 0)


def is_same_file(found: FileState, state: FileState, pending: str) -> bool:
    """Whether a file is the one that was opened, at the version that was written last or next."""
    if (found.device, found.inode) != (state.device, state.inode):
        return False
    is_newest = (found.version, found.stamp) == (state.version, state.stamp)
    return is_newest or (pending != NO_STAMP and found.stamp == pending)


def title(name: str) -> str:
    """Return the name of a database in messages."""
    return f"metadata.db of {name}" if name else "meta.db"
