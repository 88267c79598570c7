"""Lets a copy of a root count as the root itself: tests copy roots to try the same thing often."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orlop.bolt import read_file_state
from orlop.layout import RootLayout
from orlop.safety.root_sessions import root_files
from orlop.safety.witness import Witness, WitnessFile

if TYPE_CHECKING:
    from pathlib import Path


def trust_copy(root: Path) -> Path:
    """Update the witnesses of a root to its current files; return the root."""
    files = root_files(RootLayout(root.absolute()), read_file_state)
    for name, backend in files.backends.items():
        witness = Witness.read(backend)
        if witness is not None:
            file = WitnessFile(backend, witness)
            witness = witness.with_state(files.state_of(files.databases[name]))
            file.write(replace(witness, directories=files.inodes(name)))
            file.release()
    return root
