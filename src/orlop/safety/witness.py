"""The witness in a backend's directory: which state of its database was used with this data.

A backup of the database can carry its contents and modification times; it cannot carry inode
and change time. So those are noted after each commit, with the version and with the random
stamp that each version has behind its meta (`orlop.bolt.provenance`), and the next session
compares them.

Between a write and the note of the change time that it has caused, a process may die. So right
before each write the time is noted: a file that has changed later than that can tell is not known.

The notes are not synced: they serve after the death of a process. A power loss shows in the boot
id, whatever they say.
"""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from orlop.concurrency.interrupts import suppress_os_errors
from orlop.kv.contract import FileState
from orlop.storage.contract import ORLOP_DIRECTORY
from orlop.storage.small_files import DamagedFileError, padded, read_document, write_small

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

WITNESS: Final = "witness.json"

NO_STAMP: Final = "0" * 32

NO_SESSION: Final = "0" * 32
"""The id before the first session of a root."""

BEGUN: Final = "f" * 32
"""In the place of the id of the session before, once the marker names this one."""

_COARSE_CLOCK: Final = 5
"""CLOCK_REALTIME_COARSE, which the module `time` does not name."""

_logger = logging.getLogger(__name__)


class Note(NamedTuple):
    """The state of a database that a session noted last.

    Attributes:
        version: the number of the newest version; 0 if there is no database.
        ctime_ns: when the file changed last, in nanoseconds.
        size: of the file in bytes.
        stamp: of the newest version, in hex.
        pending: the stamp of a version whose meta is being written, else `NO_STAMP`.
        changing_ns: the time right before the file was to change, in nanoseconds; 0: it was not to.
        previous: the id of the session before, until the marker names this one; then `BEGUN`.
    """

    version: int = 0
    ctime_ns: int = 0
    size: int = 0
    stamp: str = NO_STAMP
    pending: str = NO_STAMP
    changing_ns: int = 0
    previous: str = BEGUN

    def encode(self) -> bytes:
        """Return the beginning of a witness; always as long, so that it can be overwritten."""
        return (
            f'{{"version": {self.version:20}, "ctime_ns": {self.ctime_ns:20}, '
            f'"size": {self.size:20}, "stamp": "{self.stamp}", "pending": "{self.pending}", '
            f'"changing_ns": {self.changing_ns:20}, "previous": "{self.previous}"'
        ).encode()


@dataclass(frozen=True, slots=True)
class Witness:
    """All that a backend's directory says of the last session.

    Attributes:
        note: the state of the database.
        session: the id of the session.
        boot: the boot id of the machine when this was written.
        is_open: whether the session was not closed.
        device: of the database file; it counts within one boot.
        inode: of the database file; 0 if there is none.
        doubt: why nothing here may be deleted, until the suspects are listed; empty: it may.
        suspects: the digest of the list of suspects that there must be; empty: there is none.
        directories: the inodes of the directories with the data, by their paths in the backend;
            those that are missing are left out. A mount or a move can bring other ones.
        compacted: while the database is being compacted, the states of the old file and of the new
            one: either may be found after the death of the process.
    """

    note: Note
    session: str
    boot: str
    is_open: bool
    device: int = 0
    inode: int = 0
    doubt: str = ""
    suspects: str = ""
    directories: Mapping[str, int] = field(default_factory=dict)
    compacted: Sequence[FileState] = ()

    @classmethod
    def read(cls, backend: Path) -> Witness | None:
        """Return the witness of a backend; `None` if there is none, or it is damaged."""
        try:
            return read_document(backend / ORLOP_DIRECTORY / WITNESS, cls._parse)
        except FileNotFoundError:
            return None
        except DamagedFileError as error:
            _logger.warning("%s: it counts as missing", error)
            return None

    @classmethod
    def _parse(cls, found: Any) -> Witness:
        note = Note(
            int(found["version"]),
            int(found["ctime_ns"]),
            int(found["size"]),
            str(found["stamp"]),
            str(found["pending"]),
            int(found.get("changing_ns", 0)),
            str(found.get("previous", BEGUN)),
        )
        return cls(
            note,
            session=str(found["session"]),
            boot=str(found["boot"]),
            is_open=found["is_open"] is not False,
            device=int(found["device"]),
            inode=int(found["inode"]),
            doubt=str(found["doubt"]),
            suspects=_parse_suspects(found),
            directories={str(name): int(one) for name, one in found["directories"].items()},
            compacted=tuple(_parse_state(one) for one in found.get("compacted", ())),
        )

    def encode(self) -> bytes:
        """Return its text: the note, then the rest."""
        rest = {
            "session": self.session,
            "boot": self.boot,
            "is_open": self.is_open,
            "device": self.device,
            "inode": self.inode,
            "doubt": self.doubt,
            "suspects": self.suspects,
            "directories": dict(self.directories),
            "compacted": [state._asdict() for state in self.compacted],
        }
        return padded(self.note.encode() + f", {json.dumps(rest)[1:]}".encode())

    def with_state(self, state: FileState | None) -> Witness:
        """Return the witness of a database in a state; `None`: there is no database."""
        previous = self.note.previous
        if state is None:
            return replace(self, note=Note(previous=previous), device=0, inode=0, compacted=())
        note = Note(state.version, state.ctime_ns, state.size, state.stamp, previous=previous)
        return replace(self, note=note, device=state.device, inode=state.inode, compacted=())


