"""Guards that bring a backend back in line with the metadata after a rollback.

A backend changes at once, the metadata when the outermost update is committed. A guard is put on
the stack of the update before the backend changes, and looks at the metadata when the update has
ended. What it cannot do is left to the next cleanup.
"""

from __future__ import annotations

import abc
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orlop.errors import AbortedError, FailedPreconditionError, NotFoundError, OrlopError
from orlop.schema import namespaces, snapshots

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from orlop.kv import Transaction
    from orlop.records import SnapshotInfo
    from orlop.schema.snapshots import SnapshotRecord
    from orlop.storage.contract import SnapshotBackend
    from orlop.transactions import Scope, Transactions

_logger = logging.getLogger(__name__)


class UpdateGuard(abc.ABC):
    """Acts when an update has ended, if it is known how."""

    __slots__ = ()

    @abc.abstractmethod
    def agree(self) -> None:
        """Make the backend agree with the metadata."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Run `agree`, unless a failed or interrupted commit leaves the metadata unknown."""
        if error is not None and not isinstance(error, (AbortedError, FailedPreconditionError)):
            return
        try:
            self.agree()
        except (OrlopError, OSError) as failure:
            _logger.warning("left to the next collection: %s", failure)


@dataclass(frozen=True, slots=True)
class CreationGuard(UpdateGuard):
    """Removes a new snapshot from its backend where the update that names it is rolled back.

    Its files go with the next cleanup.
    """

    transactor: Transactions
    snapshotter: str
    backend: SnapshotBackend
    backend_name: str

    def agree(self) -> None:
        """Remove the snapshot if nothing names it."""
        if not self.transactor.read(
            lambda transaction: is_named(transaction, self.snapshotter, self.backend_name)
        ):
            self.backend.discard([self.backend_name])


@dataclass(frozen=True, slots=True)
class RestoringGuard(UpdateGuard):
    """Takes files away from a lost snapshot where the update that gave them is rolled back.

    Attributes:
        backend_name: of the active snapshot that had them, and is named by the metadata again.
        undo: takes the files away; nothing before they were given.
    """

    transactor: Transactions
    snapshotter: str
    backend_name: str
    undo: list[Callable[[], None]] = field(default_factory=list)

    def agree(self) -> None:
        """Take the files away if the metadata still names the active snapshot."""
        is_rolled_back = self.transactor.read(
            lambda transaction: is_named(transaction, self.snapshotter, self.backend_name)
        )
        for undo in self.undo if is_rolled_back else ():
            undo()


@dataclass(frozen=True, slots=True)
class LabelsGuard(UpdateGuard):
    """Takes labels back from a backend where the update that changed them is rolled back."""

    scope: Scope
    snapshotter: str
    backend: SnapshotBackend
    written: SnapshotRecord
    before: SnapshotInfo
    told: SnapshotInfo

    def agree(self) -> None:
        """Restore the labels that the backend had, unless they have been changed again."""
        stored = self.scope.transactor.read(self._read)
        if stored is None or stored.updated_at == self.written.updated_at:
            return
        try:
            if self.backend.stat(self.before.name).labels == self.told.labels:
                self.backend.update(self.before)
        except NotFoundError:
            return  # it was removed, or is being committed

    def _read(self, transaction: Transaction) -> SnapshotRecord | None:
        bucket = snapshots.find(transaction, self.scope.namespace, self.snapshotter)
        return snapshots.read(bucket, self.written.key)


def is_named(transaction: Transaction, snapshotter: str, backend_name: str) -> bool:
    """Return whether the metadata names a snapshot of a backend."""
    return snapshots.names_itself(transaction, snapshotter, backend_name) or any(
        name == backend_name
        for namespace in namespaces.all_names(transaction)
        for name in snapshots.backend_names(snapshots.find(transaction, namespace, snapshotter))
    )
