"""The proof of a database, carried over to the file that a compaction puts in its place."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from orlop.safety.assessment import DOUBTS, assess_shutdown
from orlop.safety.shutdown_marker import ShutdownMarker, boot_id
from orlop.safety.witness import Witness, WitnessFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orlop.safety.assessment import RootFiles


@contextlib.contextmanager
def carried_over(files: RootFiles, name: str) -> Iterator[Callable[[Path], None] | None]:
    """Carry the proof of a database over to the file that the block leaves in its place.

    The block receives a function to call with the new file when that is complete and durable, and
    before it takes the place: if the process dies from then on, either file is known. It receives
    `None`, and nothing is carried over, where the last session left a doubt.

    Args:
        files: the paths of the root.
        name: of the database. The caller holds its lock, and the block leaves its contents as
            they are, also where it fails.

    Raises:
        OSError: the witness cannot be written.
    """
    witness = _sound_witness(files, name)
    if witness is None:
        yield None
        return
    path = files.databases[name]
    written: list[Witness] = []

    def before_swap(new: Path) -> None:
        states = (files.state_of(path), files.state_of(new))
        known = tuple([state for state in states if state is not None])
        noted = replace(witness, compacted=known, boot=boot_id())
        _write(files, name, noted)
        written.append(noted)

    try:
        yield before_swap
    finally:
        if written:
            _write(files, name, replace(witness.with_state(files.state_of(path)), boot=boot_id()))


def _write(files: RootFiles, name: str, witness: Witness) -> None:
    file = WitnessFile(files.backends[name], witness)
    file.write(witness)
    file.release()


def _sound_witness(files: RootFiles, name: str) -> Witness | None:
    """Return the witness of a database; `None` if there is none, or its last end left a doubt."""
    witness = Witness.read(files.backends[name])
    marker = ShutdownMarker.read(files.marker_directory)
    state = files.state_of(files.databases[name])
    end = assess_shutdown(marker, witness, state, files.inodes(name), read_only=False)
    return None if end in DOUBTS else witness
