"""Recovery of snapshot commits that were interrupted before they reached the metadata.

A commit is durable in the backend before it is in `meta.db`. Whatever ends it between the two,
the metadata decides: it names the active snapshot, and the backend gets that one back; or it
names the committed one, and the backend keeps it. Then the note on the commit is struck off.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orlop.errors import FailedPreconditionError
from orlop.storage.contract import ReversibleCommits
from orlop.stores.update_guards import CreationGuard, UpdateGuard, is_named

if TYPE_CHECKING:
    from orlop.kv import Transaction
    from orlop.storage.contract import PendingCommit, SnapshotBackend
    from orlop.stores.backend_claims import BackendClaims, SnapshotClaims
    from orlop.transactions import Transactions

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class CommitGuard(UpdateGuard):
    """Settles one commit. It is put on the stack of the update before the backend changes."""

    transactor: Transactions
    snapshotter: str
    backend: ReversibleCommits
    claims: SnapshotClaims
    pending: PendingCommit
    is_cancelled: bool = False

    def cancel(self) -> None:
        """Give the commit up before it has begun: another snapshot has its name."""
        self.is_cancelled = True
        self.backend.end_commit(self.pending)
        self.claims.unsettled.discard(self.pending)

    def agree(self) -> None:
        """Let the backend have the snapshot that the metadata names, if it names one."""
        if self.is_cancelled:
            return
        settle(self.transactor, self.snapshotter, self.backend, self.pending)
        guard = CreationGuard(self.transactor, self.snapshotter, self.backend, self.pending.name)
        guard.agree()  # the active one was of the same update, then
        self.claims.unsettled.discard(self.pending)


def settle(
    transactor: Transactions,
    snapshotter: str,
    backend: ReversibleCommits,
    pending: PendingCommit,
    *,
    keeps_note: bool = False,
) -> None:
    """Let the backend have that snapshot, active or committed, which the metadata names.

    Args:
        transactor: where the metadata is read.
        snapshotter: the name of the backend.
        backend: the backend.
        pending: the commit. No update is at it, but for the one that ends just now.
        keeps_note: whether the commit may have to be settled again, the other way, since the
            metadata may not be the newest.

    Raises:
        FailedPreconditionError: it is to be undone, and others stand on it.
        OrlopError, OSError: something could not be read or written.
    """
    if pending not in backend.pending_commits():
        return  # another attempt is noted in its place, or nothing is left to be settled
    named = transactor.read(lambda transaction: _named(transaction, snapshotter, pending))
    if named == pending.name:
        is_there = backend.redo_commit(pending)
    elif named == pending.key:
        is_there = backend.undo_commit(pending)
    else:
        is_there = True  # nothing names it: it is garbage as any
    if is_there and keeps_note:
        return
    if not is_there:
        _logger.warning(
            "snapshot %r of %s was being committed, and its data is gone", pending.key, snapshotter
        )
    backend.end_commit(pending)


def settle_interrupted(
    transactor: Transactions, snapshotter: str, backend: SnapshotBackend, claims: SnapshotClaims
) -> None:
    """Settle the commits of this process that an exception interrupted.

    A handle may go on after an exception that ended both an update and its guards. The notes
    stay for the next cleanup: whether the interrupted update is durable may still be open.

    Raises:
        OrlopError, OSError: something could not be read or written.
    """
    if not isinstance(backend, ReversibleCommits):
        return
    for pending in tuple(claims.unsettled):
        names = {pending.name, pending.key}
        with claims.take(names) as taken:
            if taken != names:
                continue  # its update has not ended
            try:
                settle(transactor, snapshotter, backend, pending, keeps_note=True)
            except FailedPreconditionError as error:
                _logger.info("%s", error)
                continue
            if pending not in backend.pending_commits():
                claims.unsettled.discard(pending)


def settle_all(
    transactor: Transactions,
    snapshotter: str,
    backend: SnapshotBackend,
    claims: BackendClaims,
    *,
    keeps_notes: bool = False,
) -> set[str]:
    """Settle all recorded commits of a backend that no update is working on.

    Args:
        transactor: where the metadata is read.
        snapshotter: the name of the backend.
        backend: the backend; one that cannot undo commits notes none.
        claims: tell who is at what in the backend.
        keeps_notes: as for `settle`.

    Returns:
        The names in the backend whose commits are still to be settled.

    Raises:
        OrlopError, OSError: something could not be read or written.
    """
    if not isinstance(backend, ReversibleCommits):
        return set()
    left: set[str] = set()
    for pending in backend.pending_commits():
        names = {pending.name, pending.key}
        with claims.take(names) as taken:
            if taken == names:
                try:
                    settle(transactor, snapshotter, backend, pending, keeps_note=keeps_notes)
                except FailedPreconditionError as error:
                    _logger.info("%s", error)
                else:
                    continue
        left |= names
    return left


def _named(transaction: Transaction, snapshotter: str, pending: PendingCommit) -> str | None:
    """Return which of the names of a snapshot in its backend the metadata has."""
    names = (pending.name, pending.key)
    return next((one for one in names if is_named(transaction, snapshotter, one)), None)
