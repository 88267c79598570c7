"""The snapshots of one backend in its own database, `metadata.db`: its metastore.

`v1/snapshots/<key>/{id,kind,parent,createdat,updatedat,inodes,size,labels/}`, and for each
snapshot with a parent `v1/parents/<parent's id><00><id>` = its key, ids as unsigned varints.

Source: containerd, core/snapshots/storage/bolt.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orlop.kv import DraftBucket
from orlop.records import SnapshotInfo, SnapshotKind, SnapshotUsage
from orlop.schema import buckets, fields, names
from orlop.schema.codec.encoding import decode_uvarint, encode_uvarint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orlop.kv import Bucket, Transaction, Tree

_VERSION: Final = b"v1"
_SNAPSHOTS: Final = b"snapshots"
_PARENTS: Final = b"parents"
_ID: Final = b"id"
_KIND: Final = b"kind"
_INODES: Final = b"inodes"
_SIZE: Final = b"size"
_SEPARATOR: Final = b"\x00"
_KINDS: Final = {bytes((kind.value,)): kind for kind in SnapshotKind}


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """A snapshot as the backend's database has it; `id` names its directory."""

    id: int
    info: SnapshotInfo
    usage: SnapshotUsage


class SnapshotBuckets:
    """The buckets of one transaction; where they are missing there are no snapshots."""

    def __init__(self, version: Bucket | None, snapshots: Bucket | None) -> None:
        self._version = version
        self._snapshots = snapshots

    @classmethod
    def find(cls, transaction: Transaction) -> SnapshotBuckets:
        """Return the buckets as they are."""
        version = transaction.root.bucket(_VERSION)
        return cls(version, None if version is None else version.bucket(_SNAPSHOTS))

    @classmethod
    def create(cls, transaction: Transaction) -> SnapshotBuckets:
        """Return the buckets, made first where they are missing."""
        version = transaction.root.create_bucket_if_absent(_VERSION)
        snapshots = version.bucket(_SNAPSHOTS)
        if snapshots is None:
            # The two are made together, so that one look is enough later.
            version.create_bucket_if_absent(_PARENTS)
            snapshots = version.create_bucket(_SNAPSHOTS)
        return cls(version, snapshots)

    def all_names(self) -> Iterator[str]:
        """Iterate over the keys, in byte order."""
        return buckets.bucket_names(self._snapshots)

    def read(self, key: str) -> SnapshotRecord | None:
        """Return a snapshot; `None` if it does not exist.

        Raises:
            DataLossError: a stored time cannot be read.
        """
        snapshot = fields.record(self._snapshots, key) if key else None
        if snapshot is None:
            return None
        created_at, updated_at = fields.times(snapshot)
        info = SnapshotInfo(
            kind=_kind(snapshot.get(_KIND)),
            name=key,
            parent=fields.text(snapshot, names.PARENT),
            labels=fields.texts(snapshot, names.LABELS),
            created_at=created_at,
            updated_at=updated_at,
        )
        usage = SnapshotUsage(
            inodes=fields.size(snapshot, _INODES), size=fields.size(snapshot, _SIZE)
        )
        return SnapshotRecord(_id(snapshot.get(_ID)), info, usage)

    def outlines(self) -> Iterator[tuple[str, SnapshotRecord]]:
        """Iterate over all snapshots with their keys, without their labels and times."""
        for key, snapshot in () if self._snapshots is None else self._snapshots.trees():
            name = names.to_text(key)
            info = SnapshotInfo(
                kind=_kind(snapshot.get(_KIND)),
                name=name,
                parent=fields.text(snapshot, names.PARENT),
            )
            usage = SnapshotUsage(
                inodes=fields.size(snapshot, _INODES), size=fields.size(snapshot, _SIZE)
            )
            yield name, SnapshotRecord(_id(snapshot.get(_ID)), info, usage)

    def stored(self, key: str) -> Tree | None:
        """Return the stored fields of a snapshot; `None` if it does not exist."""
        return fields.record(self._snapshots, key) if key else None

    def restore(self, key: str, stored: Tree) -> None:
        """Store the result of `stored` under a key that is free."""
        self._created(self._snapshots).create_tree(names.to_bytes(key), stored)

    def link(self, key: str) -> tuple[int, str] | None:
        """Return id and parent of a snapshot; `None` if it does not exist."""
        snapshot = buckets.child(self._snapshots, key) if key else None
        if snapshot is None:
            return None
        return _id(snapshot.get(_ID)), fields.read_text(snapshot, names.PARENT)

    def next_id(self) -> int:
        """Return an id that no snapshot had before.

        Raises:
            RuntimeError: the buckets were found, not created.
        """
        return self._created(self._snapshots).next_sequence()

    def write(self, record: SnapshotRecord) -> None:
        """Store a snapshot that is new; its usage only where it is committed."""
        snapshots = self._created(self._snapshots)
        snapshot = DraftBucket()
        snapshot.put(_ID, encode_uvarint(record.id))
        snapshot.put(_KIND, bytes((record.info.kind.value,)))
        if record.info.parent:
            fields.write_text(snapshot, names.PARENT, record.info.parent)
        fields.write_time(snapshot, names.CREATED_AT, record.info.created_at)
        fields.write_time(snapshot, names.UPDATED_AT, record.info.updated_at)
        fields.write_map(snapshot, names.LABELS, record.info.labels)
        if record.info.kind is SnapshotKind.COMMITTED:
            fields.write_size(snapshot, _INODES, record.usage.inodes)
            fields.write_size(snapshot, _SIZE, record.usage.size)
        snapshots.create_tree(names.to_bytes(record.info.name), snapshot.tree)

    def write_labels(self, info: SnapshotInfo) -> Mapping[str, str]:
        """Store the labels and times of a snapshot that exists; return the labels as stored."""
        snapshots = self._created(self._snapshots)
        snapshot = snapshots.create_bucket_if_absent(names.to_bytes(info.name))
        fields.write_time(snapshot, names.CREATED_AT, info.created_at)
        fields.write_time(snapshot, names.UPDATED_AT, info.updated_at)
        return fields.write_map(snapshot, names.LABELS, info.labels)

    def delete(self, key: str) -> None:
        """Delete a snapshot, if it exists, without its link."""
        buckets.delete(self._snapshots, key)

    def children(self, parent: int) -> list[str]:
        """Return the keys of the children of the snapshot with that id."""
        parents = self._parents()
        if parents is None:
            return []
        prefix = encode_uvarint(parent) + _SEPARATOR
        found = []
        for name, child in parents.items(prefix):
            if not name.startswith(prefix):
                break
            found.append(names.to_text(child or b""))
        return found

    def add_child(self, parent: int, child: int, key: str) -> None:
        """Link the snapshot `child` with the key `key` to its `parent`."""
        parents = self._created(self._version).create_bucket_if_absent(_PARENTS)
        parents.put(_link(parent, child), names.to_bytes(key))

    def remove_child(self, parent: int, child: int) -> None:
        """Undo `add_child`; nothing happens where there is no such note."""
        parents = self._parents()
        if parents is not None:
            parents.delete(_link(parent, child))

    def _parents(self) -> Bucket | None:
        return None if self._version is None else self._version.bucket(_PARENTS)

    @staticmethod
    def _created(bucket: Bucket | None) -> Bucket:
        if bucket is None:
            raise RuntimeError("snapshots are written to buckets that `create` returned")
        return bucket


