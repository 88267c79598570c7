"""Claims on the names of data in a backend, between its writers and its cleanup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.concurrency.claims import Claims
from orlop.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.storage.contract import PendingCommit


def _is_never_suspect(_kind: str, _name: str) -> bool:
    return False


class BackendClaims(Claims):
    """The claims in one backend; a claim raises UnavailableError if it waits too long.

    Attributes:
        is_suspect: whether data of a kind and a name may be named by newer metadata that was
            lost, so that it must not be written to; nothing is, unless the opening says so.
    """

    is_suspect: Callable[[str, str], bool]

    def __init__(self, backend: str, timeout: float | None = None) -> None:
        """Begin without claims; see `Claims`."""
        super().__init__(backend, timeout, timeout_error=UnavailableError)
        self.is_suspect = _is_never_suspect


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
