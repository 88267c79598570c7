"""Plans: the records that a collection would remove now, the bytes that frees, and reasons.

It is made from one version of the metadata and changes nothing. To apply it is to check it
again: it is refused if a record became reachable since, or was deleted and created again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from orlop.errors import DataLossError, FailedPreconditionError, NotFoundError
from orlop.gc.explain import reasons
from orlop.gc.items import (
    BLOB_ITEM,
    INGEST_ITEM,
    LEFTOVER_ITEM,
    SNAPSHOT_ITEM,
    BackendItem,
    read_named,
)
from orlop.gc.node import CONTENT, IMAGE, INGEST, LEASE, ORPHAN, SNAPSHOT, Node, split_snapshot
from orlop.gc.record_types import read_items
from orlop.schema import content, images, ingests, leases, snapshots

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from orlop.gc.context import CollectionContext
    from orlop.gc.explain.paths import HoldingPath
    from orlop.gc.inventory import StoredItems
    from orlop.gc.marked import Marked
    from orlop.kv import Transaction
    from orlop.records import ContentInfo, Image, Lease

_SHOWN: Final = 5

_ORPHANED: Final = {
    BLOB_ITEM: "no metadata names this blob",
    SNAPSHOT_ITEM: "no metadata names this snapshot",
    INGEST_ITEM: "no metadata names this ingest",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """One collection. All durations are in nanoseconds, all sizes in bytes.

    Attributes:
        pause_nanoseconds: how long updates had to wait, all pauses together.
        longest_pause_nanoseconds: the longest of these pauses.
        mark_nanoseconds: how long it took to read the graph and to mark it.
        sweep_nanoseconds: how long it took to remove the records, durably.
        content_nanoseconds: how long the cleanup of the content backend took; 0 for none.
        snapshot_nanoseconds: the same for each snapshotter that was cleaned.
        removed: how many records were removed, by type.
        kept: how many records of those types were held.
        deleted: how many blobs, ingests and snapshots were deleted from backends.
        freed_bytes: what those took on disk.
        set_aside: how much in backends no metadata names and was left all the same, because the
            metadata is or was in doubt.
        set_aside_bytes: what that takes on disk.
        failures: which cleanups (`content`, or a snapshotter) and which kinds of other resources
            failed, and why; what they left goes with the next collection.
        errors: the exceptions behind the failures of cleanups.
        was_called_off: whether no record was removed, because a kind of other resources failed
            and it is not known what that holds.
    """

    pause_nanoseconds: int = 0
    longest_pause_nanoseconds: int = 0
    mark_nanoseconds: int = 0
    sweep_nanoseconds: int = 0
    content_nanoseconds: int = 0
    snapshot_nanoseconds: Mapping[str, int] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)
    kept: int = 0
    deleted: int = 0
    freed_bytes: int = 0
    set_aside: int = 0
    set_aside_bytes: int = 0
    failures: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, Exception] = field(default_factory=dict, repr=False, compare=False)
    was_called_off: bool = False


@dataclass(frozen=True, slots=True)
class Removal:
    """One thing that a plan removes.

    Attributes:
        node: what it is; an orphan is data in a backend that no metadata names.
        bytes: what its removal frees on disk; 0 where something else keeps the data.
        reason: why nothing holds it.
        identity: what tells the record from another one of the same name.
        data: what it names in backends.
        set_aside_bytes: what of its data is set aside instead of deleted; it frees nothing.
    """

    node: Node
    bytes: int
    reason: str
    identity: object = None
    data: tuple[BackendItem, ...] = ()
    set_aside_bytes: int = 0

    @property
    def type(self) -> str:
        """Its type."""
        return self.node.type

    @property
    def namespace(self) -> str:
        """Its namespace; empty for an orphan."""
        return self.node.namespace

    @property
    def key(self) -> str:
        """Its key: for a snapshot `<snapshotter>/<key>`."""
        return self.node.key


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The records and data that a collection would remove.

    Attributes:
        nodes: records in the order of a sweep, then orphans.
        marked: the graph, and its reachable nodes.
        is_hypothetical: whether it was made for another time than the present, or without
            something that is there.
        failures: which backends could not be read, and why; the plan lacks their data.
        errors: the exceptions behind these failures.
        doubt: why data is set aside instead of deleted: the metadata may not be the newest.
            `None`: it is deleted.
        stored_bytes: the size of all data, where the metadata is in doubt; else 0.
        set_aside: the data that is or will be set aside.
        faults: records whose data is missing or of another size, and what is wrong with it.
        mounts: garbage that something is mounted in, with the path of the mount. No collection
            deletes that, or what it stands on, before it is unmounted: it frees nothing.
    """

    nodes: tuple[Removal, ...]
    marked: Marked
    is_hypothetical: bool
    failures: Mapping[str, str]
    _apply: Callable[..., Statistics] = field(repr=False)
    doubt: str | None = None
    stored_bytes: int = 0
    set_aside: AbstractSet[BackendItem] = frozenset()
    faults: Mapping[Node, str] = field(default_factory=dict)
    errors: Mapping[str, Exception] = field(default_factory=dict, repr=False)
    mounts: Mapping[BackendItem, str] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """The number of collectable records that are reachable."""
        return self.marked.kept

    @property
    def freed_bytes(self) -> int:
        """The bytes on disk that all of it frees."""
        return sum(removal.bytes for removal in self.nodes)

    @property
    def set_aside_bytes(self) -> int:
        """The bytes of data that is or will be set aside."""
        return sum(removal.set_aside_bytes for removal in self.nodes)

    def held_by(self, node: Node) -> tuple[HoldingPath, ...]:
        """Return one shortest path from each root to a node; empty for garbage."""
        return self.marked.paths(node)

    def explain(self, node: Node | Removal) -> str:
        """Return the reason why a node goes, or the paths that hold it, as text.

        Raises:
            NotFoundError: there is no such record, and nothing refers to one.
        """
        if isinstance(node, Removal):
            node = node.node
        for removal in self.nodes:
            if removal.node == node.whole:
                return f"{node} is removed: {removal.reason}"
        paths = self.held_by(node)
        if not paths:
            hint = "" if node.type in {CONTENT, ORPHAN} else "; look at its namespace and key"
            raise NotFoundError(f"{node}{hint}")
        return reasons.describe(node, paths)

    def apply(self, *, release: bool = False, confirmed: bool = False) -> Statistics:
        """Remove the nodes of the plan, and nothing else.

        Args:
            release: also delete data that is set aside, or would be.
            confirmed: as for `Collector.run`.

        Raises:
            FailedPreconditionError: something in it is held by now, or was made anew, or the
                plan is hypothetical, or needs to be confirmed; nothing was removed.
        """
        if self.is_hypothetical:
            raise FailedPreconditionError(
                "the plan was made for another time than the present, or without something "
                "that is there: make one for what is"
            )
        return self._apply(self, release=release, confirmed=confirmed)


