"""The collector's environment: transactions, backends, locks and claims.

The database fills it in; so the collector can be read, and tested, without the database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orlop.concurrency.shared_lock import SharedLock
    from orlop.gc.change_feed import ChangeFeed
    from orlop.gc.journal import Journal
    from orlop.gc.quarantine import Quarantine
    from orlop.gc.resources import RegisteredResource
    from orlop.storage.contract import ContentBackend, SnapshotBackend
    from orlop.stores.backend_claims import BackendClaims, SnapshotClaims
    from orlop.transactions import Transactions


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionContext:
    """A database as its collector sees it.

    Attributes:
        transactor: where transactions and the time come from, and events go.
        read_only: whether the database was opened for reading.
        reports: is told of all that updates touch, once it is durable, before the gate is left.
        gate: updates hold a share of it, a sweep has it alone.
        content: what keeps blobs; `None` for a bare database.
        content_claims: keep its cleanup from what is being written or named.
        snapshotters: what keeps snapshots, by name; empty for a bare database.
        snapshot_claims: returns the same for each of them.
        quarantine: what is set aside, and whether anything may be deleted at all.
        resources: kinds of resources that take part, by type; may grow while the database
            is open.
        journal: where it is written down what collections removed; `None` for a bare database.
    """

    transactor: Transactions
    read_only: bool
    reports: ChangeFeed
    gate: SharedLock
    content: ContentBackend | None
    content_claims: BackendClaims
    snapshotters: Mapping[str, SnapshotBackend]
    snapshot_claims: Callable[[str], SnapshotClaims]
    quarantine: Quarantine
    resources: dict[str, RegisteredResource] = field(default_factory=dict)
    journal: Journal | None = None

    def wait_for_disk(self) -> None:
        """Return when all that was changed before is durable, and so seen by readers.

        Raises:
            UnavailableError: it failed, or the turn to write was not free in time.
        """
        # An update that changes nothing is over when what it has seen is durable.
        with self.transactor.update() as update:
            update.changes.committed = False  # there is nothing that others were to be told of

    def claims(self, name: str) -> BackendClaims:
        """Return the claims that protect a backend's data from cleanup; `""` is content."""
        return self.snapshot_claims(name) if name else self.content_claims
