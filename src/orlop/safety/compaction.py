"""The proof of a database, carried over to the file that a compaction puts in its place."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from orlop.safety.assessment import DOUBTS, assess_shutdown
from orlop.safety.shutdown_marker import ShutdownMarker, boot_id
from orlop.safety.witness import Witness, WitnessFile, coarse_time_ns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orlop.kv import FileState
    from orlop.safety.assessment import RootFiles


class CarriedProof:
    """The proof of a database while its file is replaced by one of the same contents."""

    def __init__(self, files: RootFiles, name: str, witness: Witness | None) -> None:
        """Begin with the witness of a database; `None`: there is nothing to carry over."""
        self._files = files
        self._name = name
        self._witness = witness
        self._file: WitnessFile | None = None

    def swapping(self, new: Path) -> None:
        """Take note of the new file, which is complete and durable, before it takes the place.

        If the process dies from then on, either file is known.

        Raises:
            OSError: the witness cannot be written.
        """
        states = (self._found(), self._files.state_of(new))
        self._write(compacted=tuple([state for state in states if state is not None]))

    def linking(self) -> None:
        """Take note that links are about to be made or removed, which sets times of the files.

        Raises:
            OSError: the witness cannot be written.
        """
        if self._file is None:
            self._write()
        if self._file is not None:
            self._file.note(self._file.last_note._replace(changing_ns=coarse_time_ns()))

    def end(self) -> None:
        """Take note of the file that is in place now.

        Raises:
            OSError: the witness cannot be written.
        """
        if self._file is not None:
            self._write()
            self._file.release()

    def _found(self) -> FileState | None:
        return self._files.state_of(self._files.databases[self._name])

    def _write(self, compacted: tuple[FileState, ...] = ()) -> None:
        if self._witness is None:
            return
        witness = replace(
            self._witness.with_state(self._found()), boot=boot_id(), compacted=compacted
        )
        self._file = self._file or WitnessFile(self._files.backends[self._name], witness)
        self._file.write(witness)


@contextlib.contextmanager
def carried_over(files: RootFiles, name: str) -> Iterator[CarriedProof]:
    """Carry the proof of a database over to the file that the block leaves in its place.

    Nothing is carried over where the last session left a doubt.

    Args:
        files: the paths of the root.
        name: of the database. The caller holds its lock, and the block leaves its contents as
            they are, also where it fails.

    Raises:
        OSError: the witness cannot be written.
    """
    proof = CarriedProof(files, name, _sound_witness(files, name))
    try:
        yield proof
    finally:
        proof.end()


def _sound_witness(files: RootFiles, name: str) -> Witness | None:
    """Return the witness of a database; `None` if there is none, or its last end left a doubt."""
    witness = Witness.read(files.backends[name])
    marker = ShutdownMarker.read(files.marker_directory)
    state = files.state_of(files.databases[name])
    end = assess_shutdown(marker, witness, state, files.inodes(name), read_only=False)
    return None if end in DOUBTS else witness