def _link(parent: int, child: int) -> bytes:
    return encode_uvarint(parent) + _SEPARATOR + encode_uvarint(child)


def _id(stored: bytes | Tree | None) -> int:
    return decode_uvarint(stored if isinstance(stored, bytes) else b"")


def _kind(stored: bytes | Tree | None) -> SnapshotKind:
    if not isinstance(stored, bytes):
        return SnapshotKind.UNKNOWN
    return _KINDS.get(stored, SnapshotKind.UNKNOWN)


def is_metastore(transaction: Transaction) -> bool:
    """Whether this is the file of a snapshotter's `metadata.db`.

    Its schema is called as that of a `meta.db`, without a version, and has two buckets. A file
    without a version may also be the oldest form of a `meta.db`, with namespaces of any name.
    """
    schema = transaction.root.bucket(names.SCHEMA)
    if schema is None or schema.get(names.VERSION) is not None:
        return False
    inside = {key for key, value in schema.items() if value is None}
    if inside == {names.SNAPSHOTS, _PARENTS}:
        return True
    records = schema.bucket(names.SNAPSHOTS)
    if records is None or not inside <= {names.SNAPSHOTS, _PARENTS}:
        return False
    nested = (records.bucket(key) for key, value in records.items() if value is None)
    return any(one is not None and one.get(_ID) is not None for one in nested)


def foreign_to_metastore(transaction: Transaction) -> str:
    """Describe a file that is no snapshotter's `metadata.db`; empty if it is one.

    A file without any bucket is one, too: a snapshotter that has no snapshots yet.
    """
    schema = transaction.root.bucket(names.SCHEMA)
    if schema is None:
        return "another program's" if transaction.root.cursor().first() is not None else ""
    if schema.get(names.VERSION) is not None:
        return "a meta.db"
    # The oldest form of a meta.db has no version, but namespaces.
    others = {key for key, _ in schema.items()} - {names.SNAPSHOTS, _PARENTS}
    return "a meta.db" if others else ""


def is_foreign(transaction: Transaction) -> bool:
    """Whether this is a file with contents, but none of a `meta.db`."""
    if transaction.root.bucket(names.SCHEMA) is None:
        return transaction.root.cursor().first() is not None
    return is_metastore(transaction)
