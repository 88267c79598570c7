"""Rules for creating a database: never silently where data exists that an older one named.

A `meta.db` of 0 bytes, or a missing one, is what a power loss or a slip of a hand leaves. An
empty one in its place would make garbage of all that the lost one named.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orlop.errors import FailedPreconditionError
from orlop.layout import FILE_NAME, METADATA_DIRECTORY, RootLayout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orlop.kv import Transaction
    from orlop.stores.scope import Transactor


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
        """Refuse to make `meta.db` where a backend holds data.

        Raises:
            FailedPreconditionError: one does; the message says what to do.
        """
        data = None if self.begin_anew else self.layout.any_data()
        if data is not None:
            raise FailedPreconditionError(_refusal(self.layout.metadata_file, f"{data} exists"))

    def check_metastore(self, snapshotter: str, transactions: Transactor) -> None:
        """Refuse to make the `metadata.db` of a snapshotter where it has snapshots.

        Args:
            snapshotter: its name.
            transactions: those of `meta.db`.

        Raises:
            FailedPreconditionError: there are directories, or `meta.db` names snapshots.
        """
        if self.begin_anew:
            return
        path = self.layout.metastore_file(snapshotter)
        numbered = self.layout.numbered_directory(snapshotter)
        if numbered is not None:
            raise FailedPreconditionError(_refusal(path, f"{numbered} exists"))
        if transactions.read(lambda transaction: _names_snapshots(transaction, snapshotter)):
            evidence = f"meta.db names snapshots of {snapshotter}"
            raise FailedPreconditionError(_refusal(path, evidence))

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


def lost_database(path: Path) -> str | None:
    """Say what to do where a `meta.db` is missing although it has a root with data."""
    rules = rules_for_file(path)
    if rules is None:
        return None
    with suppress(OSError):  # whoever may not look gets the shorter answer
        data = rules.layout.any_data()
        if data is not None:
            return _refusal(path, f"{data} exists")
    return None


def _refusal(path: Path, evidence: str) -> str:
    state = "is empty" if path.exists() else "is missing"
    return (
        f"{path} {state}, although {evidence}: the database was lost. Restore it from a backup, or "
        "write what a damaged copy still holds to that place with `orlop db salvage`. If there is "
        "neither, begin anew (`orlop db init --begin-anew`, or orlop.open(..., begin_anew=True)): "
        "all that exists is set aside then, and nothing is deleted"
    )


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
