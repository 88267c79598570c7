"""Snapshots: `v1/<namespace>/snapshots/<snapshotter>/<key>`.

Kind and data belong to the backend, which knows a snapshot by its backend name.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from orlop.schema import buckets, fields, names
from orlop.schema.drafts import draft_of
from orlop.schema.tables import RecordTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from whenever import Instant

    from orlop.kv import Bucket, ReadableBucket, Transaction, Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRecord:
    """A snapshot as `meta.db` has it.

    Attributes:
        key: how the user calls it; the name of a committed snapshot is one too.
        backend_name: how the backend calls it: `<namespace>/<sequence>/<key>`.
        parent: the key of the snapshot it stands on; empty where it stands on nothing.
    """

    key: str
    backend_name: str
    parent: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: Instant | None = None
    updated_at: Instant | None = None


_Draft: Final = draft_of(SnapshotRecord)


def find(transaction: Transaction, namespace: str, snapshotter: str) -> Bucket | None:
    """Return the bucket of a snapshotter's snapshots; `None` if it does not exist."""
    return TABLE.find(transaction, namespace, snapshotter)


def create(transaction: Transaction, namespace: str, snapshotter: str) -> Bucket:
    """Return the bucket of a snapshotter's snapshots, which is created if it does not exist."""
    return TABLE.create(transaction, namespace, snapshotter)


def snapshotters(transaction: Transaction, namespace: str) -> list[str]:
    """Return the names of the snapshotters that a namespace has used, in byte order."""
    return list(buckets.bucket_names(buckets.find(transaction, namespace, names.SNAPSHOTS)))


def page(snapshots: Bucket | None, after: str | None, limit: int) -> list[SnapshotRecord]:
    """Return at most `limit` snapshots in byte order of their keys, those behind `after`.

    Raises:
        DataLossError: a stored time cannot be read.
    """
    if snapshots is None:
        return []
    following = snapshots.trees(buckets.next_key(names.to_bytes(after or "")))
    return [_decode(names.to_text(key), tree) for key, tree in islice(following, limit)]


def parent(snapshots: ReadableBucket | None, key: str) -> str:
    """Return the key of a snapshot's parent, without the rest of it; empty where it has none."""
    snapshot = buckets.child(snapshots, key)
    return "" if snapshot is None else fields.read_text(snapshot, names.PARENT)


def backend_name(snapshots: ReadableBucket | None, key: str) -> str:
    """Return the backend name of a snapshot, without the rest of it."""
    snapshot = buckets.child(snapshots, key)
    return "" if snapshot is None else fields.read_text(snapshot, names.NAME)


def backend_names(snapshots: Bucket | None) -> Iterator[str]:
    """Iterate over the backend names of all snapshots, in byte order of the keys."""
    for key in all_names(snapshots):
        yield backend_name(snapshots, key)


def names_itself(transaction: Transaction, snapshotter: str, backend_name_: str) -> bool:
    """Return whether the snapshot that a backend name was created for still has it."""
    namespace, _, rest = backend_name_.partition("/")
    _, _, key = rest.partition("/")
    if not key:
        return False
    return backend_name(find(transaction, namespace, snapshotter), key) == backend_name_


def children(snapshots: Bucket | None, key: str) -> list[str]:
    """Return the keys of the children of a snapshot."""
    snapshot = buckets.child(snapshots, key)
    links = None if snapshot is None else snapshot.bucket(names.CHILDREN)
    return list(buckets.value_names(links))


def new_backend_name(snapshots: Bucket, namespace: str, key: str) -> str:
    """Return a backend name that no snapshot had before; it takes the bucket's next number."""
    return f"{namespace}/{snapshots.next_sequence()}/{key}"


def write(snapshots: Bucket, record: SnapshotRecord) -> SnapshotRecord:
    """Store a snapshot; return it without the empty labels, which are dropped.

    The link in its parent is a matter of its own: `add_child`.
    """
    with buckets.RecordWriter(snapshots, record.key) as snapshot:
        fields.write_time(snapshot, names.CREATED_AT, record.created_at)
        fields.write_time(snapshot, names.UPDATED_AT, record.updated_at)
        fields.write_text(snapshot, names.NAME, record.backend_name)
        if record.parent:
            fields.write_text(snapshot, names.PARENT, record.parent)
        stored_labels = fields.write_map(snapshot, names.LABELS, record.labels)
    return dataclasses.replace(record, labels=stored_labels)


def add_child(snapshots: Bucket, key: str, child: str) -> None:
    """Add `child` to the children of the snapshot `key`, which must exist."""
    snapshot = snapshots.create_bucket_if_absent(names.to_bytes(key))
    snapshot.create_bucket_if_absent(names.CHILDREN).put(names.to_bytes(child), b"")


def remove_child(snapshots: Bucket | None, key: str, child: str) -> None:
    """Undo `add_child`; nothing happens where there is no such snapshot or note."""
    snapshot = buckets.child(snapshots, key)
    links = None if snapshot is None else snapshot.bucket(names.CHILDREN)
    if links is not None and links.bucket(names.to_bytes(child)) is None:
        links.delete(names.to_bytes(child))


def _decode(key: str, snapshot: Tree) -> SnapshotRecord:
    draft: Any = _Draft()
    draft.key = key
    draft.backend_name = fields.text(snapshot, names.NAME)
    draft.parent = fields.text(snapshot, names.PARENT)
    draft.labels = fields.texts(snapshot, names.LABELS)
    draft.created_at, draft.updated_at = fields.times(snapshot)
    draft.__class__ = SnapshotRecord
    return draft  # type: ignore[no-any-return]


TABLE: Final = RecordTable((names.SNAPSHOTS,), _decode, fields.check_times)

exists, labels, all_names = TABLE.exists, TABLE.labels, TABLE.all_names
read, delete = TABLE.read, TABLE.delete