@dataclass(frozen=True, slots=True)
class Inventory:
    """The data that the metadata names, read in the same transaction as the graph.

    Attributes:
        kept: the data of reachable records.
        data: the data of each garbage record.
        identities: of each garbage record, to tell it from a later one of its name.
        omitted: the data of records that are left out of the graph.
    """

    kept: set[BackendItem]
    data: dict[Node, tuple[BackendItem, ...]]
    identities: dict[Node, object]
    omitted: set[BackendItem]


def take_inventory(transaction: Transaction, marked: Marked) -> Inventory:
    """Return the data that records name: held ones, garbage, and those left out of the graph."""
    kept: set[BackendItem] = set()
    omitted: set[BackendItem] = set()
    data: dict[Node, tuple[BackendItem, ...]] = dict.fromkeys(marked.garbage, ())
    for node, items in read_items(transaction):
        if node in data:
            data[node] = items
        elif node in marked.graph:
            kept.update(items)
        else:
            omitted.update(items)
    identities = {node: identity(transaction, node) for node in data}
    return Inventory(kept, data, identities, omitted)


def uncertain(
    transaction: Transaction, stored: StoredItems, inventory: Inventory
) -> set[BackendItem]:
    """Return the data that no metadata names, and that a collection keeps for other records."""
    going = set().union(*inventory.data.values()) - inventory.kept
    named = inventory.kept | going | inventory.omitted
    found: set[BackendItem] = set()
    for backend in stored.inventories.values():
        unnamed = [one for one in backend.data() if one not in named]
        found |= backend.uncertain(transaction, unnamed, going).data if unnamed else set()
    return found


