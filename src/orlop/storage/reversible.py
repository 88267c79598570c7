"""Undo and redo of snapshot commits in a backend."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from orlop.storage.commit_intents import CommitIntent, CommitIntents
from orlop.storage.contract import PendingCommit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from orlop.storage.metastore import Metastore
    from orlop.storage.snapshots import Snapshots


class ReversibleSnapshotter(abc.ABC):
    """A snapshotter that notes its commits until the metadata has them. Every thread may use it."""

    def __init__(self, root: Path, metastore: Metastore) -> None:
        self._metastore = metastore
        self._intents = CommitIntents(root)

    @abc.abstractmethod
    def commit(
        self,
        name: str,
        key: str,
        labels: Mapping[str, str] | None = None,
        *,
        parent: str = "",
    ) -> None:
        """Turn the active snapshot `key` into the committed snapshot `name`, durably."""

    @abc.abstractmethod
    def _changing(self) -> AbstractContextManager[Snapshots]:
        """Change snapshots: all that the block does is durable after it, or none of it is."""

    def begin_commit(
        self, name: str, key: str, labels: Mapping[str, str] | None = None, *, parent: str = ""
    ) -> PendingCommit:
        """Write a durable intent for `commit` with the same arguments.

        Raises:
            NotFoundError: there is no such active snapshot.
            OSError: it could not be noted.
        """
        number, active = self._metastore.read(lambda snapshots: snapshots.stored(key))
        pending = PendingCommit(number, key=key, name=name)
        self._intents.write(CommitIntent(pending, active, labels or {}, parent))
        return pending

    def pending_commits(self) -> list[PendingCommit]:
        """Return the commits that are noted, in the order of their ids.

        Raises:
            DataLossError: a note is damaged.
        """
        noted = [self._intents.read(number) for number in self._intents.numbers()]
        return [intent.pending for intent in noted if intent is not None]

    def undo_commit(self, pending: PendingCommit) -> bool:
        """Let a snapshot be active again, with the record that it had; its files are the same.

        Returns:
            Whether it is active now. It is not where its commit is no longer noted, or where
            the committed snapshot is gone.

        Raises:
            FailedPreconditionError: others stand on it.
            DataLossError: the note is damaged.
        """
        intent = self._intents.read(pending.number)
        if intent is None or intent.pending != pending:
            return False
        with self._changing() as snapshots:
            return snapshots.undo_commit(pending.name, pending.key, pending.number, intent.active)

    def redo_commit(self, pending: PendingCommit) -> bool:
        """Commit a snapshot again after an undo; return whether it is committed now.

        Raises:
            DataLossError: the note is damaged.
        """
        intent = self._intents.read(pending.number)
        if intent is None or intent.pending != pending:
            return False
        if self._number(pending.key) == pending.number:
            self.commit(pending.name, pending.key, intent.labels, parent=intent.parent)
        return self._number(pending.name) == pending.number

    def end_commit(self, pending: PendingCommit) -> None:
        """Delete the intent of a commit: metadata and backend agree.

        Raises:
            OSError: it could not be deleted.
        """
        self._metastore.require_home()
        self._intents.delete(pending.number)

    def _number(self, key: str) -> str | None:
        return self._metastore.read(lambda snapshots: snapshots.number(key))
