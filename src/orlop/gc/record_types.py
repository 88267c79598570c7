"""Record types: the table, the facts, the data and the deletion of each type of record.

Records of other kinds (`resources.py`) are not in the database, and so not here.

Source: containerd, core/metadata/gc.go; spec/metadata.md 3.6 and 3.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.gc import facts, items
from orlop.gc.node import (
    CONTAINER,
    CONTENT,
    IMAGE,
    INGEST,
    LEASE,
    SANDBOX,
    SNAPSHOT,
    Node,
    snapshot_node,
    split_snapshot,
)
from orlop.schema import (
    buckets,
    containers,
    content,
    images,
    ingests,
    leases,
    names,
    namespaces,
    sandboxes,
    snapshots,
)
from orlop.transactions import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from orlop.changes import Update
    from orlop.gc.facts import Facts
    from orlop.gc.items import BackendItem
    from orlop.gc.rules import RuleBook
    from orlop.kv import Bucket, ReadableBucket, Transaction
    from orlop.schema.record_paths import RecordPath
    from orlop.schema.tables import Table
    from orlop.transactions import Transactions


class RecordGroup(NamedTuple):
    """The records of one type in a namespace, which lie in one bucket.

    Attributes:
        type: the type of their nodes.
        namespace: the namespace.
        snapshotter: the snapshotter, for snapshots; else empty.
    """

    type: str
    namespace: str
    snapshotter: str = ""

    def find(self, transaction: Transaction) -> Bucket | None:
        """Return the bucket; `None` if it does not exist."""
        table = RECORD_TYPES[self.type].table
        if self.type == SNAPSHOT:
            return table.find(transaction, self.namespace, self.snapshotter)
        return table.find(transaction, self.namespace)

    def node(self, key: str) -> Node:
        """Return the node of a record."""
        if self.type == SNAPSHOT:
            return snapshot_node(self.namespace, self.snapshotter, key)
        return Node(self.type, self.namespace, key)

    def read(self, bucket: ReadableBucket | None, key: str, book: RuleBook) -> Facts:
        """Return the facts of a record that exists."""
        return RECORD_TYPES[self.type].facts(bucket, self.node(key), book)

    def contains(self, node: Node) -> bool:
        """Return whether the record of a node lies here, if it exists."""
        if (node.type, node.namespace) != (self.type, self.namespace):
            return False
        return self.type != SNAPSHOT or split_snapshot(node.key)[0] == self.snapshotter


@dataclass(frozen=True, slots=True)
class RecordType:
    """The collector's functions for one type of record.

    Attributes:
        table: its buckets in the schema.
        facts: returns the facts of a record, by its bucket and its node.
        items: returns the data in backends that a record names, by its bucket and its node;
            `None`: it has none.
        note_deletion: notes the event of a deletion, and the backend that may contain garbage
            now; `None`: nothing.
    """

    table: Table
    facts: Callable[[ReadableBucket | None, Node, RuleBook], Facts]
    items: Callable[[Bucket | None, Node], Iterator[BackendItem]] | None = None
    note_deletion: Callable[[Update, Transactions, Node], None] | None = None


def _note_content(update: Update, _transactor: Transactions, _node: Node) -> None:
    update.changes.content = True


def _note_image(update: Update, transactor: Transactions, node: Node) -> None:
    Scope(node.namespace, transactor).emit_event(update, "/images/delete", name=node.key)


def _note_snapshot(update: Update, transactor: Transactions, node: Node) -> None:
    snapshotter, key = split_snapshot(node.key)
    update.changes.snapshotters.add(snapshotter)
    scope = Scope(node.namespace, transactor)
    scope.emit_event(update, "/snapshot/remove", key=key, snapshotter=snapshotter)


RECORD_TYPES: Final = {
    LEASE: RecordType(leases.TABLE, facts.of_lease),
    SNAPSHOT: RecordType(snapshots.TABLE, facts.of_snapshot, items.of_snapshot, _note_snapshot),
    INGEST: RecordType(ingests.TABLE, facts.of_ingest, items.of_ingest, _note_content),
    CONTENT: RecordType(content.TABLE, facts.of_blob, items.of_blob, _note_content),
    IMAGE: RecordType(images.TABLE, facts.of_image, note_deletion=_note_image),
    CONTAINER: RecordType(containers.TABLE, facts.of_container),
    SANDBOX: RecordType(sandboxes.TABLE, facts.of_sandbox),
}
"""All types of records, in the order in which a scan reads them."""

_BY_PATH: Final = {record_type.table.path: kind for kind, record_type in RECORD_TYPES.items()}


def locate(node: Node) -> tuple[RecordGroup, str]:
    """Return the group of a record, and its key there."""
    if node.type != SNAPSHOT:
        return RecordGroup(node.type, node.namespace), node.key
    snapshotter, key = split_snapshot(node.key)
    return RecordGroup(SNAPSHOT, node.namespace, snapshotter), key


def group_at(path: RecordPath) -> RecordGroup | None:
    """Return the group at a path; `None` if the path leads to none, or to several."""
    if path.namespace is None:
        return None
    if len(path.store) > 1 and path.store[:1] == snapshots.TABLE.path:
        return RecordGroup(SNAPSHOT, path.namespace, names.to_text(path.store[1]))
    kind = _BY_PATH.get(path.store)
    return None if kind is None or kind == SNAPSHOT else RecordGroup(kind, path.namespace)


def groups_in(transaction: Transaction, namespace: str) -> Iterator[RecordGroup]:
    """Iterate over the groups of a namespace, in the order of a scan."""
    for kind in RECORD_TYPES:
        if kind != SNAPSHOT:
            yield RecordGroup(kind, namespace)
            continue
        for snapshotter in snapshots.snapshotters(transaction, namespace):
            if "/" not in snapshotter:  # a node of its snapshots would be cut at that slash
                yield RecordGroup(SNAPSHOT, namespace, snapshotter)


def items_of(transaction: Transaction, node: Node) -> Iterable[BackendItem]:
    """Return the data in backends that a record names; nothing for a resource of another kind."""
    record_type = RECORD_TYPES.get(node.type)
    if record_type is None or record_type.items is None:
        return ()
    return record_type.items(locate(node)[0].find(transaction), node)


def read_items(transaction: Transaction) -> Iterator[tuple[Node, tuple[BackendItem, ...]]]:
    """Iterate over all records that may name data in backends, each with that data."""
    for namespace in namespaces.all_names(transaction):
        for group in groups_in(transaction, namespace):
            items_of_record = RECORD_TYPES[group.type].items
            if items_of_record is None:
                continue
            bucket = group.find(transaction)
            if group.type == SNAPSHOT:
                # Their names are inside their records, which are read faster all together.
                for key, record in buckets.trees(bucket):
                    node = group.node(key)
                    yield node, tuple(items.of_snapshot(record, node))
            else:
                for key in buckets.bucket_names(bucket):
                    node = group.node(key)
                    yield node, tuple(items_of_record(bucket, node))
