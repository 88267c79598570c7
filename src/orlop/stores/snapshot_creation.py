"""How a snapshot comes to be, in three phases: reserve a name, make it, note it.

The backend works between two transactions, because it may take long. What it made and
nobody noted is removed at once, or else by the next cleanup.

A backend may have the snapshot already, from a registry for example: the caller names it in
the label `containerd.io/snapshot.ref`, the backend answers that it exists, and it is noted
under that name, with the same answer to the caller (containerd's remote snapshots).

Source: containerd, core/metadata/snapshot.go; spec/metadata.md 2.6.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from orlop import labels as label_names
from orlop.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    OrlopError,
    UnknownError,
)
from orlop.records import SnapshotKind
from orlop.schema import leases, snapshots
from orlop.schema.snapshots import SnapshotRecord
from orlop.storage.contract import RepairableSnapshots
from orlop.stores import lease_refs
from orlop.stores.snapshot_errors import naming_missing_snapshot, snapshot_fault, stat_or_none
from orlop.stores.update_guards import CreationGuard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orlop.changes import Update
    from orlop.kv import Bucket
    from orlop.records import Mount, SnapshotInfo
    from orlop.storage.contract import SnapshotBackend
    from orlop.stores.backend_claims import SnapshotClaims
    from orlop.transactions import Scope

_logger = logging.getLogger(__name__)


def claimed_name(
    held: ExitStack, claims: SnapshotClaims, bucket: Bucket, namespace: str, key: str
) -> str:
    """Return a new backend name and claim it in `held`; a rolled-back attempt may have used it."""
    name = snapshots.new_backend_name(bucket, namespace, key)
    while claims.is_taken(name):  # the cleanup removes what an attempt has left: no need to wait
        name = snapshots.new_backend_name(bucket, namespace, key)
    held.enter_context(claims.claim(name))
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reservation:
    """The backend names of a new snapshot and of its parent."""

    backend_name: str
    backend_parent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """A snapshot that is to be created, with where and how."""

    scope: Scope
    snapshotter: str
    backend: SnapshotBackend
    claims: SnapshotClaims
    key: str
    parent: str
    labels: Mapping[str, str] | None
    is_view: bool

    def run(self) -> tuple[Mount, ...]:
        """Create the snapshot and return its mounts; for the errors see the store."""
        try:
            return self._run()
        except OrlopError:
            raise
        except BaseException:
            # The backend may have the snapshot, which no update has noted: a cleanup is to look.
            with suppress(OrlopError), self.scope.transactor.update(later=True) as update:
                update.changes.snapshotters.add(self.snapshotter)
            raise

    def _run(self) -> tuple[Mount, ...]:
        with ExitStack() as claimed:
            reserved, mounts = self._made(claimed)
            now = self.scope.transactor.clock.now()
            record = SnapshotRecord(
                key=self.key,
                backend_name=reserved.backend_name,
                parent=self.parent,
                labels=self.labels or {},
                created_at=now,
                updated_at=now,
            )
            try:
                noted = self._note(record, reserved.backend_parent)
            except (InvalidArgumentError, NotFoundError):
                # Refused, and so surely not noted. After a failed commit nobody knows: then the
                # files stay for the next cleanup, which looks at what is durable.
                self._remove_made(reserved.backend_name)
                raise
            if not noted:
                self._remove_made(reserved.backend_name)
                raise AlreadyExistsError(f'snapshot "{self.key}"')
            return mounts

    @property
    def _target(self) -> str:
        return (self.labels or {}).get(label_names.SNAPSHOT_REF, "")

    def _reserve(self, claimed: ExitStack) -> _Reservation:
        """Phase 1: check, and take a name for the backend. That and its parent are claimed.

        Only a number is written, which need not be durable before the record is: where it is
        given out again, the backend may know the name already.
        """
        while True:
            with self.scope.transactor.update(later=True) as update:
                lease_refs.check_lease(self.scope, update.transaction)
                bucket = snapshots.find(update.transaction, self.scope.namespace, self.snapshotter)
                existing = self._existing(bucket)
                if existing is None:
                    self._check_parent(bucket)
                    if bucket is None:
                        bucket = snapshots.create(
                            update.transaction, self.scope.namespace, self.snapshotter
                        )
                    return self._reserved(bucket, claimed)
            if self._attach_existing(existing):
                raise AlreadyExistsError(
                    f'snapshot "{existing}"'
                    if existing == self.key
                    else f'target snapshot "{existing}"'
                )

    def _reserved(self, bucket: Bucket, claimed: ExitStack) -> _Reservation:
        backend_parent = snapshots.backend_name(bucket, self.parent)
        if backend_parent:
            claimed.enter_context(self.claims.claim(backend_parent))
        name = claimed_name(claimed, self.claims, bucket, self.scope.namespace, self.key)
        return _Reservation(backend_name=name, backend_parent=backend_parent)

    def _existing(self, bucket: Bucket | None) -> str | None:
        """Return the existing snapshot that prevents a creation: the key or the target."""
        if self._target and self._has_data(bucket, self._target):
            return self._target
        return self.key if snapshots.exists(bucket, self.key) else None

    def _has_data(self, bucket: Bucket | None, key: str) -> bool:
        """Return whether a snapshot exists with its data; else the caller has to create it.

        A backend that could not be given the data again is not asked.
        """
        record = snapshots.read(bucket, key)
        if record is None:
            return False
        is_asked = isinstance(self.backend, RepairableSnapshots)
        return not is_asked or not snapshot_fault(self.backend, record.backend_name)

    def _attach_existing(self, key: str) -> bool:
        """Attach an existing snapshot to the lease in force; false if it was removed meanwhile."""
        if self.scope.transactor.lease(self.scope.namespace) is None:
            return True
        with self.scope.transactor.update() as update:
            bucket = snapshots.find(update.transaction, self.scope.namespace, self.snapshotter)
            if not snapshots.exists(bucket, key):
                return False
            self._attach(update, key)
            return True

    def _made(self, claimed: ExitStack) -> tuple[_Reservation, tuple[Mount, ...]]:
        """Run phases 1 and 2; repeat them if the backend has leftovers under the new name.

        After a rollback the same number is given out again, and the backend may have kept what
        was made under it.
        """
        while True:
            reserved = self._reserve(claimed)
            if self._target and stat_or_none(self.backend, reserved.backend_name) is not None:
                continue
            try:
                return reserved, self._make(reserved)
            except AlreadyExistsError as error:
                if self._target:
                    self._adopt(reserved, error, claimed)
                if stat_or_none(self.backend, reserved.backend_name) is None:
                    # To pass the answer on would tell the caller that the key was not new.
                    raise UnknownError(f"unexpected error from snapshotter: {error}") from error

    def _make(self, reserved: _Reservation) -> tuple[Mount, ...]:
        """Phase 2: the backend creates it, outside of any transaction of ours."""
        make = self.backend.view if self.is_view else self.backend.prepare
        inherited = label_names.inheritable(self.labels)
        with naming_missing_snapshot(
            self.backend, reserved.backend_parent, self.parent, self.snapshotter
        ):
            return make(reserved.backend_name, reserved.backend_parent, inherited)

    def _note(self, record: SnapshotRecord, backend_parent: str, *, adopted: bool = False) -> bool:
        """Phase 3: store the record; return whether that was done, and the key was still free."""
        with self.scope.transactor.update() as update:
            update.held.enter_context(self.claims.claim(record.backend_name))
            update.changes.snapshots_made.add(self.snapshotter)
            bucket = snapshots.find(update.transaction, self.scope.namespace, self.snapshotter)
            if bucket is None:
                raise NotFoundError(f'snapshotter "{self.snapshotter}" has no snapshots here')
            lease_refs.check_lease(self.scope, update.transaction)
            exists = snapshots.exists(bucket, record.key)
            if not exists:
                self._check_parent(bucket)
                if self.parent and snapshots.backend_name(bucket, self.parent) != backend_parent:
                    raise InvalidArgumentError(
                        f'mismatched parent "{self.parent}" from target "{self._target}"'
                    )
                if not adopted:
                    self._guard(update, record.backend_name)
                snapshots.write(bucket, record)
                if self.parent:
                    snapshots.add_child(bucket, self.parent, record.key)
            else:
                update.changes.snapshotters.add(self.snapshotter)  # what was made is garbage
            self._attach(update, record.key)
            if not exists and not adopted and not self.is_view:
                self.scope.emit_event(
                    update,
                    "/snapshot/prepare",
                    key=record.key,
                    parent=self.parent,
                    snapshotter=self.snapshotter,
                )
        return not exists

    def _adopt(
        self, reserved: _Reservation, error: AlreadyExistsError, claimed: ExitStack
    ) -> NoReturn:
        """Note the snapshot that the backend had already; the answer is an error all the same."""
        target, seen = self._find_target(reserved.backend_parent), None
        while target != seen:
            # Nothing may have named it so far: looked at again where no cleanup takes it away.
            claimed.enter_context(self.claims.claim(target.name))
            target, seen = self._find_target(reserved.backend_parent), target
        record = SnapshotRecord(
            key=self._target,
            backend_name=target.name,
            parent=self.parent,
            labels={**target.labels, **(self.labels or {})},
            created_at=target.created_at,
            updated_at=target.updated_at,
        )
        self._note(record, target.parent, adopted=True)
        raise AlreadyExistsError(f'target snapshot "{self._target}" from snapshotter') from error

    def _find_target(self, backend_parent: str) -> SnapshotInfo:
        for info in self.backend.walk():
            if (
                info.kind is SnapshotKind.COMMITTED
                and info.labels.get(label_names.SNAPSHOT_REF) == self._target
                and info.parent == backend_parent
            ):
                return info
        raise NotFoundError(f'target snapshot "{self._target}" in backend')

    def _check_parent(self, bucket: Bucket | None) -> None:
        if self.parent and not snapshots.exists(bucket, self.parent):
            raise NotFoundError(f'parent snapshot "{self.parent}"')

    def _attach(self, update: Update, key: str) -> None:
        lease_refs.attach(self.scope, update, f"{leases.SNAPSHOTS}/{self.snapshotter}", key)

    def _guard(self, update: Update, backend_name: str) -> None:
        """Remove the snapshot from the backend if the update that names it is rolled back."""
        guard = CreationGuard(self.scope.transactor, self.snapshotter, self.backend, backend_name)
        update.held.enter_context(guard)

    def _remove_made(self, backend_name: str) -> None:
        try:
            self.backend.remove(backend_name)
        except (OrlopError, OSError):
            _logger.exception(
                "snapshot %r of %s could not be removed; the next cleanup will",
                backend_name,
                self.snapshotter,
            )
