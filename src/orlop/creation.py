"""Rules for creating a database: it is not made where data exists that a lost one named.

A power loss, or a person by mistake, may leave a `meta.db` that is missing or has 0 bytes. With a
new one in its place, the data of the lost one would be garbage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orlop.concurrency.interrupts import suppress_os_errors
from orlop.errors import LostDatabaseError, OrlopError, engine_error
from orlop.kv import EmptyFileError
from orlop.layout import (
    FILE_NAME,
    METADATA_DIRECTORY,
    METASTORE_NAME,
    SNAPSHOTTER_DIRECTORY,
    RootLayout,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orlop.kv import EngineError, Transaction
    from orlop.transactions import Transactions


@dataclass(frozen=True, slots=True)
class CreationRules:
    """Decides whether the databases of a root may be made anew.

    Attributes:
        layout: the paths of the root.
        begin_anew: whether the caller has asked to begin anew, with all data set aside.
    """

    layout: RootLayout
    begin_anew: bool = False

    def check_metadata(self) -> None:
        """Refuse to create `meta.db` where a backend contains data.

        Raises:
            LostDatabaseError: a backend does.
        """
        data = None if self.begin_anew else self.layout.any_data()
        if data is not None:
            raise LostDatabaseError(self.layout.metadata_file, f"{data} exists")

    def check_metastore(self, snapshotter: str, transactions: Transactions) -> None:
        """Refuse to make the `metadata.db` of a snapshotter where it has snapshots.

        Args:
            snapshotter: its name.
            transactions: those of `meta.db`.

        Raises:
            LostDatabaseError: there are directories, or `meta.db` names snapshots.
        """
        if self.begin_anew:
            return
        path = self.layout.metastore_file(snapshotter)
        numbered = self.layout.numbered_directory(snapshotter)
        if numbered is not None:
            raise LostDatabaseError(path, f"{numbered} exists")
        if transactions.read(lambda transaction: _names_snapshots(transaction, snapshotter)):
            evidence = f"meta.db names snapshots of {snapshotter}"
            raise LostDatabaseError(path, evidence)

    def lost_metastores(self) -> Sequence[str]:
        """Return the snapshotters that have directories of snapshots, but no database."""
        return [
            name
            for name in self.layout.snapshotters
            if not _has_bytes(self.layout.metastore_file(name))
            and self.layout.numbered_directory(name) is not None
        ]


def rules_for_file(path: Path) -> CreationRules | None:
    """Return the rules for a `meta.db` that is opened as a bare file; `None`: it has no root."""
    if path.name != FILE_NAME or path.parent.name != METADATA_DIRECTORY:
        return None
    return CreationRules(RootLayout(path.parent.parent))


def database_error(error: EngineError, path: Path) -> OrlopError:
    """Return an error of the engine of a database as one of ours.

    Args:
        error: of an empty file it says that the database was lost, if there is data.
        path: the file.
    """
    lost = lost_database(path) if isinstance(error, EmptyFileError) else None
    return lost or engine_error(error, path)


def lost_database(path: Path) -> LostDatabaseError | None:
    """Return the error for a database of a root that is missing or empty although there is data.

    Args:
        path: a `meta.db`, or the `metadata.db` of a snapshotter; any other has lost nothing.
    """
    evidence = None
    directory = path.parent
    with suppress_os_errors():  # without permission to look, the shorter error is raised
        if path.name == FILE_NAME and directory.name == METADATA_DIRECTORY:
            evidence = RootLayout(directory.parent).any_data()
        elif path.name == METASTORE_NAME and directory.name.startswith(SNAPSHOTTER_DIRECTORY):
            name = directory.name.removeprefix(SNAPSHOTTER_DIRECTORY)
            evidence = RootLayout(directory.parent).numbered_directory(name)
    return None if evidence is None else LostDatabaseError(path, f"{evidence} exists")


def _names_snapshots(transaction: Transaction, snapshotter: str) -> bool:
    from orlop.schema import namespaces, snapshots  # noqa: PLC0415 (only a missing database needs them)

    return any(
        True
        for namespace in namespaces.all_names(transaction)
        for _ in snapshots.all_names(snapshots.find(transaction, namespace, snapshotter))
    )


def _has_bytes(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False
