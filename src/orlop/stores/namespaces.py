"""The store of namespaces.

Source: containerd, core/metadata/namespaces.go; spec/metadata.md 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orlop import identifiers
from orlop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from orlop.schema import buckets, names, namespaces
from orlop.stores.validation import check_labels

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping

    from orlop.kv import Transaction
    from orlop.transactions import Transactions


def check_name(namespace: str) -> None:
    """Refuse an invalid name of a namespace.

    Raises:
        FailedPreconditionError: it is empty.
        InvalidArgumentError: it is no identifier, or it is `version`, a name of the schema.
    """
    if not namespace:
        raise FailedPreconditionError("namespace is required")
    identifiers.validate(namespace)
    if names.to_bytes(namespace) == names.VERSION:
        raise InvalidArgumentError(
            f'namespace "{namespace}" would stand in the way of the schema\'s version: '
            "choose another name"
        )


@dataclass(frozen=True, slots=True)
class NamespaceStore:
    """Namespaces with their labels. It belongs to no namespace itself."""

    transactor: Transactions

    def create(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """Create a namespace.

        Raises:
            AlreadyExistsError: it is there.
            InvalidArgumentError: name or labels are invalid.
        """
        if not name:
            raise InvalidArgumentError("the name of a namespace must not be empty")
        check_name(name)
        check_labels(labels or {}, "namespace.Labels")
        with self.transactor.update() as update:
            if namespaces.find(update.transaction, name) is not None:
                raise AlreadyExistsError(f'namespace "{name}"')
            namespaces.put_labels(namespaces.create(update.transaction, name), labels or {})

    def list(self) -> builtins.list[str]:
        """Return the names of all namespaces, in byte order."""
        return self.transactor.read(namespaces.all_names)

    def labels(self, name: str) -> dict[str, str]:
        """Return the labels of a namespace; none where there is no such namespace."""
        return self.transactor.read(lambda transaction: namespaces.labels(transaction, name))

    def set_label(self, name: str, key: str, value: str) -> None:
        """Set a label; an empty `value` deletes it. The namespace is made where it is missing.

        Raises:
            InvalidArgumentError: name or label are invalid.
        """
        check_name(name)
        check_labels({key: value}, "namespace.Labels")
        with self.transactor.update() as update:
            bucket = namespaces.create(update.transaction, name)
            if value:
                namespaces.put_labels(bucket, {key: value})
            else:
                namespaces.delete_label(bucket, key)

    def delete(self, name: str) -> None:
        """Delete an empty namespace, with its leases, ingests, sandboxes and labels.

        Raises:
            NotFoundError: there is none of that name.
            FailedPreconditionError: it has images, blobs, containers or snapshots.
        """
        with self.transactor.update() as update:
            if namespaces.find(update.transaction, name) is None:
                raise NotFoundError(f'namespace "{name}"')
            if occupants := _occupants(update.transaction, name):
                raise FailedPreconditionError(
                    f'namespace "{name}" must be empty, but it still has {", ".join(occupants)}'
                )
            namespaces.delete(update.transaction, name)


def _occupants(transaction: Transaction, namespace: str) -> list[str]:
    # Only to delete a namespace: listing them needs none of these.
    from orlop.schema import containers, content, images, snapshots  # noqa: PLC0415

    found = [
        what
        for what, bucket in (
            ("images", images.find(transaction, namespace)),
            ("blobs", content.find(transaction, namespace)),
            ("containers", containers.find(transaction, namespace)),
        )
        if not buckets.is_empty(bucket)
    ]
    return found + [
        f'snapshots on "{snapshotter}" snapshotter'
        for snapshotter in snapshots.snapshotters(transaction, namespace)
        if not buckets.is_empty(snapshots.find(transaction, namespace, snapshotter))
    ]
