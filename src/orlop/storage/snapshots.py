"""Operations on the snapshots of one backend, within one transaction.

Every method checks before it writes.

Source: containerd, core/snapshots/storage/bolt.go.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orlop.errors import (
    AlreadyExistsError,
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from orlop.records import SnapshotInfo, SnapshotKind, SnapshotUsage
from orlop.schema import names
from orlop.schema.metastore import SnapshotRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from orlop.clock import Clock
    from orlop.kv import Tree
    from orlop.schema.metastore import SnapshotBuckets

_LABELS: Final = "labels"
_LABEL_PREFIX: Final = "labels."
_CREATABLE: Final = frozenset({SnapshotKind.ACTIVE, SnapshotKind.VIEW})
_NO_USAGE: Final = SnapshotUsage(inodes=0, size=0)
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The ids that a mount of an active snapshot or a view needs.

    Attributes:
        id: names its directory: a decimal number.
        kind: active or view.
        parent_ids: those it stands on, the nearest first.
    """

    id: str
    kind: SnapshotKind
    parent_ids: tuple[str, ...] = ()


class Snapshots:
    """The snapshots of a backend, seen in one transaction."""

    def __init__(self, buckets: SnapshotBuckets, clock: Clock) -> None:
        self._buckets = buckets
        self._clock = clock

    def info(self, key: str) -> tuple[str, SnapshotInfo, SnapshotUsage]:
        """Return id, description and stored usage of a snapshot.

        Raises:
            NotFoundError: there is no such snapshot.
        """
        record = self._read(key)
        return str(record.id), record.info, record.usage

    def outlines(self) -> Iterator[tuple[str, SnapshotInfo, SnapshotUsage]]:
        """Iterate over the infos of all snapshots, without labels and times."""
        for _, record in self._buckets.outlines():
            yield str(record.id), record.info, record.usage

    def chain(self, key: str) -> dict[str, str]:
        """Return the keys of a snapshot and of all that it stands on by their ids, nearest first.

        Raises:
            NotFoundError: one of them does not exist.
            DataLossError: one stands on itself.
        """
        chain: dict[str, str] = {}
        while key:
            link = self._buckets.link(key)
            if link is None:
                raise NotFoundError(f"parent snapshot {key!r}")
            if str(link[0]) in chain:
                raise DataLossError(f"snapshot {key!r} stands on itself: its database is damaged")
            chain[str(link[0])] = key
            key = link[1]
        return chain

    def walk(self) -> Iterator[SnapshotInfo]:
        """Iterate over all snapshots, in byte order of their keys."""
        for key in self._buckets.all_names():
            yield self._read(key).info

    def ids(self) -> dict[str, str]:
        """Return the key of each snapshot by its id."""
        links = ((key, self._buckets.link(key)) for key in self._buckets.all_names())
        return {str(link[0]): key for key, link in links if link is not None}

    def snapshot(self, key: str) -> Snapshot:
        """Return how to mount an active snapshot or a view.

        Raises:
            NotFoundError: there is no such snapshot, or a parent is missing.
            FailedPreconditionError: it is committed.
        """
        record = self._read(key)
        if record.info.kind not in _CREATABLE:
            raise FailedPreconditionError(
                f"snapshot {key!r} is committed, not active or a view: prepare one on it"
            )
        return Snapshot(str(record.id), record.info.kind, self._chain(record.info.parent))

    def parent_id(self, parent: str) -> str | None:
        """Return the id of the snapshot that another is to stand on; `None`: on nothing.

        Raises:
            NotFoundError: there is no such snapshot.
            InvalidArgumentError: it is not committed.
        """
        if not parent:
            return None
        record = self._buckets.read(parent)
        if record is None:
            raise NotFoundError(f"parent snapshot {parent!r}")
        if record.info.kind is not SnapshotKind.COMMITTED:
            raise InvalidArgumentError(f"parent snapshot {parent!r} is not committed")
        return str(record.id)

    def refuse_existing(self, key: str) -> None:
        """Check that `key` can be given to a new snapshot.

        Raises:
            AlreadyExistsError: it is taken.
            InvalidArgumentError: it cannot be a key: empty or too long.
        """
        names.check_key(key, "key of a snapshot")
        if self._buckets.link(key) is not None:
            raise AlreadyExistsError(f"snapshot {key!r}")

    def create(
        self,
        kind: SnapshotKind,
        key: str,
        parent: str = "",
        labels: Mapping[str, str] | None = None,
        *,
        is_free: Callable[[str], bool] = lambda _: True,
    ) -> Snapshot:
        """Create an active snapshot or a view.

        Args:
            kind: which of the two.
            key: what to call it.
            parent: what it stands on; empty: on nothing.
            labels: of the snapshot.
            is_free: tells whether an id can be given out; else the next one is.

        Raises:
            InvalidArgumentError: of another kind, on a parent that is not committed, or
                with a key that can be none.
            NotFoundError: the parent does not exist.
            AlreadyExistsError: the key is taken.
        """
        if kind not in _CREATABLE:
            raise InvalidArgumentError(
                f"snapshot {key!r}: only active snapshots and views can be created, not {kind.name}"
            )
        return self._create(kind, key, parent, labels, usage=_NO_USAGE, is_free=is_free)

    def create_committed(
        self,
        key: str,
        parent: str,
        labels: Mapping[str, str] | None,
        *,
        usage: SnapshotUsage,
        is_free: Callable[[str], bool],
    ) -> str:
        """Create a committed snapshot for existing files, and return its id.

        Raises: as `create`.
        """
        kind = SnapshotKind.COMMITTED
        return self._create(kind, key, parent, labels, usage=usage, is_free=is_free).id

    def _create(
        self,
        kind: SnapshotKind,
        key: str,
        parent: str,
        labels: Mapping[str, str] | None,
        *,
        usage: SnapshotUsage,
        is_free: Callable[[str], bool],
    ) -> Snapshot:
        self.parent_id(parent)
        self.refuse_existing(key)
        parent_ids = self._chain(parent)
        number = self._buckets.next_id()
        while not is_free(str(number)):
            number = self._buckets.next_id()
        now = self._clock.now()
        info = SnapshotInfo(
            kind=kind,
            name=key,
            parent=parent,
            labels=labels or {},
            created_at=now,
            updated_at=now,
        )
        self._buckets.write(SnapshotRecord(number, info, usage))
        if parent_ids:
            self._buckets.add_child(int(parent_ids[0]), number, key)
        return Snapshot(str(number), kind, parent_ids)

    def update(self, info: SnapshotInfo, paths: Sequence[str] = ()) -> SnapshotInfo:
        """Change the labels of a snapshot: all, or those that `paths` name.

        Raises:
            NotFoundError: there is no such snapshot.
            InvalidArgumentError: a path is neither `labels` nor `labels.<key>`.
        """
        stored = self._read(info.name).info
        labels = dict(stored.labels) if paths else dict(info.labels)
        for path in paths:
            if path == _LABELS:
                labels = dict(info.labels)
            elif path.startswith(_LABEL_PREFIX):
                label = path.removeprefix(_LABEL_PREFIX)
                labels[label] = info.labels.get(label, "")
            else:
                raise InvalidArgumentError(
                    f"snapshot {info.name!r}: field {path!r} cannot be updated, only labels can"
                )
        updated = dataclasses.replace(stored, labels=labels, updated_at=self._clock.now())
        return dataclasses.replace(updated, labels=self._buckets.write_labels(updated))

    def commit_active(
        self,
        key: str,
        name: str,
        usage: SnapshotUsage,
        labels: Mapping[str, str] | None = None,
        *,
        parent: str = "",
    ) -> str:
        """Turn the active snapshot `key` into the committed one `name`; its id stays.

        Labels are replaced, not inherited, and both times are now.

        Args:
            key: of the active snapshot.
            name: of the committed one.
            usage: what it takes on disk.
            labels: all that it will have.
            parent: where not empty, what it shall stand on although it was prepared on
                nothing.

        Returns:
            The id.

        Raises:
            AlreadyExistsError: the name is taken.
            NotFoundError: there is no such snapshot, or a parent is missing.
            FailedPreconditionError: it is not active, or `parent` is not committed.
            InvalidArgumentError: it has another parent already, or the name can be none.
        """
        self.refuse_existing(name)
        record = self._read(key)
        if record.info.kind is not SnapshotKind.ACTIVE:
            raise FailedPreconditionError(
                f"snapshot {key!r} is {record.info.kind.name.lower()}: only active ones can be "
                "committed"
            )
        parent = self._rebased(record.info, parent)
        chain = self._chain(parent)
        now = self._clock.now()
        info = SnapshotInfo(
            kind=SnapshotKind.COMMITTED,
            name=name,
            parent=parent,
            labels=labels or {},
            created_at=now,
            updated_at=now,
        )
        self._buckets.write(SnapshotRecord(record.id, info, usage))
        self._buckets.delete(key)
        if chain:
            self._buckets.add_child(int(chain[0]), record.id, name)
        return str(record.id)

    def set_usage(self, key: str, usage: SnapshotUsage) -> None:
        """Store the disk usage of a snapshot.

        Raises:
            NotFoundError: there is no such snapshot.
        """
        record = self._read(key)
        self._buckets.delete(key)
        self._buckets.write(dataclasses.replace(record, usage=usage))

    def number(self, key: str) -> str | None:
        """Return the id of a snapshot, `None` where there is none."""
        link = self._buckets.link(key)
        return None if link is None else str(link[0])

    def stored(self, key: str) -> tuple[str, Tree]:
        """Return id and stored form of a snapshot, for `undo_commit`.

        Raises:
            NotFoundError: there is no such snapshot.
        """
        stored = self._buckets.stored(key)
        if stored is None:
            raise NotFoundError(f"snapshot {key!r}")
        return str(self._read(key).id), stored

    def undo_commit(self, name: str, key: str, number: str, stored: Tree) -> bool:
        """Let the committed snapshot `name` be the active one again that it was.

        Args:
            name: of the committed snapshot.
            key: of the active one.
            number: the id of both.
            stored: what was stored of the active one.

        Returns:
            Whether the active one is there now.

        Raises:
            FailedPreconditionError: others stand on it; the message names them.
        """
        active = self.number(key)
        if active is not None:
            return active == number
        record = self._buckets.read(name)
        if record is None or str(record.id) != number:
            return False
        self._refuse_children(name, record.id, "made active again")
        above = self._buckets.link(record.info.parent)
        if above is not None:
            self._buckets.remove_child(above[0], record.id)
        self._buckets.delete(name)
        self._buckets.restore(key, stored)
        below = self._buckets.link(self._read(key).info.parent)
        if below is not None:
            self._buckets.add_child(below[0], record.id, key)
        return True

    def remove(self, key: str) -> tuple[str, SnapshotKind]:
        """Remove a snapshot; return the id and the kind that it had.

        Raises:
            NotFoundError: there is no such snapshot, or its parent is missing.
            FailedPreconditionError: others stand on it; the message names them.
        """
        record = self._read(key)
        self._refuse_children(key, record.id)
        chain = self._chain(record.info.parent)
        if chain:
            self._buckets.remove_child(int(chain[0]), record.id)
        self._buckets.delete(key)
        return str(record.id), record.info.kind

    def _refuse_children(self, key: str, number: int, done: str = "removed") -> None:
        children = self._buckets.children(number)
        if children:
            shown = ", ".join(repr(child) for child in children[:_SHOWN])
            more = f" and {len(children) - _SHOWN} more" if len(children) > _SHOWN else ""
            raise FailedPreconditionError(
                f"snapshot {key!r} cannot be {done} before its children: {shown}{more}"
            )

    def _read(self, key: str) -> SnapshotRecord:
        record = self._buckets.read(key)
        if record is None:
            raise NotFoundError(f"snapshot {key!r}")
        return record

    def _rebased(self, info: SnapshotInfo, parent: str) -> str:
        if not parent or parent == info.parent:
            return info.parent
        if info.parent:
            raise InvalidArgumentError(
                f"snapshot {info.name!r} stands on {info.parent!r}, it cannot be moved to "
                f"{parent!r}"
            )
        try:
            self.parent_id(parent)
        except InvalidArgumentError as error:
            raise FailedPreconditionError(error.context) from error
        return parent

    def _chain(self, parent: str) -> tuple[str, ...]:
        """Return the ids of a parent and of its ancestors, the nearest first."""
        return tuple(self.chain(parent))