def removals(
    marked: Marked, inventory: Inventory, stored: StoredItems, deletable: Collection[BackendItem]
) -> list[Removal]:
    """Return the removals of the garbage of a graph, with the bytes that each frees.

    Data that several of them name is counted with the first.
    """
    why = reasons.Reasons(marked.graph, marked.mark, marked.garbage_ids)
    counted: set[BackendItem] = set()
    found = []
    for node_id, node in zip(marked.garbage_ids, marked.garbage, strict=True):
        data = inventory.data[node]
        freed = [one for one in data if one in deletable and one not in counted]
        counted.update(freed)
        size = sum(stored.size(one) for one in freed)
        found.append(Removal(node, size, why.of(node_id), inventory.identities[node], data))
    return found


def orphans(
    context: CollectionContext,
    inventory: Inventory,
    stored: StoredItems,
    deletable: AbstractSet[BackendItem],
) -> list[Removal]:
    """Return the data in backends that no metadata names, and that can be deleted."""
    named = inventory.kept.union(*inventory.data.values())
    unnamed = deletable - named
    if not unnamed:
        return []
    # Backends and metadata are not one snapshot: what is just being made is named by now.
    unnamed -= context.transactor.read(read_named) - inventory.omitted
    return [
        Removal(
            Node(ORPHAN, "", item.key),
            stored.size(item),
            _orphaned(item),
            data=(item,),
        )
        for item in stored.data()
        if item in unnamed
    ]


def _orphaned(item: BackendItem) -> str:
    """Return why a collection deletes data that has no record."""
    if item.kind != LEFTOVER_ITEM:
        return _ORPHANED[item.kind]
    if item.snapshotter:
        return "no snapshot has this directory"
    return "its reference cannot be read, and no metadata names it"


def with_set_aside(
    nodes: Iterable[Removal], set_aside: AbstractSet[BackendItem]
) -> Iterator[Removal]:
    """Return removals with those of data that is set aside freeing nothing."""
    for one in nodes:
        if not set_aside.isdisjoint(one.data):
            yield replace(one, bytes=0, set_aside_bytes=one.bytes)
        else:
            yield one


def identity(transaction: Transaction, node: Node) -> object:
    """Return the identity of a record, to tell a later one of its name; `None` where it is gone.

    That is the time of its creation, or for an ingest, which has none, all of it.
    """
    try:
        if node.type == INGEST:
            return ingests.read(ingests.find(transaction, node.namespace), node.key)
        if node.type == SNAPSHOT:
            snapshotter, key = split_snapshot(node.key)
            bucket = snapshots.find(transaction, node.namespace, snapshotter)
            snapshot = snapshots.read(bucket, key)
            return None if snapshot is None else (snapshot.created_at, snapshot.backend_name)
        return _created(transaction, node)
    except DataLossError as error:
        return str(error)


def _created(transaction: Transaction, node: Node) -> object:
    record: ContentInfo | Image | Lease | None = None
    if node.type == CONTENT:
        record = content.read(content.find(transaction, node.namespace), node.key)
    elif node.type == IMAGE:
        record = images.read(images.find(transaction, node.namespace), node.key)
    elif node.type == LEASE:
        record = leases.read(leases.find(transaction, node.namespace), node.key)
    return None if record is None else (record.created_at,)


def check_orphans(transaction: Transaction, planned: Iterable[Removal]) -> None:
    """Check that no metadata names the orphans of a plan.

    Raises:
        FailedPreconditionError: some has a name now.
    """
    orphaned = [one for one in planned if one.type == ORPHAN]
    named = read_named(transaction) if orphaned else set()
    _refuse(
        f"{one.node} has a name now" for one in orphaned if any(item in named for item in one.data)
    )


def check_again(
    transaction: Transaction,
    planned: Iterable[Removal],
    exists: Callable[[Node], bool],
    held: Callable[[Node], bool],
) -> list[Node]:
    """Return the records of a plan that are still there.

    Raises:
        FailedPreconditionError: one is held by now or was made anew.
    """
    alive, remaining = [], []
    for removal in planned:
        if removal.type == ORPHAN:
            continue
        if held(removal.node):
            alive.append(f"{removal.node} is held now")
        elif exists(removal.node):
            found = identity(transaction, removal.node)
            if removal.identity is not None and removal.identity != found:
                alive.append(f"{removal.node} was made anew")
            remaining.append(removal.node)
    _refuse(alive)
    return remaining


def _refuse(found: Iterable[str]) -> None:
    alive = list(found)
    if alive:
        shown = "; ".join(alive[:_SHOWN])
        more = f"; and {len(alive) - _SHOWN} more" if len(alive) > _SHOWN else ""
        raise FailedPreconditionError(f"the plan is out of date, make a new one: {shown}{more}")
