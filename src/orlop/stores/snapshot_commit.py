"""How an active snapshot becomes a committed one, in its backend and in the metadata.

The backend goes first, inside the update: if it refuses, nothing is written here. It notes the
commit before, so that it can be undone if the metadata never comes to have it: at once after a
rollback, else at the next opening or before the next cleanup (`pending_commits`).

Source: containerd, core/metadata/snapshot.go (Commit); spec/metadata.md 2.6.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orlop import labels as label_names
from orlop.errors import AlreadyExistsError, FailedPreconditionError, NotFoundError
from orlop.records import SnapshotKind
from orlop.schema import leases, snapshots
from orlop.schema.snapshots import SnapshotRecord
from orlop.storage.contract import RepairableSnapshots, ReversibleCommits
from orlop.stores import lease_refs
from orlop.stores.pending_commits import CommitGuard
from orlop.stores.snapshot_creation import claimed_name
from orlop.stores.snapshot_errors import is_being_committed, naming_missing_snapshot, stat_or_none
from orlop.stores.update_guards import RestoringGuard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orlop.changes import Update
    from orlop.kv import Bucket
    from orlop.storage.contract import SnapshotBackend
    from orlop.stores.backend_claims import SnapshotClaims
    from orlop.transactions import Scope

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """An active snapshot that is to be committed, with where and how.

    Attributes:
        copy: of its files, for a committed snapshot that has lost its own; `None`: the backend
            copies them when it is asked to restore them.
    """

    scope: Scope
    snapshotter: str
    backend: SnapshotBackend
    claims: SnapshotClaims
    name: str
    active: SnapshotRecord
    labels: Mapping[str, str] | None
    new_parent: str | None
    copy: object | None = None

    def run(self, update: Update, bucket: Bucket) -> None:
        """Commit the snapshot; for the errors see the store."""
        parent = self.active.parent or self.new_parent or ""
        if parent and not snapshots.exists(bucket, parent):
            raise NotFoundError(f'parent snapshot "{parent}" of "{self.active.key}"')
        now = self.scope.transactor.clock.now()
        update.changes.snapshots_made.add(self.snapshotter)
        backend_name = self._commit_in_backend(update, bucket, parent)
        committed = SnapshotRecord(
            key=self.name,
            backend_name=backend_name,
            parent=parent,
            labels=self.labels or {},
            created_at=now,
            updated_at=now,
        )
        snapshots.write(bucket, committed)
        if parent:
            snapshots.remove_child(bucket, parent, self.active.key)
            snapshots.add_child(bucket, parent, self.name)
        snapshots.delete(bucket, self.active.key)
        kind = f"{leases.SNAPSHOTS}/{self.snapshotter}"
        lease_refs.attach(self.scope, update, kind, self.name)
        lease_refs.detach(self.scope, update, kind, self.active.key)
        self.scope.emit_event(
            update,
            "/snapshot/commit",
            key=self.active.key,
            name=self.name,
            snapshotter=self.snapshotter,
        )

    def restore(self, update: Update, bucket: Bucket, stored: SnapshotRecord) -> None:
        """Move the active snapshot's files to the committed one that lacks its data.

        The record stays; for the errors see the store.
        """
        parent = self.active.parent or self.new_parent or ""
        if parent != stored.parent:
            raise FailedPreconditionError(
                f'snapshot "{self.name}" has lost its data, and stands on "{stored.parent}", not '
                f'on "{parent}": what is committed cannot take its place'
            )
        if is_being_committed(self.backend, stored.backend_name):
            raise FailedPreconditionError(
                f'snapshot "{self.name}": a commit of it was interrupted; `orlop gc run` ends it'
            )
        update.held.enter_context(self.claims.claim(stored.backend_name, self.active.backend_name))
        update.changes.snapshotters.add(self.snapshotter)
        with naming_missing_snapshot(
            self.backend, self.active.backend_name, self.active.key, self.snapshotter
        ):
            self._restore_in_backend(update, bucket, stored)
        if self.active.parent:
            snapshots.remove_child(bucket, self.active.parent, self.active.key)
        snapshots.delete(bucket, self.active.key)
        kind = f"{leases.SNAPSHOTS}/{self.snapshotter}"
        lease_refs.attach(self.scope, update, kind, self.name)
        lease_refs.detach(self.scope, update, kind, self.active.key)
        self.scope.emit_event(
            update, "/snapshot/remove", key=self.active.key, snapshotter=self.snapshotter
        )

    def _restore_in_backend(self, update: Update, bucket: Bucket, stored: SnapshotRecord) -> None:
        """Let the backend copy the files; the active snapshot is garbage once the update ends well.

        Until then it is as it was, whatever ends the process or the update.
        """
        if not isinstance(self.backend, RepairableSnapshots):
            raise FailedPreconditionError(
                f'snapshot "{self.name}" of {self.snapshotter} has lost its data: remove it, with '
                "what stands on it, and make it again"
            )
        active = self.active.backend_name
        guard = RestoringGuard(self.scope.transactor, self.snapshotter, active)
        update.held.enter_context(guard)
        stands_on = snapshots.backend_name(bucket, stored.parent) if stored.parent else ""
        inherited = label_names.inheritable(stored.labels)
        options = {} if self.copy is None else {"copy": self.copy}
        guard.undo.append(
            self.backend.restore(
                stored.backend_name, active, inherited, parent=stands_on, **options
            )
        )

    def _commit_in_backend(self, update: Update, bucket: Bucket, parent: str) -> str:
        """Commit in the backend; return the name of the snapshot there from now on.

        A name may be in use: by an attempt that was rolled back, since its number is given out
        again, or by a snapshot of a newer metadata that was lost. The first is undone, or adopted
        if containerd made it and wrote no intent; the other stays as it is, and the next number
        is taken.
        """
        active = self.active.backend_name
        inherited = label_names.inheritable(self.labels)
        stands_on = snapshots.backend_name(bucket, parent) if parent else ""
        moved_onto = "" if self.active.parent else stands_on
        while True:
            name = claimed_name(update.held, self.claims, bucket, self.scope.namespace, self.name)
            left = stat_or_none(self.backend, name)
            if left is None:
                try:
                    self._commit_as(name, update, inherited, moved_onto)
                except NotFoundError as error:
                    if self._undo_earlier():
                        continue
                    _logger.warning("snapshot %r cannot be committed: %s", self.active.key, error)
                    raise
                return name
            if self._undo_earlier():
                continue
            is_ours = left.kind is SnapshotKind.COMMITTED and left.parent == stands_on
            if is_ours and stat_or_none(self.backend, active) is None:
                self.backend.update(replace(left, labels=inherited or {}), ("labels",))
                return name

    def _commit_as(
        self, name: str, update: Update, inherited: Mapping[str, str] | None, moved_onto: str
    ) -> None:
        """Commit under a name; the backend keeps an intent until the update has ended."""
        active, backend = self.active.backend_name, self.backend
        with naming_missing_snapshot(backend, active, self.active.key, self.snapshotter):
            guard = self._note(update, name, inherited, moved_onto)
            try:
                backend.commit(name, active, inherited, parent=moved_onto)
            except AlreadyExistsError:
                if guard is not None:
                    guard.cancel()  # else it would remove the other one
                raise

    def _note(
        self, update: Update, name: str, inherited: Mapping[str, str] | None, moved_onto: str
    ) -> CommitGuard | None:
        if isinstance(self.backend, ReversibleCommits):
            pending = self.backend.begin_commit(
                name, self.active.backend_name, inherited, parent=moved_onto
            )
            guard = CommitGuard(
                self.scope.transactor, self.snapshotter, self.backend, self.claims, pending
            )
            self.claims.unsettled.add(pending)
            return update.held.enter_context(guard)
        return None

    def _undo_earlier(self) -> bool:
        """Undo a commit of this snapshot that is still noted; return whether that was done.

        The metadata names the active snapshot, as this update sees it: the commit never was.
        """
        backend, active = self.backend, self.active.backend_name
        if not isinstance(backend, ReversibleCommits) or stat_or_none(backend, active) is not None:
            return False
        noted = [one for one in backend.pending_commits() if one.key == active]
        return any(backend.undo_commit(one) for one in noted)
