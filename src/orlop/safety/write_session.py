"""A session of writing to a root, and whether the session before left the newest databases."""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from orlop.concurrency.forks import HomeProcess
from orlop.concurrency.interrupts import reraise_interrupt, suppress_os_errors
from orlop.concurrency.ownership import Mutex
from orlop.errors import FailedPreconditionError
from orlop.safety.assessment import (
    DOUBTS,
    METADATA,
    LastShutdown,
    RootFiles,
    assess,
    is_as_compacted,
    is_same_file,
    title,
)
from orlop.safety.shutdown_marker import MARKER, ShutdownMarker, boot_id
from orlop.safety.witness import NO_STAMP, Note, Witness, WitnessFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orlop.kv import FileState, Follower

_SESSION_BYTES: Final = 16
_READ_ATTEMPTS: Final = 4
_READ_PAUSE_SECONDS: Final = 0.001

_logger = logging.getLogger(__name__)


_REPLACED: Final = "files of the root were replaced while it was open"


class WriteSession:
    """A session of writing to a root, or of a handle that only reads. Thread-safe."""

    def __init__(
        self, files: RootFiles, states: Mapping[str, FileState | None], *, read_only: bool = False
    ) -> None:
        """Assess the last session; nothing is written.

        Args:
            files: the paths of the root.
            states: the state of each database, `None` if there is none.
            read_only: this handle takes no lock, so another process may be writing.
        """
        self._files = files
        self._states = dict(states)
        # A database that cannot be read has no state, but there is one.
        self._existing = {name for name, path in files.databases.items() if path.exists()}
        found = assess(files, states, read_only=read_only)
        self.ends: Mapping[str, LastShutdown] = found.ends
        self._doubts = found.doubts
        self._initial_doubts = dict(found.doubts)
        self._witnesses = found.witnesses
        self._marker = found.marker
        self._witness_files: dict[str, WitnessFile] = {}
        self._watched: dict[str, None] = {}
        self._pending: dict[str, str] = {}
        self._identities: dict[Path, tuple[int, int]] = {}
        self._mutex = Mutex()
        self._home = HomeProcess()
        self._is_kept = found.marker is not None
        self._is_replaced = False

    def doubt(self, backend: str) -> str | None:
        """Return why no data of a backend may be deleted before its suspects are listed.

        Args:
            backend: a snapshotter, or `METADATA` for content.
        """
        return self._doubts.get(backend)

    def initial_doubt(self, backend: str) -> str | None:
        """Return the doubt about a backend when this session began."""
        return self._initial_doubts.get(backend)

    @property
    def any_doubt(self) -> str | None:
        """The doubt about `meta.db` when this session began, else about any backend."""
        doubts = self._initial_doubts
        return doubts.get(METADATA) or next(iter(doubts.values()), None)

    def has_suspects(self, backend: str) -> bool:
        """Whether the witness of a backend says that there is a list of suspects."""
        witness = self._witnesses.get(backend)
        return witness is not None and witness.has_suspects

    def backend_directory(self, backend: str) -> Path | None:
        """Return the directory of a backend; `None` for one that this does not watch."""
        return self._files.backends.get(backend)

    def begin(self) -> None:
        """Record durably that this session writes from now on.

        Where that fails (a full disk) the records are removed: the next session is in doubt then.
        """
        with self._mutex:
            marker = ShutdownMarker(
                secrets.token_hex(_SESSION_BYTES),
                previous=tuple(sorted({one.session for one in self._witnesses.values()})),
                boot=boot_id(),
            )
            for name in self._files.backends:
                if name == METADATA or name in self._witnesses or self._files.has_data(name):
                    self._watch(name)
            try:
                marker.write(self._files.marker_directory)
                self._marker = marker
                for name in self._watched:
                    self._begin_witness(name)
            except OSError as error:
                reraise_interrupt(error)
                self._give_up(error)

    def keep(self) -> None:
        """Keep the records at the close: the opening was not refused."""
        self._is_kept = True

    def opened(self, name: str, state: FileState) -> None:
        """Take note that the database of a snapshotter is open for writing."""
        with self._mutex:
            before = self._states[name]
            if name not in self._watched:
                self._states[name] = state
                self._watch(name)
                if self.ends.get(name) is LastShutdown.NEW and self._files.has_data(name):
                    # It was empty when the session began: the data was put there since, from
                    # outside (a directory that was moved or mounted there).
                    self._doubts[name] = DOUBTS[LastShutdown.UNKNOWN].format(title(name))
                if self._marker is not None:
                    with suppress_os_errors():  # without one the next session is in doubt
                        self._begin_witness(name)
            elif before is None:
                self._take_state(name, state)
            elif before != state and not self._is_link_removed(name, state):
                self._set_doubt(name, DOUBTS[LastShutdown.UNKNOWN].format(title(name)))

    def writing(self, name: str, stamp: str) -> None:
        """Take note of the stamp of a version that is about to be written."""
        with self._mutex:
            self._pending[name] = stamp
            file = self._file_to_note(name)
            if file is not None:
                self._note(
                    file, replace(file.witness, note=replace(file.witness.note, pending=stamp))
                )

    def durable(self, name: str, state: FileState) -> None:
        """Take note of a durable version, before it is acknowledged."""
        with self._mutex:
            self._is_kept = True
            self._take_state(name, state)

    def require_unchanged(self) -> None:
        """Check that the files of the root are those that this session has opened.

        Raises:
            FailedPreconditionError: one was replaced, emptied or overwritten. The handle deletes
                nothing any more, and the next session is in doubt.
        """
        with self._mutex:
            replaced = self._first_replaced()
            if replaced is None and not self._is_replaced:
                return
            if not self._is_replaced:
                self._is_replaced = True
                self._doubt_all()
        raise FailedPreconditionError(
            f"{replaced or 'a file of the root'} was replaced or changed by another program while "
            "it was open: nothing is deleted. Close this handle, put the right files in place, and "
            "open the root again"
        )

    def suspects_listed(self, backend: str) -> None:
        """Take note that the suspects of a backend are listed durably: its doubt is over."""
        self._settle(backend, has_suspects=True)

    def suspects_released(self, backend: str) -> None:
        """Take note that a person has released the suspects of a backend."""
        self._settle(backend, has_suspects=False)

    def close(self) -> None:
        """Record durably that the session has ended, and in which state of the databases.

        If the opening was refused, no records stay that were not there before.
        """
        with self._mutex:
            if not self._home.is_here:
                return
            if not self._is_kept:
                self._remove()
                return
            if self._is_replaced or self._first_replaced() is not None:
                self._doubt_all()
                self._release()
                return
            try:
                self._close_witnesses()
            except OSError as error:
                reraise_interrupt(error)
                self._give_up(error)
            self._release()

    def leave_open(self) -> None:
        """Leave the records as those of a session that still writes."""
        with self._mutex:
            if self._home.is_here:
                self._release()

    def _close_witnesses(self) -> None:
        for name, file in self._witness_files.items():
            state = self._states[name]
            path = self._files.databases[name]
            found = None if state is None else self._files.state_of(path)
            witness = file.witness.with_state(found)
            pending = self._pending.get(name, NO_STAMP)
            if found and state and not is_same_file(found, state, pending):
                witness = replace(witness, doubt=DOUBTS[LastShutdown.UNKNOWN].format(title(name)))
            directories = self._files.inodes(name)
            file.write(replace(witness, is_open=False, boot=boot_id(), directories=directories))
        if self._marker is not None:
            replace(self._marker, boot="").write(self._files.marker_directory)

    def _watch(self, name: str) -> None:
        """Check from now on that a backend and its database are not replaced."""
        self._watched[name] = None
        for path in (self._files.backends[name], self._files.databases[name].parent):
            with suppress_os_errors():
                self._identities.setdefault(path, _identity(path))
        self._watch_directories(name)

    def _watch_directories(self, name: str) -> None:
        """Add the directories with the data of a backend that exist by now."""
        for directory in self._files.directories[name]:
            path = self._files.backends[name] / directory
            if path not in self._identities:
                with suppress_os_errors():
                    self._identities[path] = _identity(path)

    def _take_state(self, name: str, state: FileState) -> None:
        self._states[name] = state
        self._pending.pop(name, None)
        file = self._file_to_note(name)
        if file is not None:
            self._note(file, file.witness.with_state(state))

    def _is_link_removed(self, name: str, state: FileState) -> bool:
        """Whether a database differs only by removed leftovers of an interrupted compaction."""
        file = self._witness_files.get(name)
        return file is not None and is_as_compacted(file.witness, state)

    def _begin_witness(self, name: str) -> None:
        before, state = self._witnesses.get(name), self._states[name]
        witness = _open_witness(before, self._marker, self._doubts.get(name))
        compacted = witness.compacted
        if before is not None and before.boot != witness.boot and state is not None:
            # The numbers of devices may change when the machine starts.
            compacted = [one._replace(device=state.device) for one in compacted]
        file = WitnessFile(self._files.backends[name], witness)
        file.write(
            replace(
                witness.with_state(state),
                directories=self._files.inodes(name),
                compacted=compacted,
            )
        )
        self._witness_files[name] = file
        self._witnesses[name] = file.witness

    def _doubt_all(self) -> None:
        for name in self._watched:
            self._set_doubt(name, _REPLACED)

    def _set_doubt(self, name: str, why: str) -> None:
        self._doubts[name] = why
        file = self._witness_files.get(name)
        if file is None:
            return
        try:
            file.write(replace(file.witness, doubt=why))
        except OSError as error:
            reraise_interrupt(error)
            self._give_up(error)

    def _settle(self, backend: str, *, has_suspects: bool) -> None:
        with self._mutex:
            file = self._witness_files.get(backend)
            if file is None:
                return
            file.write(replace(file.witness, doubt="", has_suspects=has_suspects))
            self._witnesses[backend] = file.witness
            self._doubts.pop(backend, None)

    def _file_to_note(self, name: str) -> WitnessFile | None:
        return self._witness_files.get(name) if self._home.is_here else None

    def _note(self, file: WitnessFile, witness: Witness) -> None:
        identity = witness.device, witness.inode, witness.compacted
        if identity != (file.witness.device, file.witness.inode, file.witness.compacted):
            file.write(witness)  # a database that was made in this session, or compacted before it
            return
        try:
            file.note(witness.note)
        except OSError as error:
            reraise_interrupt(error)
            # The database is ahead of its witness then: the next session is in doubt.
            _logger.warning("the witness of a database falls behind: %s", error)

    def _first_replaced(self) -> Path | None:
        """Return a path that another file or directory has taken; `None` if none was."""
        for path, identity in self._identities.items():
            try:
                if _identity(path) != identity:
                    return path
            except OSError as error:
                reraise_interrupt(error)
                return path
        for name in self._watched:
            self._watch_directories(name)
            file = self._witness_files.get(name)
            if file is not None and not file.is_ours():
                return self._files.backends[name]
            if not self._is_unchanged(name):
                return self._files.databases[name]
        return None

    def _is_unchanged(self, name: str) -> bool:
        """Whether the file of a database is the one that was opened, at the newest version."""
        state, path = self._states[name], self._files.databases[name]
        if state is None:
            is_there = name in self._existing
            return path.exists() == is_there and self._files.state_of(path) is None
        for _ in range(_READ_ATTEMPTS):
            # A meta that is being written at this moment may be read torn.
            found = self._files.state_of(path)
            if found and is_same_file(found, state, self._pending.get(name, NO_STAMP)):
                return True
            time.sleep(_READ_PAUSE_SECONDS)
        return False

    def _give_up(self, error: OSError) -> None:
        _logger.warning(
            "how this session ends cannot be recorded (%s): the next one keeps all data that is "
            "there until a person releases it",
            error,
        )
        self._remove()

    def _remove(self) -> None:
        for file in self._witness_files.values():
            file.remove()
        self._witness_files.clear()
        self._marker = None
        with suppress_os_errors():
            (self._files.marker_directory / MARKER).unlink(missing_ok=True)
            self._files.marker_directory.rmdir()  # unless something else is in it

    def _release(self) -> None:
        for file in self._witness_files.values():
            file.release()


