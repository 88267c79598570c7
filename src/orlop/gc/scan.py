"""Scans: the facts of all records, at once or in short transactions, or of touched records.

Records are read group by group: a group is one type in one namespace, and for snapshots one
snapshotter.

Source: containerd, core/metadata/gc.go (scanAll); spec/metadata.md 3.6.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from orlop.gc.node import INGEST, LEASE, SNAPSHOT, Node
from orlop.gc.record_types import RecordGroup, group_at, groups_in, locate
from orlop.kv import PlainBucket
from orlop.schema import buckets, names, namespaces
from orlop.schema.record_paths import record_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from orlop.gc.facts import Facts
    from orlop.gc.rules import RuleBook
    from orlop.kv import Bucket, Path, Transaction, Tree
    from orlop.schema.record_paths import RecordPath
    from orlop.transactions import Transactions

_RECORDS_AT_ONCE: Final = 128
"""How many records one short transaction reads: it pins a version, and pages with it."""


def in_use(transactor: Transactions) -> Iterator[Node]:
    """Iterate over nodes in use by this process: leases of open blocks, ingests of writers.

    Their records may be gone.
    """
    for namespace, lease_id in transactor.leases_in_force:
        yield Node(LEASE, namespace, lease_id)
    for namespace, ref in transactor.open_writers.ingests:
        yield Node(INGEST, namespace, ref)


def record_groups(transaction: Transaction) -> list[RecordGroup]:
    """Return all groups, namespace by namespace, in the order of a scan."""
    return [
        group
        for namespace in namespaces.all_names(transaction)
        for group in groups_in(transaction, namespace)
    ]


def read_all(transaction: Transaction, book: RuleBook) -> Iterator[Facts]:
    """Iterate over the facts of all records."""
    for group in record_groups(transaction):
        for key, record in buckets.trees(group.find(transaction)):
            yield group.read(record, key, book)


def read_group(
    transactor: Transactions, group: RecordGroup, yield_to_writers: Callable[[], None]
) -> Iterator[list[tuple[bytes, Tree]]]:
    """Iterate over the records of a group, some at once, in short transactions beside writers.

    What is touched after this has begun may be seen as it was before, as it is then, or not
    at all: read it again.

    Args:
        transactor: where transactions come from.
        group: the records.
        yield_to_writers: is called now and then, so that others get their turn.
    """
    start, is_more = b"", True
    while is_more:
        found = transactor.read(partial(_read_some, group=group, start=start))
        yield found
        yield_to_writers()
        is_more = len(found) == _RECORDS_AT_ONCE
        start = buckets.next_key(found[-1][0]) if found else b""


def read_touched(
    transaction: Transaction,
    book: RuleBook,
    touched: Iterable[Path],
    known: Iterable[Node],
    step: Callable[[], None],
) -> dict[Node, Facts | None]:
    """Return the facts of the touched records; `None` for deleted ones.

    Args:
        transaction: the version to read.
        book: the rules.
        touched: where something was changed.
        known: the records that were there before; gone through only if a whole group, or more
            than that, was touched.
        step: is called for each record.
    """
    nodes: set[Node] = set()
    wide = set()
    for bucket_path in touched:
        path = record_path(bucket_path)
        if path is None:
            continue
        group = group_at(path)
        if group is None or path.key is None:
            wide.add(path)
        elif group.type != SNAPSHOT or "/" not in group.snapshotter:
            nodes.add(group.node(path.key))
    if wide:
        nodes.update(_below(transaction, wide, known))
    return _read_nodes(transaction, nodes, book, step)


def _read_nodes(
    transaction: Transaction, nodes: Iterable[Node], book: RuleBook, step: Callable[[], None]
) -> dict[Node, Facts | None]:
    found: dict[Node, Facts | None] = {}
    opened: dict[RecordGroup, Bucket | None] = {}
    for node in nodes:
        step()
        group, key = locate(node)
        if group not in opened:
            opened[group] = group.find(transaction)
        found[node] = _read(group, opened[group], key, book)
    return found


def read_one(transaction: Transaction, node: Node, book: RuleBook) -> Facts | None:
    """Return the facts of a record; `None` if it does not exist."""
    group, key = locate(node)
    return _read(group, group.find(transaction), key, book)


def _read(group: RecordGroup, bucket: Bucket | None, key: str, book: RuleBook) -> Facts | None:
    name = names.to_bytes(key)
    tree = None if bucket is None else bucket.tree(name)
    return None if tree is None else group.read(PlainBucket({name: tree}), key, book)


def _read_some(
    transaction: Transaction, group: RecordGroup, start: bytes
) -> list[tuple[bytes, Tree]]:
    bucket = group.find(transaction)
    return [] if bucket is None else list(islice(bucket.trees(start), _RECORDS_AT_ONCE))


def _below(
    transaction: Transaction, wide: set[RecordPath], known: Iterable[Node]
) -> Iterator[Node]:
    """Iterate over the records at wide paths: those that existed, and those that exist now."""
    whole = {path.namespace for path in wide if group_at(path) is None}
    single = [group for group in map(group_at, wide) if group is not None]
    for node in known:
        if None in whole or node.namespace in whole or any(one.contains(node) for one in single):
            yield node
    for group in record_groups(transaction):
        if None in whole or group.namespace in whole or group in single:
            for key in buckets.bucket_names(group.find(transaction)):
                yield group.node(key)
