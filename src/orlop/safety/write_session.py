"""A session of writing to a root, and whether the session before left the newest databases."""

from __future__ import annotations

import logging
import os
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orlop.concurrency.forks import HomeProcess
from orlop.concurrency.interrupts import reraise_interrupt, suppress_os_errors
from orlop.concurrency.ownership import Mutex
from orlop.errors import DataLossError, FailedPreconditionError
from orlop.kv.errors import ReplacedError
from orlop.safety.assessment import (
    DOUBTS,
    METADATA,
    LastShutdown,
    RootFiles,
    assess,
    is_same_file,
    title,
)
from orlop.safety.shutdown_marker import MARKER, ShutdownMarker, boot_id
from orlop.safety.suspects import read_suspects
from orlop.safety.witness import (
    BEGUN,
    NO_SESSION,
    NO_STAMP,
    Note,
    Witness,
    WitnessFile,
    coarse_time_ns,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orlop.kv import FileState, Follower
    from orlop.safety.suspects import Suspect

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
        self._id = secrets.token_hex(_SESSION_BYTES)
        self._previous = found.marker.session if found.marker else NO_SESSION
        self._witness_files: dict[str, WitnessFile] = {}
        self._watched: dict[str, None] = {}
        self._pending: dict[str, str] = {}
        self._identities: dict[Path, tuple[int, int]] = {}
        self._data_directories: dict[str, dict[str, tuple[int, int] | None]] = {}
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
        return bool(self.suspects_digest(backend))

    def suspects(self, backend: str) -> frozenset[Suspect]:
        """Return the kinds and names that no collection of a backend may delete.

        Raises:
            DataLossError: the list is missing, damaged, or not the one that was written last.
        """
        directory = self.backend_directory(backend)
        if directory is None:
            return frozenset()
        digest = self.suspects_digest(backend)
        # In doubt the list is written again with all that is there.
        expected = digest if digest and self.doubt(backend) is None else None
        return read_suspects(directory, must_exist=bool(digest), expected=expected)

    def may_be_named(self, backend: str, kind: str, name: str) -> bool:
        """Whether lost metadata may have named data of a backend.

        Args:
            backend: a snapshotter, or `METADATA` for content.
            kind: of the data, as in a list of suspects.
            name: of the data.
        """
        if self.doubt(backend) is not None or self.backend_directory(backend) is None:
            return True
        if not self.has_suspects(backend):
            return False
        try:
            return (kind, name) in self.suspects(backend)
        except DataLossError:
            return True

    def suspects_digest(self, backend: str) -> str:
        """Return the digest of the list of suspects of a backend; empty if there is none."""
        witness = self._witnesses.get(backend)
        return witness.suspects if witness is not None else ""

    def backend_directory(self, backend: str) -> Path | None:
        """Return the directory of a backend; `None` for one that this does not watch."""
        return self._files.backends.get(backend)

    def begin(self) -> None:
        """Record durably that this session writes from now on.

        All witnesses are written, then the marker. If the process dies in between, what was noted
        by then, and found by this session, is so for the next one: nothing has changed.

        Where that fails (a full disk) the records are removed: the next session is in doubt then.
        """
        with self._mutex:
            marker = ShutdownMarker(self._id, boot=boot_id())
            for name in self._files.backends:
                if name == METADATA or name in self._witnesses or self._files.has_data(name):
                    self._watch(name)
            try:
                for name in self._watched:
                    self._begin_witness(name)
                marker.write(self._files.marker_directory)
                self._marker = marker
                self._previous = BEGUN
                for file in self._witness_files.values():
                    file.note(file.last_note._replace(previous=BEGUN))
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
                # It is watched once all of this is done: after an interrupt all is done again.
                self._states[name] = state
                if self.ends.get(name) is LastShutdown.NEW and self._files.has_data(name):
                    # It was empty when the session began: the data was put there since, from
                    # outside (a directory that was moved or mounted there).
                    self._doubts[name] = DOUBTS[LastShutdown.UNKNOWN].format(title(name))
                if self._marker is not None:
                    with suppress_os_errors():  # without one the next session is in doubt
                        self._begin_witness(name)
                self._watch(name)
            elif before is None or self._is_own_write(name, before, state):
                self._take_state(name, state)
            elif before != state:
                self._set_doubt(name, DOUBTS[LastShutdown.UNKNOWN].format(title(name)))

    def writing(self, name: str, stamp: str) -> None:
        """Take the stamp of the next version of a database.

        Raises:
            ReplacedError: data would go into another directory, or another session has begun with
                this data.
        """
        with self._mutex:
            place = self._first_lost()
            self._pending[name] = stamp
        if place is not None:
            raise ReplacedError(
                f"{place} was replaced or changed by another program while it was open: put the "
                "right files in place and open the root again"
            )

    def changing(self, name: str, ctime_ns: int, *, is_meta: bool) -> None:
        """Take note of the state of a database right before it changes."""
        with self._mutex:
            file = self._file_to_note(name)
            if file is not None:
                pending = self._pending.get(name, NO_STAMP) if is_meta else NO_STAMP
                note = file.last_note._replace(
                    ctime_ns=ctime_ns, pending=pending, changing_ns=coarse_time_ns()
                )
                self._note(file, note)

    def waiting(self, name: str, ctime_ns: int) -> None:
        """Take note of the state of a database while the disk is waited for."""
        with self._mutex:
            file = self._file_to_note(name)
            if file is not None:
                self._note(file, file.last_note._replace(ctime_ns=ctime_ns, changing_ns=0))

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

    def suspects_listed(self, backend: str, digest: str) -> None:
        """Take note that the suspects of a backend are listed durably: its doubt is over.

        Args:
            backend: a snapshotter, or `METADATA` for content.
            digest: of the list.
        """
        self._settle(backend, digest)

    def suspects_released(self, backend: str) -> None:
        """Take note that a person has released the suspects of a backend."""
        self._settle(backend, "")

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

    def failed(self, name: str) -> None:
        """Take note of how a database was left by a write that has failed."""
        with self._mutex:
            file, state = (
                self._file_to_note(name),
                self._files.state_of(self._files.databases[name]),
            )
            if file is not None and state is not None and file.is_for(state):
                self._note(file, file.last_note._replace(ctime_ns=state.ctime_ns, changing_ns=0))

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

    def _is_own_write(self, name: str, before: FileState, state: FileState) -> bool:
        """Whether a database differs by the write of an opening that was interrupted.

        An opening writes the newest version again, with a stamp that it has announced.
        """
        pending = self._pending.get(name, NO_STAMP)
        is_same = is_same_file(state, before, pending) and state.version == before.version
        return is_same and pending != NO_STAMP and state.stamp == pending

    def _watch(self, name: str) -> None:
        """Check from now on that a backend and its database are not replaced."""
        for path in (self._files.backends[name], self._files.databases[name].parent):
            with suppress_os_errors():
                self._identities.setdefault(path, _identity(path))
        backend = self._files.backends[name]
        self._data_directories[name] = {
            str(backend / directory): None for directory in self._files.directories[name]
        }
        self._watch_directories(name)
        self._watched[name] = None

    def _watch_directories(self, name: str) -> None:
        """Add the directories with the data of a backend that exist by now."""
        found = self._data_directories[name]
        for path, identity in found.items():
            if identity is None and os.access(path, os.F_OK):  # an exception costs more
                with suppress_os_errors():
                    found[path] = _identity(path)

    def _take_state(self, name: str, state: FileState) -> None:
        self._states[name] = state
        self._pending.pop(name, None)
        file = self._file_to_note(name)
        if file is None:
            return
        if file.is_for(state):
            note = Note(state.version, state.ctime_ns, state.size, state.stamp)
            self._note(file, note._replace(previous=file.last_note.previous))
        else:
            file.write(file.witness.with_state(state))  # it was made in this session

    def _begin_witness(self, name: str) -> None:
        witness = Witness(
            Note(previous=self._previous),
            session=self._id,
            boot=boot_id(),
            is_open=True,
            doubt=self._doubts.get(name) or "",
            suspects=self.suspects_digest(name),
            directories=self._files.inodes(name),
        )
        file = WitnessFile(self._files.backends[name], witness)
        file.write(witness.with_state(self._states[name]))
        self._witness_files[name] = file
        self._witnesses[name] = file.witness

    def _doubt_all(self) -> None:
        for name in self._watched:
            self._set_doubt(name, _REPLACED)

    def _set_doubt(self, name: str, why: str) -> None:
        self._doubts[name] = why
        file = self._witness_files.get(name)
        if file is None or not file.is_in_place():
            return  # what another session has begun is not of this one, which is a doubt already
        try:
            file.write(replace(file.witness, doubt=why))
        except OSError as error:
            reraise_interrupt(error)
            self._give_up(error)

    def _settle(self, backend: str, suspects: str) -> None:
        with self._mutex:
            file = self._witness_files.get(backend)
            if file is None:
                return
            file.write(replace(file.witness, doubt="", suspects=suspects))
            self._witnesses[backend] = file.witness
            self._doubts.pop(backend, None)

    def _file_to_note(self, name: str) -> WitnessFile | None:
        return self._witness_files.get(name) if self._home.is_here else None

    def _note(self, file: WitnessFile, note: Note) -> None:
        try:
            file.note(note)
        except OSError as error:
            reraise_interrupt(error)
            # The database is ahead of its witness then: the next session is in doubt.
            _logger.warning("the witness of a database falls behind: %s", error)

    def _first_lost(self) -> Path | None:
        """Return a data directory that is no longer the one of this session; `None` if none is."""
        for name, directories in self._data_directories.items():
            self._watch_directories(name)
            for path, identity in directories.items():
                if identity is not None and not _is_at(path, identity):
                    return Path(path)
            file = self._witness_files.get(name)
            if file is not None and not file.is_in_place():
                return self._files.backends[name]
        return None

    def _first_replaced(self) -> Path | None:
        """Return a path that another file or directory has taken; `None` if none was."""
        for path, identity in self._identities.items():
            if not _is_at(path, identity):
                return path
        lost = self._first_lost()
        if lost is not None:
            return lost
        for name in self._watched:
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
        if self.session is None:
            return
        if failed:
            self.session.failed(name)
        if name == METADATA:
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

    def changing(self, ctime_ns: int, *, is_meta: bool) -> None:
        if self.tracker.session is not None:
            self.tracker.session.changing(self.name, ctime_ns, is_meta=is_meta)

    def waiting(self, ctime_ns: int) -> None:
        if self.tracker.session is not None:
            self.tracker.session.waiting(self.name, ctime_ns)

    def durable(self, state: FileState) -> None:
        if self.tracker.session is not None:
            self.tracker.session.durable(self.name, state)

    def closing(self, version: int | None) -> None:
        self.tracker.closing(self.name, failed=version is None)


def _identity(path: Path | str) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 (asked before each flush)
    return status.st_dev, status.st_ino


def _is_at(path: Path | str, identity: tuple[int, int]) -> bool:
    try:
        return _identity(path) == identity
    except OSError as error:
        reraise_interrupt(error)
        return False
