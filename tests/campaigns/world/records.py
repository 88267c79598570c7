"""The model of a history: the records that were acknowledged, and the data that they hold.

It is naive on purpose and knows nothing of the collector: records refer to records, some are
roots, and data that is reached from a root must be there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from campaigns.world.paths import blob_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from campaigns.world.clocks import WorldClock

IMAGE, CONTENT, SNAPSHOT, LEASE, INGEST = "image", "content", "snapshot", "lease", "ingest"


class Node(NamedTuple):
    """The name of a record; the key of a snapshot is `snapshotter/key`."""

    namespace: str
    type: str
    key: str

    def __str__(self) -> str:
        return f"{self.type} {self.namespace}:{self.key[:40]}"


class BackendItem(NamedTuple):
    """A data file: its path below the root, and its contents."""

    path: str
    contents: bytes


class Expiry(NamedTuple):
    """When a root ends by itself, in seconds on both clocks, and the handle that set it."""

    wall: float
    elapsed: float
    handle: int


@dataclass(frozen=True, slots=True)
class Record:
    """A record.

    Attributes:
        refs: the records that it refers to.
        is_root: whether it is held by itself.
        expiry: when it is a root no longer.
        marker: of a snapshot, name and contents of the file that was written into it.
        datum: its data, as soon as it is known where that is.
        written: of an ingest, how many bytes were acknowledged.
    """

    refs: frozenset[Node] = frozenset()
    is_root: bool = False
    expiry: Expiry | None = None
    marker: tuple[str, bytes] | None = None
    datum: BackendItem | None = None
    written: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as it was read from the database; `directory` is that of a snapshot."""

    refs: frozenset[Node]
    is_root: bool
    has_data: bool = True
    directory: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of records that an operation is about to make.

    Attributes:
        records: what it creates or replaces.
        gone: what it deletes.
        added: which references it adds to which records.
        guard: the record that is written last, where there are several transactions: only if it
            is there has all been done.
        late: what is made after the guard; only references to it may be missing then.
        merges: whether references of existing records stay.
        moves: whether data moves from what is gone to what is created: one of them must be there.
    """

    records: Mapping[Node, Record] = field(default_factory=dict)
    gone: frozenset[Node] = frozenset()
    added: Mapping[Node, frozenset[Node]] = field(default_factory=dict)
    guard: Node | None = None
    late: frozenset[Node] = frozenset()
    merges: bool = False
    moves: bool = False


class Model:
    """The records of a root, as far as they were acknowledged. It can be pickled.

    Attributes:
        records: by name.
        pending: changes that are under way, or were when something ended them.
        foreign: data that only a database named which is not in place now.
        number: the last number that was given out.
    """

    def __init__(self) -> None:
        self.records: dict[Node, Record] = {}
        self.pending: dict[int, Change] = {}
        self.foreign: set[BackendItem] = set()
        self.number = 0

    def next(self) -> int:
        """Return a number that nothing else has."""
        self.number += 1
        return self.number

    def begin(self, change: Change) -> int:
        """Note that a change is under way."""
        token = self.next()
        self.pending[token] = change
        return token

    def apply(self, token: int) -> None:
        """Note that a change was acknowledged."""
        self._apply(self.pending.pop(token))

    def settle(self, token: int, seen: Mapping[Node, Seen]) -> None:
        """Find out from the database whether an unacknowledged change was made.

        Raises:
            AssertionError: neither the old nor the new records are there.
        """
        change = self.pending.pop(token)
        if change.guard is not None:
            if change.guard not in self.records and change.guard in seen:
                self._apply(_without_late(change))
            return
        if change.moves:
            both = [*change.records, *change.gone]
            assert any(one in seen for one in both), f"neither of {[*map(str, both)]} is there"
        done = {}
        for node, record in change.records.items():
            found, old = seen.get(node), self.records.get(node)
            if found is None:
                assert old is None or change.moves, f"{node} went while it was changed"
            elif record.refs <= found.refs:
                done[node] = replace(record, is_root=found.is_root)
            elif old is None:
                # Somebody else made it meanwhile.
                done[node] = replace(record, refs=record.refs & found.refs, is_root=found.is_root)
            else:
                assert old.refs <= found.refs, f"{node} refers to {found.refs}, not {old.refs}"
        for node in change.gone:
            if node in self.records:  # what was written may have become a blob
                self.records[node] = replace(self.records[node], written=0)
        self._apply(
            replace(
                change,
                records=done,
                gone=frozenset(node for node in change.gone if node not in seen),
                added={
                    node: refs & seen[node].refs
                    for node, refs in change.added.items()
                    if node in seen
                },
            )
        )

    def give_up(self, token: int) -> None:
        """Leave the outcome of a change open: expect the least of all that it touched."""
        change = self.pending.pop(token)
        for node in change.gone:
            self.forget(node)
        for node, record in change.records.items():
            old = self.records.get(node)
            if old is not None and not change.merges:
                refs, is_root = old.refs & record.refs, old.is_root and record.is_root
                self.records[node] = replace(old, refs=refs, is_root=is_root)

    def _apply(self, change: Change) -> None:
        for node in change.gone:
            self.forget(node)
        for node, record in change.records.items():
            old = self.records.get(node)
            if old is not None and change.merges:
                record = replace(  # noqa: PLW2901 -- what is stored in its place
                    old,
                    refs=old.refs | record.refs,
                    is_root=old.is_root or record.is_root,
                    datum=old.datum or record.datum,
                    marker=old.marker or record.marker,
                )
            self.records[node] = record
        for node, refs in change.added.items():
            if node in self.records:
                self.records[node] = replace(
                    self.records[node], refs=self.records[node].refs | refs
                )

    def forget(self, node: Node) -> None:
        """Note that a record is gone. Whether references to it stay is left open."""
        self.records.pop(node, None)
        for other, record in self.records.items():
            if node in record.refs:
                self.records[other] = replace(record, refs=record.refs - {node})

    def move(self, stable: Collection[Node]) -> None:
        """Look anew for the files of all but some records: they may have been made again."""
        for node, record in self.records.items():
            if record.marker is not None and node not in stable:
                self.records[node] = replace(record, datum=None)

    def held(self, clock: WorldClock, handle: int) -> set[Node]:
        """Return the records that are reached from a root that is certainly in force."""
        reached: set[Node] = set()
        roots = (
            node
            for node, record in self.records.items()
            if record.is_root and clock.is_in_force(record.expiry, handle)
        )
        todo = list(roots)
        while todo:
            node = todo.pop()
            record = self.records.get(node)
            if record is not None and node not in reached:
                reached.add(node)
                todo.extend(record.refs)
        return reached

    def data(self, nodes: Iterable[Node]) -> set[BackendItem]:
        """Return the data of records."""
        data = (self.records[node].datum for node in nodes)
        return {datum for datum in data if datum is not None}


def _without_late(change: Change) -> Change:
    records = {
        node: replace(record, refs=record.refs - change.late)
        for node, record in change.records.items()
        if node not in change.late
    }
    added = {node: refs - change.late for node, refs in change.added.items()}
    return replace(change, records=records, added=added)


def blob_record(digest: str, data: bytes, **more: object) -> Record:
    datum = BackendItem(blob_path(digest), data)
    return Record(datum=datum, **more)  # type: ignore[arg-type]


def lease_node(namespace: str, lease_id: str) -> Node:
    return Node(namespace, LEASE, lease_id)


def content_node(namespace: str, digest: str) -> Node:
    return Node(namespace, CONTENT, digest)


def snapshot_node(namespace: str, snapshotter: str, key: str) -> Node:
    return Node(namespace, SNAPSHOT, f"{snapshotter}/{key}")
