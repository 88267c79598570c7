"""Claims on the names of data in a backend, between its writers and its cleanup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.concurrency.claims import Claims
from orlop.errors import UnavailableError

if TYPE_CHECKING:
    from orlop.storage.contract import PendingCommit


class BackendClaims(Claims):
    """The claims in one backend; a claim raises UnavailableError if it waits too long."""

    def __init__(self, backend: str, timeout: float | None = None) -> None:
        """Begin without claims; see `Claims`."""
        super().__init__(backend, timeout, timeout_error=UnavailableError)


class SnapshotClaims(BackendClaims):
    """The claims in one snapshot backend.

    Attributes:
        unsettled: commits of snapshots whose updates have not ended, or were interrupted at their
            end.
    """

    def __init__(self, snapshotter: str, timeout: float | None = None) -> None:
        """Begin without claims; see `Claims`."""
        super().__init__(f"the snapshotter {snapshotter}", timeout)
        self.unsettled: set[PendingCommit] = set()
