"""The store of leases.

Source: containerd, core/metadata/leases.go; spec/metadata.md 2.8.
"""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Final

from orlop import digests, filters
from orlop import labels as label_names
from orlop.errors import AlreadyExistsError, InvalidArgumentError, UnimplementedError
from orlop.records import Lease, LeaseResource
from orlop.schema import leases, names
from orlop.schema.codec import timestamps
from orlop.stores import filter_fields
from orlop.stores.record_store import RecordStore
from orlop.stores.validation import check_key, check_map

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping
    from datetime import timedelta

    from whenever import Instant

    from orlop.kv import Transaction

_RANDOM_BYTES: Final = 3
_NANOSECONDS_A_SECOND: Final = 1_000_000_000


class LeaseStore(RecordStore):
    """The leases of a namespace."""

    __slots__ = ()

    _title = "lease"
    _table = leases.TABLE

    def get(self, lease_id: str) -> Lease:
        """Return a lease.

        Raises:
            NotFoundError: there is none of that id.
        """

        def read(transaction: Transaction) -> Lease:
            lease = leases.read(self._find(transaction), lease_id)
            if lease is None:
                raise self._missing(lease_id)
            return lease

        return self.scope.transactor.read(read)

    def list(self, *filters_: str) -> builtins.list[Lease]:
        """Return the leases that any of the filters matches, in byte order of their ids.

        Raises:
            InvalidArgumentError: a filter cannot be understood.
        """
        wanted = filters.parse(filters_)

        def read(transaction: Transaction) -> builtins.list[Lease]:
            bucket = self._find(transaction)
            return [
                one
                for name in leases.all_names(bucket)
                if (one := leases.read(bucket, name)) and wanted.matches(filter_fields.lease(one))
            ]

        return self.scope.transactor.read(read)

    def create(
        self,
        lease_id: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        expires: timedelta | None = None,
    ) -> Lease:
        """Create a lease.

        Args:
            lease_id: its id; `None` for a random one.
            labels: its labels; containerd does not limit their length, and so do we.
            expires: after what time it ends by itself, in year 9999 at most; `None`: never,
                unless a label says so.

        Raises:
            AlreadyExistsError: there is one of that id.
            InvalidArgumentError: the id or a label is empty.
        """
        clock = self.scope.transactor.clock
        if lease_id is None:
            lease_id = _random_id(clock.now())
        stored_labels = dict(labels or {})
        check_key(lease_id, "the id of a lease")
        check_map(stored_labels, "lease.Labels")
        with self.scope.transactor.update() as update:
            # The time when the turn has come: an update may have waited for long.
            now = clock.now()
            if expires is not None:
                stored_labels[label_names.GC_EXPIRE] = expiry(now, expires)
            bucket = self._create(update.transaction)
            if leases.exists(bucket, lease_id):
                raise AlreadyExistsError(f'lease "{lease_id}"')
            return leases.write(bucket, Lease(id=lease_id, labels=stored_labels, created_at=now))

    def delete(self, lease_id: str) -> None:
        """Delete a lease; the next collection deletes resources that nothing else refers to.

        Raises:
            NotFoundError: there is none of that id.
        """
        with self.scope.transactor.update() as update:
            leases.delete(self._require(update.transaction, lease_id), lease_id)
            update.changes.deletions += 1

    def renew(self, lease_id: str, expires: timedelta) -> None:
        """Set a lease to expire after `expires` from now, replacing an earlier expiry.

        Raises:
            NotFoundError: there is none of that id.
        """
        with self.scope.transactor.update() as update:
            bucket = self._require(update.transaction, lease_id)
            labels = leases.labels(bucket, lease_id)
            # The time when the turn has come: an update may have waited for long.
            labels[label_names.GC_EXPIRE] = expiry(self.scope.transactor.clock.now(), expires)
            leases.write(bucket, Lease(id=lease_id, labels=labels))

    def label(self, lease_id: str, labels: Mapping[str, str]) -> Lease:
        """Set labels of a lease; an empty value removes one. containerd has no such call.

        Raises:
            NotFoundError: there is none of that id.
            InvalidArgumentError: the key of a label is empty.
        """
        check_map(labels, "lease.Labels")
        with self.scope.transactor.update() as update:
            bucket = self._require(update.transaction, lease_id)
            changed = {**leases.labels(bucket, lease_id), **labels}
            leases.write(bucket, Lease(id=lease_id, labels=changed))
            return self.get(lease_id)

    def add_resource(self, lease_id: str, resource: LeaseResource) -> None:
        """Add a resource to a lease; it need not exist, and may be there already.

        Raises:
            NotFoundError: there is no such lease.
            InvalidArgumentError: type or id of the resource are malformed.
            UnimplementedError: a lease cannot hold this type.
        """
        with self.scope.transactor.update() as update:
            bucket = self._require(update.transaction, lease_id)
            _check(resource)
            leases.add_resource(bucket, lease_id, resource)

    def delete_resource(self, lease_id: str, resource: LeaseResource) -> None:
        """Remove a resource from a lease; it may be missing.

        Raises:
            NotFoundError: there is no such lease.
            InvalidArgumentError: type or id of the resource are malformed.
            UnimplementedError: a lease cannot hold this type.
        """
        with self.scope.transactor.update() as update:
            bucket = self._require(update.transaction, lease_id)
            _check(resource)
            leases.remove_resource(bucket, lease_id, resource)
            update.changes.deletions += 1

    def resources(self, lease_id: str) -> builtins.list[LeaseResource]:
        """Return the resources of a lease: content, images, ingests, then snapshots.

        Raises:
            NotFoundError: there is no such lease.
        """

        def read(transaction: Transaction) -> builtins.list[LeaseResource]:
            return [*leases.resources(self._require(transaction, lease_id), lease_id)]

        return self.scope.transactor.read(read)


def expiry(now: Instant, expires: timedelta) -> str:
    """Return the value of the label that ends a lease `expires` from now, in year 9999 at most.

    Raises:
        InvalidArgumentError: `expires` is no timedelta.
    """
    duration = timestamps.require_duration(expires, "expires")
    return timestamps.format_rfc3339(timestamps.moment_after(now, duration))


def _random_id(now: Instant) -> str:
    nanosecond = now.timestamp(unit="nanosecond") % _NANOSECONDS_A_SECOND
    random = base64.urlsafe_b64encode(secrets.token_bytes(_RANDOM_BYTES)).decode()
    return f"{nanosecond}-{random}"


def _check(resource: LeaseResource) -> None:
    kind, *rest = resource.type.split("/")
    match kind, rest:
        case leases.CONTENT, []:
            digests.validate(resource.id)
        case leases.IMAGES | leases.INGESTS, []:
            names.check_key(resource.id, f"the id of a resource of type {kind}")
        case leases.SNAPSHOTS, [snapshotter]:
            names.check_key(snapshotter, "the name of a snapshotter")
            names.check_key(resource.id, "the key of a snapshot")
        case leases.CONTENT | leases.IMAGES | leases.INGESTS | leases.SNAPSHOTS, _:
            raise InvalidArgumentError(
                f'invalid resource type "{resource.type}": content, images, ingests and '
                "snapshots/<snapshotter> are the types that a lease can hold"
            )
        case _:
            raise UnimplementedError(f'resource type "{resource.type}" in a lease')
