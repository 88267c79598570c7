"""The witness in a backend's directory: which state of its database was used with this data.

A backup of the database can carry its contents and modification times; it cannot carry inode
and change time. So those are noted after each commit, with the version and with the random
stamp that each version has behind its meta (`orlop.bolt.provenance`), and the next session
compares them.

The notes are not synced: they serve after the death of a process. A power loss shows in the boot
id, whatever they say.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from orlop.concurrency.interrupts import suppress_os_errors
from orlop.kv.contract import FileState
from orlop.storage.contract import ORLOP_DIRECTORY
from orlop.storage.small_files import DamagedFileError, padded, read_document, write_small

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

WITNESS: Final = "witness.json"

NO_STAMP: Final = "0" * 32

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Note:
    """The state of a database that a session noted last.

    Attributes:
        version: the number of the newest version; 0 if there is no database.
        ctime_ns: when the file changed last, in nanoseconds.
        size: of the file in bytes.
        stamp: of the newest version, in hex.
        pending: the stamp of a version that is being written, else `NO_STAMP`.
    """

    version: int = 0
    ctime_ns: int = 0
    size: int = 0
    stamp: str = NO_STAMP
    pending: str = NO_STAMP

    def encode(self) -> bytes:
        """Return the beginning of a witness; always as long, so that it can be overwritten."""
        return (
            f'{{"version": {self.version:20}, "ctime_ns": {self.ctime_ns:20}, '
            f'"size": {self.size:20}, "stamp": "{self.stamp}", "pending": "{self.pending}"'
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
        has_suspects: whether there must be a list of suspects.
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
    has_suspects: bool = False
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
        )
        return cls(
            note,
            session=str(found["session"]),
            boot=str(found["boot"]),
            is_open=found["is_open"] is not False,
            device=int(found["device"]),
            inode=int(found["inode"]),
            doubt=str(found["doubt"]),
            has_suspects=found["has_suspects"] is not False,
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
            "has_suspects": self.has_suspects,
            "directories": dict(self.directories),
            "compacted": [state._asdict() for state in self.compacted],
        }
        return padded(self.note.encode() + f", {json.dumps(rest)[1:]}".encode())

    def with_state(self, state: FileState | None) -> Witness:
        """Return the witness of a database in a state; `None`: there is no database."""
        if state is None:
            return replace(self, note=Note(), device=0, inode=0, compacted=())
        note = Note(state.version, state.ctime_ns, state.size, state.stamp)
        return replace(self, note=note, device=state.device, inode=state.inode, compacted=())


def _parse_state(found: Any) -> FileState:
    numbers = {name: int(found[name]) for name in FileState._fields if name != "stamp"}
    return FileState(stamp=str(found["stamp"]), **numbers)


class WitnessFile:
    """The witness of a backend, kept open while a session writes."""

    def __init__(self, backend: Path, witness: Witness) -> None:
        """Keep a witness for the directory of a backend; nothing is written yet."""
        self.witness = witness
        self._backend = backend
        self._descriptor: int | None = None

    def write(self, witness: Witness) -> None:
        """Replace the file, durably.

        Raises:
            OSError: it cannot be written.
        """
        self.release()
        directory = self._backend / ORLOP_DIRECTORY
        write_small(directory, WITNESS, witness.encode(), in_place=True)
        self.witness = witness
        if witness.is_open:
            self._descriptor = os.open(directory / WITNESS, os.O_RDWR | os.O_CLOEXEC)

    def note(self, note: Note) -> None:
        """Overwrite the note, without waiting for the disk.

        Raises:
            OSError: it cannot be written.
        """
        self.witness = replace(self.witness, note=note)
        if self._descriptor is not None:
            os.pwrite(self._descriptor, note.encode(), 0)

    def is_ours(self) -> bool:
        """Whether the file under the name of the witness is the one this session has written."""
        if self._descriptor is None:
            return True  # it could not be written, and there is none
        expected = self.witness.encode()
        if os.pread(self._descriptor, len(expected) + 1, 0) != expected:
            return False
        with suppress_os_errors():
            named = os.stat(self._backend / ORLOP_DIRECTORY / WITNESS)  # noqa: PTH116 (the pair with fstat)
            ours = os.fstat(self._descriptor)
            return (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)
        return False

    def remove(self) -> None:
        """Delete the file: without one the next session is in doubt."""
        self.release()
        directory = self._backend / ORLOP_DIRECTORY
        with suppress_os_errors():
            (directory / WITNESS).unlink(missing_ok=True)
            directory.rmdir()  # unless something else is in it

    def release(self) -> None:
        """Close the file and leave it as it is."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
