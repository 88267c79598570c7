"""Work on a root by a program that takes no notes of it, as containerd does."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from orlop.bolt import open_engine
from orlop.creation import CreationRules
from orlop.database import Database
from orlop.layout import RootLayout
from orlop.opening import OpenOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def without_notes(root: Path) -> Iterator[Database]:
    """Open a root for writing, without a record of it."""
    layout = RootLayout(root.absolute())
    engine = open_engine(layout.metadata_file, sync=False)
    with Database(
        engine, layout.metadata_file, OpenOptions(sync=False), rules=CreationRules(layout)
    ) as database:
        yield database
