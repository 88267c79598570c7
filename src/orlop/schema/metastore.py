"""The snapshots of one backend in its own database, `metadata.db`: its metastore.

`v1/snapshots/<key>/{id,kind,parent,createdat,updatedat,inodes,size,labels/}`, and for each
snapshot with a parent `v1/parents/<parent's id><00><id>` = its key, ids as unsigned varints.

Source: containerd, core/snapshots/storage/bolt.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orlop.kv import DraftBucket
from orlop.model.encoding import decode_uvarint, encode_uvarint
from orlop.model.records import SnapshotInfo, SnapshotKind, SnapshotUsage
from orlop.schema import buckets, names, values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orlop.kv import Bucket, Transaction

_VERSION: Final = b"v1"
_SNAPSHOTS: Final = b"snapshots"
_PARENTS: Final = b"parents"
_ID: Final = b"id"
_KIND: Final = b"kind"
_INODES: Final = b"inodes"
_SIZE: Final = b"size"
_SEPARATOR: Final = b"\x00"


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """A snapshot as the backend's database has it; `id` names its directory."""

    id: int
    info: SnapshotInfo
    usage: SnapshotUsage


class SnapshotBuckets:
    """The buckets of one transaction; where they are missing there are no snapshots."""

    def __init__(self, snapshots: Bucket | None, parents: Bucket | None) -> None:
        self._snapshots = snapshots
        self._parents = parents

    @classmethod
    def find(cls, transaction: Transaction) -> SnapshotBuckets:
        """Return the buckets as they are."""
        version = transaction.root.bucket(_VERSION)
        if version is None:
            return cls(None, None)
        return cls(version.bucket(_SNAPSHOTS), version.bucket(_PARENTS))

    @classmethod
    def create(cls, transaction: Transaction) -> SnapshotBuckets:
        """Return the buckets, made first where they are missing."""
        version = transaction.root.create_bucket_if_absent(_VERSION)
        return cls(
            version.create_bucket_if_absent(_SNAPSHOTS), version.create_bucket_if_absent(_PARENTS)
        )

    def all_names(self) -> Iterator[str]:
        """Iterate over the keys, in byte order."""
        return buckets.nested(self._snapshots)

    def read(self, key: str) -> SnapshotRecord | None:
        """Return a snapshot, `None` where there is none.

        Raises:
            DataLossError: a stored time cannot be read.
        """
        snapshot = buckets.child(self._snapshots, key) if key else None
        if snapshot is None:
            return None
        info = SnapshotInfo(
            kind=_read_kind(snapshot),
            name=key,
            parent=values.read_text(snapshot, names.PARENT),
            labels=values.read_map(snapshot, names.LABELS),
            created_at=values.read_time(snapshot, names.CREATED_AT),
            updated_at=values.read_time(snapshot, names.UPDATED_AT),
        )
        usage = SnapshotUsage(
            inodes=values.read_size(snapshot, _INODES), size=values.read_size(snapshot, _SIZE)
        )
        return SnapshotRecord(_read_id(snapshot), info, usage)

    def link(self, key: str) -> tuple[int, str] | None:
        """Return id and parent of a snapshot without the rest of it, `None` where there is none."""
        snapshot = buckets.child(self._snapshots, key) if key else None
        if snapshot is None:
            return None
        return _read_id(snapshot), values.read_text(snapshot, names.PARENT)

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
            values.write_text(snapshot, names.PARENT, record.info.parent)
        values.write_time(snapshot, names.CREATED_AT, record.info.created_at)
        values.write_time(snapshot, names.UPDATED_AT, record.info.updated_at)
        values.write_map(snapshot, names.LABELS, record.info.labels)
        if record.info.kind is SnapshotKind.COMMITTED:
            values.write_size(snapshot, _INODES, record.usage.inodes)
            values.write_size(snapshot, _SIZE, record.usage.size)
        snapshots.create_tree(names.to_bytes(record.info.name), snapshot.tree)

    def write_labels(self, info: SnapshotInfo) -> Mapping[str, str]:
        """Store the labels and times of a snapshot that exists; return the labels as stored."""
        snapshots = self._created(self._snapshots)
        snapshot = snapshots.create_bucket_if_absent(names.to_bytes(info.name))
        values.write_time(snapshot, names.CREATED_AT, info.created_at)
        values.write_time(snapshot, names.UPDATED_AT, info.updated_at)
        return values.write_map(snapshot, names.LABELS, info.labels)

    def delete(self, key: str) -> None:
        """Delete a snapshot, not its link; nothing happens where there is none."""
        buckets.delete(self._snapshots, key)

    def children(self, parent: int) -> list[str]:
        """Return the keys of the snapshots that stand on the one of that id."""
        if self._parents is None:
            return []
        prefix = encode_uvarint(parent) + _SEPARATOR
        found = []
        for name, child in self._parents.items(prefix):
            if not name.startswith(prefix):
                break
            found.append(names.to_text(child or b""))
        return found

    def add_child(self, parent: int, child: int, key: str) -> None:
        """Note that the snapshot `child`, which is called `key`, stands on `parent`."""
        parents = self._created(self._parents)
        parents.put(_link(parent, child), names.to_bytes(key))

    def remove_child(self, parent: int, child: int) -> None:
        """Undo `add_child`; nothing happens where there is no such note."""
        if self._parents is not None:
            self._parents.delete(_link(parent, child))

    @staticmethod
    def _created(bucket: Bucket | None) -> Bucket:
        if bucket is None:
            raise RuntimeError("snapshots are written to buckets that `create` returned")
        return bucket


def _link(parent: int, child: int) -> bytes:
    return encode_uvarint(parent) + _SEPARATOR + encode_uvarint(child)


def _read_id(snapshot: Bucket) -> int:
    return decode_uvarint(snapshot.get(_ID) or b"")


def _read_kind(snapshot: Bucket) -> SnapshotKind:
    stored = snapshot.get(_KIND)
    if stored is None or len(stored) != 1:
        return SnapshotKind.UNKNOWN
    try:
        return SnapshotKind(stored[0])
    except ValueError:
        return SnapshotKind.UNKNOWN
