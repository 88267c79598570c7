"""The store of snapshots: records by namespace, over files that a snapshot backend keeps.

Removing a snapshot here takes only the name away, and the key is free at once; the files go
with the next collection.

Source: containerd, core/metadata/snapshot.go; spec/metadata.md 2.6.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from orlop import filters
from orlop import labels as label_names
from orlop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from orlop.records import SnapshotInfo, SnapshotKind
from orlop.schema import drafts, leases, snapshots
from orlop.storage.contract import CopiedRestores
from orlop.stores import filter_fields, lease_refs
from orlop.stores.masks import masked_labels
from orlop.stores.pending_commits import settle_interrupted
from orlop.stores.record_store import RecordStore
from orlop.stores.snapshot_commit import Commit
from orlop.stores.snapshot_creation import Creation
from orlop.stores.snapshot_errors import (
    known_names,
    naming_missing_snapshot,
    snapshot_fault,
    stat_or_none,
)
from orlop.stores.update_guards import LabelsGuard
from orlop.stores.validation import check_key, check_labels, new_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from orlop.filters import Filter
    from orlop.kv import Bucket, Transaction
    from orlop.records import Mount, SnapshotUsage
    from orlop.schema.snapshots import SnapshotRecord
    from orlop.storage.contract import SnapshotBackend
    from orlop.stores.backend_claims import SnapshotClaims
    from orlop.transactions import Scope

_T = TypeVar("_T")

_WALK_BATCH: Final = 100
_NAMED_MAX: Final = 10

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SnapshotStore(RecordStore):
    """The snapshots of a namespace that one snapshotter keeps.

    Attributes:
        scope: the namespace, over a source of transactions.
        snapshotter: the name of the snapshotter.
        backend: what keeps the files; `None` where it is not ours or not there: then what the
            metadata says can be read, and kinds are unknown.
        claims: keep the cleanup of the backend from what is being made or named.
    """

    scope: Scope
    snapshotter: str
    backend: SnapshotBackend | None
    claims: SnapshotClaims

    _table = snapshots.TABLE

    def stat(self, key: str) -> SnapshotInfo:
        """Return the info of a snapshot.

        Raises:
            NotFoundError: there is none of that key, or the backend does not have it.
        """
        record = self.scope.transactor.read(lambda transaction: self._get(transaction, key))
        return self._overlaid(record)

    def fault(self, key: str) -> str:
        """Return why the data of a snapshot is missing; empty if it is there, or unknown.

        Raises:
            NotFoundError: there is none of that key.
        """
        return self._fault(self.scope.transactor.read(lambda one: self._get(one, key)))

    def chain(self, key: str) -> list[str]:
        """Return the keys of a snapshot and of its ancestors, from the metadata.

        Nothing for a snapshot that does not exist.
        """

        def read(bucket: Bucket | None) -> list[str]:
            keys: dict[str, None] = {}
            below = key
            while below not in keys and snapshots.exists(bucket, below):
                keys[below] = None
                below = snapshots.parent(bucket, below)
            return list(keys)

        return self._read(read)

    def update(self, info: SnapshotInfo, paths: Sequence[str] = ()) -> SnapshotInfo:
        """Change the labels of a snapshot: all of them, or those that `paths` name.

        Raises:
            NotFoundError: there is none of that name.
            InvalidArgumentError: the name is empty, or a path or a label is invalid.
        """
        if not info.name:
            raise InvalidArgumentError("the name of a snapshot is needed to update it")
        now = self.scope.transactor.clock.now()
        with self.scope.transactor.update() as update:
            stored = self._get(update.transaction, info.name)
            labels = masked_labels(stored.labels, info.labels, paths, f'snapshot "{info.name}"')
            check_labels(new_entries(labels, stored.labels), "info.Labels")
            backend, name = self._backend(), stored.backend_name
            inherited = label_names.inheritable(labels)
            # Inside the transaction, so that the two do not part; backends do it fast.
            with naming_missing_snapshot(backend, name, info.name, self.snapshotter):
                before = backend.stat(name)
                told = backend.update(
                    SnapshotInfo(kind=SnapshotKind.UNKNOWN, name=name, labels=inherited), paths
                )
            written = snapshots.write(
                self._create(update.transaction), replace(stored, labels=labels, updated_at=now)
            )
            update.held.enter_context(
                LabelsGuard(self.scope, self.snapshotter, backend, written, before, told)
            )
        return _overlay(told, written)

    def usage(self, key: str) -> SnapshotUsage:
        """Return the disk usage of a snapshot without its parent.

        Raises:
            NotFoundError: there is none of that key.
        """
        return self._ask(key, lambda backend, name: backend.usage(name))

    def mounts(self, key: str) -> tuple[Mount, ...]:
        """Return how to mount an active snapshot or a view.

        Raises:
            NotFoundError: there is none of that key.
            FailedPreconditionError: it is committed.
        """
        return self._ask(key, lambda backend, name: backend.mounts(name))

    def prepare(
        self, key: str, parent: str = "", labels: Mapping[str, str] | None = None
    ) -> tuple[Mount, ...]:
        """Create an active snapshot and return its mounts.

        The label `containerd.io/snapshot.ref` names a committed snapshot that the backend may
        know already: then that one gets the name, and AlreadyExistsError tells of it.

        Args:
            key: what to call it.
            parent: the committed snapshot to stand on; empty: none.
            labels: of the snapshot; the backend is told those that are meant for it.

        Raises:
            AlreadyExistsError: there is a snapshot of that key, or of the name in the label.
                The lease in force, if there is one, holds it now.
            NotFoundError: there is no such parent, or the lease in force does not exist.
            InvalidArgumentError: a key or a label is invalid.
        """
        return self._creation(key, parent, labels, is_view=False).run()

    def view(
        self, key: str, parent: str = "", labels: Mapping[str, str] | None = None
    ) -> tuple[Mount, ...]:
        """Create a read-only snapshot and return its mounts; otherwise as `prepare`."""
        return self._creation(key, parent, labels, is_view=True).run()

    def commit(
        self,
        name: str,
        key: str,
        labels: Mapping[str, str] | None = None,
        *,
        parent: str | None = None,
    ) -> None:
        """Turn the active snapshot `key` into the committed snapshot `name`.

        Where there is one of that name whose data is missing, it gets the files of the active
        one, which is gone then; else it stays as it is.

        Args:
            name: what to call it from now on.
            key: the active snapshot; the key is free afterwards.
            labels: all that it will have; those of the active one are not kept.
            parent: what it shall stand on, if it was prepared on nothing.

        Raises:
            AlreadyExistsError: there is a snapshot of that name, and its data is there. The
                lease in force, if there is one, holds it now.
            FailedPreconditionError: its data is missing, and it stands on another parent, or its
                backend cannot be given data again.
            NotFoundError: there is no such key or parent, or the lease in force does not exist.
            InvalidArgumentError: a name or a label is invalid.
        """
        check_key(name, "the name of a snapshot")
        check_labels(labels or {}, "info.Labels")
        with self._copied_ahead(name, key) as copy, self.scope.transactor.update() as update:
            bucket = self._find(update.transaction)
            if bucket is None:
                raise NotFoundError(f'snapshotter "{self.snapshotter}" has no snapshots here')
            lease_refs.check_lease(self.scope, update.transaction)
            stored = snapshots.read(bucket, name)
            active = snapshots.read(bucket, key)
            exists = stored is not None and not self._fault(stored)
            if exists:
                lease_refs.attach(self.scope, update, self._resource_type, name)
            elif active is None:
                raise self._missing(key)
            else:
                commit = Commit(
                    scope=self.scope,
                    snapshotter=self.snapshotter,
                    backend=self._backend(),
                    claims=self.claims,
                    name=name,
                    active=active,
                    labels=labels,
                    new_parent=parent,
                    copy=copy,
                )
                if stored is None:
                    commit.run(update, bucket)
                else:
                    commit.restore(update, bucket, stored)
        if exists:
            raise AlreadyExistsError(f'snapshot "{name}"')

    @contextmanager
    def _copied_ahead(self, name: str, key: str) -> Iterator[object | None]:
        """Yield a copy of the files that a commit restores; `None` where it restores none.

        It is made before the update, so that no other writer waits for it.
        """

        def records(transaction: Transaction) -> tuple[SnapshotRecord | None, ...]:
            bucket = self._find(transaction)
            if bucket is None:
                return None, None
            return snapshots.read(bucket, name), snapshots.read(bucket, key)

        stored, active = self.scope.transactor.read(records)
        if stored is None or active is None or not self._fault(stored):
            yield None
            return
        backend = self._backend()
        if not isinstance(backend, CopiedRestores):
            yield None
            return
        with ExitStack() as copies:
            copy: object | None = None
            with suppress(NotFoundError):  # gone meanwhile: the update says so
                copy = copies.enter_context(backend.copy_files(active.backend_name))
            yield copy

    def remove(self, key: str) -> None:
        """Remove a snapshot; the next collection deletes its files.

        Raises:
            NotFoundError: there is none of that key, or its parent is missing.
            FailedPreconditionError: others stand on it; the message names them.
        """
        with self.scope.transactor.update() as update:
            bucket = self._require(update.transaction, key)
            # A note of a child that is gone, as older daemons left them, holds nothing.
            children = [
                one for one in snapshots.children(bucket, key) if snapshots.exists(bucket, one)
            ]
            if children:
                raise FailedPreconditionError(
                    f'cannot remove snapshot "{key}" with child: {_named(children)}; '
                    "remove what stands on it first"
                )
            parent = snapshots.parent(bucket, key)
            if parent and not snapshots.exists(bucket, parent):
                raise NotFoundError(f'parent snapshot "{parent}" of "{key}"')
            if parent:
                snapshots.remove_child(bucket, parent, key)
            snapshots.delete(bucket, key)
            lease_refs.detach(self.scope, update, self._resource_type, key)
            update.changes.deletions += 1
            update.changes.snapshotters.add(self.snapshotter)
            self.scope.emit_event(update, "/snapshot/remove", key=key, snapshotter=self.snapshotter)

    def walk(self, *filters_: str) -> Iterator[SnapshotInfo]:
        """Iterate over the snapshots that any of the filters matches, in byte order of keys.

        They are read in batches, and none is open while one is handed out: the store may be
        used meanwhile. A snapshot that the backend does not have is passed over.

        Raises:
            InvalidArgumentError: a filter cannot be understood.
        """
        return self._walk(filters.parse(filters_))

    def lost(self, *filters_: str) -> Iterator[SnapshotInfo]:
        """Iterate over the snapshots that the backend does not have, which `walk` passes over.

        Their kind is unknown.

        Raises:
            InvalidArgumentError: a filter cannot be understood.
        """
        backend, wanted = self.backend, filters.parse(filters_)
        if backend is None:
            return
        known = known_names(backend)

        def read(bucket: Bucket | None) -> list[SnapshotRecord]:
            keys = snapshots.all_names(bucket)
            missing = [key for key in keys if snapshots.backend_name(bucket, key) not in known]
            return [record for key in missing if (record := snapshots.read(bucket, key))]

        for record in self._read(read):
            if stat_or_none(backend, record.backend_name) is None:  # else it was made meanwhile
                info = _overlay(SnapshotInfo(kind=SnapshotKind.UNKNOWN, name=""), record)
                if wanted.matches_all or wanted.matches(filter_fields.snapshot(info)):
                    yield info

    @property
    def _resource_type(self) -> str:
        return f"{leases.SNAPSHOTS}/{self.snapshotter}"

    def _walk(self, wanted: Filter) -> Iterator[SnapshotInfo]:
        after: str | None = None
        while batch := self._read(_page(after)):
            for record in batch:
                try:
                    info = self._overlaid(record)
                except NotFoundError:
                    continue
                if wanted.matches_all or wanted.matches(filter_fields.snapshot(info)):
                    yield info
            after = batch[-1].key

    def _creation(
        self, key: str, parent: str, labels: Mapping[str, str] | None, *, is_view: bool
    ) -> Creation:
        check_key(key, "the key of a snapshot")
        check_labels(labels or {}, "info.Labels")
        return Creation(
            scope=self.scope,
            snapshotter=self.snapshotter,
            backend=self._backend(),
            claims=self.claims,
            key=key,
            parent=parent,
            labels=labels,
            is_view=is_view,
        )

    def _read(self, function: Callable[[Bucket | None], _T]) -> _T:
        def read(transaction: Transaction) -> _T:
            return function(self._find(transaction))

        return self.scope.transactor.read(read)

    def _get(self, transaction: Transaction, key: str) -> SnapshotRecord:
        bucket = self._find(transaction)
        record = snapshots.read(bucket, key)
        if record is None:
            raise self._missing(key)
        return record

    def _missing(self, name: str) -> NotFoundError:
        return NotFoundError(
            f'snapshot "{name}" of {self.snapshotter} in namespace "{self.scope.namespace}"'
        )

    def _find(self, transaction: Transaction) -> Bucket | None:
        return snapshots.find(transaction, self.scope.namespace, self.snapshotter)

    def _create(self, transaction: Transaction) -> Bucket:
        return snapshots.create(transaction, self.scope.namespace, self.snapshotter)

    def _ask(self, key: str, question: Callable[[SnapshotBackend, str], _T]) -> _T:
        backend = self._backend()
        record = self.scope.transactor.read(lambda transaction: self._get(transaction, key))
        if not record.backend_name:
            raise NotFoundError(f'snapshot "{key}" has no name in its backend')
        with naming_missing_snapshot(backend, record.backend_name, key, self.snapshotter):
            return question(backend, record.backend_name)

    def _fault(self, record: SnapshotRecord) -> str:
        if self.backend is None:
            return ""
        return snapshot_fault(self._backend(), record.backend_name)

    def _overlaid(self, record: SnapshotRecord) -> SnapshotInfo:
        if self.backend is None:
            return _overlay(SnapshotInfo(kind=SnapshotKind.UNKNOWN, name=""), record)
        backend = self._backend()
        with naming_missing_snapshot(backend, record.backend_name, record.key, self.snapshotter):
            return _overlay(backend.stat(record.backend_name), record)

    def _backend(self) -> SnapshotBackend:
        if self.backend is None:
            raise FailedPreconditionError(
                f'the snapshotter "{self.snapshotter}" is not available here: only what the '
                "metadata says of its snapshots can be read"
            )
        if self.claims.unsettled:
            settle_interrupted(self.scope.transactor, self.snapshotter, self.backend, self.claims)
        return self.backend


def _page(after: str | None) -> Callable[[Bucket | None], list[SnapshotRecord]]:
    return lambda bucket: snapshots.page(bucket, after, _WALK_BATCH)


def _overlay(info: SnapshotInfo, record: SnapshotRecord) -> SnapshotInfo:
    """Overlay the info of the backend with the record of the metadata."""
    return drafts.snapshot_info(
        info.kind,
        record.key,
        record.parent,
        {**info.labels, **record.labels},
        (record.created_at, record.updated_at),
    )


def _named(keys: list[str]) -> str:
    shown = ", ".join(f'"{key}"' for key in keys[:_NAMED_MAX])
    more = len(keys) - _NAMED_MAX
    return f"{shown} and {more} more" if more > 0 else shown