class SessionTracker:
    """Begins and ends the session of a root with the opening and closing of its databases.

    Attributes:
        session: the session; `None` until `meta.db` is open.
    """

    def __init__(self, files: RootFiles) -> None:
        """Make a tracker for the databases of a root."""
        self.session: WriteSession | None = None
        self._files = files

    def follower(self, name: str) -> Follower:
        """Return the follower of a database. `meta.db` opens first and closes last."""
        return _Follower(self, name)

    def opened(self, name: str, state: FileState) -> None:
        """Begin the session with `meta.db`, or add the database of a snapshotter to it."""
        if name == METADATA:
            states = {**self._files.states(), name: state}
            self.session = WriteSession(self._files, states)
            self.session.begin()
        elif self.session is not None:
            self.session.opened(name, state)

    def closing(self, name: str, *, failed: bool) -> None:
        """End the session with `meta.db`, which is still locked.

        After a failed write the newest version is not known: the session is left open.
        """
        if self.session is not None and name == METADATA:
            if failed:
                self.session.leave_open()
            else:
                self.session.close()


@dataclass(frozen=True, slots=True)
class _Follower:
    tracker: SessionTracker
    name: str

    def opened(self, state: FileState) -> None:
        self.tracker.opened(self.name, state)

    def writing(self, stamp: str) -> None:
        if self.tracker.session is not None:
            self.tracker.session.writing(self.name, stamp)

    def durable(self, state: FileState) -> None:
        if self.tracker.session is not None:
            self.tracker.session.durable(self.name, state)

    def closing(self, version: int | None) -> None:
        self.tracker.closing(self.name, failed=version is None)


def _open_witness(
    before: Witness | None, marker: ShutdownMarker | None, doubt: str | None
) -> Witness:
    return Witness(
        note=Note(),
        session=marker.session if marker else "",
        boot=boot_id(),
        is_open=True,
        doubt=doubt or "",
        has_suspects=before is not None and before.has_suspects,
        compacted=before.compacted if before is not None and not doubt else (),
    )


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