def coarse_time_ns() -> int:
    """Return the time on the clock that the times of files are read from, in nanoseconds."""
    return time.clock_gettime_ns(_COARSE_CLOCK)


def _parse_suspects(found: Any) -> str:
    """Return the digest of the list; earlier versions noted only that there is one."""
    if "has_suspects" in found:
        return "" if found["has_suspects"] is False else "not known"
    return str(found["suspects"])


def _parse_state(found: Any) -> FileState:
    numbers = {name: int(found[name]) for name in FileState._fields if name != "stamp"}
    return FileState(stamp=str(found["stamp"]), **numbers)


class WitnessFile:
    """The witness of a backend, kept open while a session writes."""

    def __init__(self, backend: Path, witness: Witness) -> None:
        """Keep a witness for the directory of a backend; nothing is written yet."""
        self._directory = backend / ORLOP_DIRECTORY
        self._path = str(self._directory / WITNESS)
        self._witness = witness
        self._note = witness.note
        self._written = (witness.note, witness.note)
        self._identity = (0, 0)
        self._rest = b""
        self._rest_offset = 0
        self._descriptor: int | None = None

    @property
    def witness(self) -> Witness:
        """The witness as it was written or noted last."""
        return replace(self._witness, note=self._note)

    @property
    def last_note(self) -> Note:
        """The note of the witness."""
        return self._note

    def write(self, witness: Witness) -> None:
        """Replace the file, durably.

        Raises:
            OSError: it cannot be written.
        """
        self.release()
        encoded = witness.encode()
        write_small(self._directory, WITNESS, encoded, in_place=True)
        self._witness, self._note = witness, witness.note
        self._written = (witness.note, witness.note)
        self._rest_offset = len(witness.note.encode())
        self._rest = encoded[self._rest_offset :]
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        found = os.fstat(descriptor)
        self._identity = found.st_dev, found.st_ino
        self._descriptor = descriptor  # the last step: without it nothing is compared

    def note(self, note: Note) -> None:
        """Overwrite the note, without waiting for the disk.

        Raises:
            OSError: it cannot be written.
        """
        self._written = (self._note, note)  # an interrupt may leave either in the file
        if self._descriptor is not None:
            os.pwrite(self._descriptor, note.encode(), 0)
        self._note = note

    def is_for(self, state: FileState) -> bool:
        """Whether a state is one of the database that the witness names, but for its note."""
        witness = self._witness
        if witness.compacted:
            return False
        return (state.device, state.inode) == (witness.device, witness.inode)

    def is_in_place(self) -> bool:
        """Whether no other session has written a witness since; the note is not looked at."""
        if self._descriptor is None:
            return True  # it could not be written, and there is none
        rest = os.pread(self._descriptor, len(self._rest) + 1, self._rest_offset)
        if rest != self._rest:
            return False
        with suppress_os_errors():
            named = os.stat(self._path)  # noqa: PTH116 (a quarter of the time)
            return (named.st_dev, named.st_ino) == self._identity
        return False

    def is_ours(self) -> bool:
        """Whether the file under the name of the witness is the one this session has written."""
        if not self.is_in_place():
            return False
        if self._descriptor is None:
            return True
        found = os.pread(self._descriptor, self._rest_offset, 0)
        return found in [note.encode() for note in self._written]

    def remove(self) -> None:
        """Delete the file: without one the next session is in doubt."""
        self.release()
        with suppress_os_errors():
            (self._directory / WITNESS).unlink(missing_ok=True)
            self._directory.rmdir()  # unless something else is in it

    def release(self) -> None:
        """Close the file and leave it as it is."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
