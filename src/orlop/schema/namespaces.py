"""Namespaces: `v1/<namespace>`, with `labels/<key>`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.schema import buckets, fields, names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orlop.kv import Bucket, Transaction


def all_names(transaction: Transaction) -> list[str]:
    """Return the names of all namespaces, in byte order."""
    return list(buckets.bucket_names(transaction.root.bucket(names.SCHEMA)))


def find(transaction: Transaction, namespace: str) -> Bucket | None:
    """Return the bucket of a namespace; `None` if it does not exist."""
    return buckets.find(transaction, namespace)


def create(transaction: Transaction, namespace: str) -> Bucket:
    """Return the bucket of a namespace, which is created if it does not exist."""
    return buckets.create(transaction, namespace)


def delete(transaction: Transaction, namespace: str) -> None:
    """Delete a namespace with its contents, if it exists."""
    buckets.delete(transaction.root.bucket(names.SCHEMA), namespace)


def labels(transaction: Transaction, namespace: str) -> dict[str, str]:
    """Return the labels of a namespace; empty if it does not exist."""
    return fields.read_map(find(transaction, namespace), names.LABELS)


def put_labels(bucket: Bucket, entries: Mapping[str, str]) -> None:
    """Add labels to a namespace; unlike the maps of other objects, empty values stay."""
    nested = bucket.create_bucket_if_absent(names.LABELS)
    for key, value in entries.items():
        nested.put(names.to_bytes(key), names.to_bytes(value))


def delete_label(bucket: Bucket, key: str) -> None:
    """Delete a label of a namespace, if it exists."""
    bucket.create_bucket_if_absent(names.LABELS).delete(names.to_bytes(key))
