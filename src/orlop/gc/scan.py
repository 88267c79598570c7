"""Reads records: all at once, in short pieces, or only those that were touched.

Records lie on shelves: one bucket for each type in each namespace, and for snapshots one for
each snapshotter. Shelves come in the order of a sweep.

Source: containerd, core/metadata/gc.go (scanAll); spec/metadata.md 3.6.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.gc import facts
from orlop.gc.node import (
    CONTAINER,
    CONTENT,
    IMAGE,
    INGEST,
    LEASE,
    SANDBOX,
    SNAPSHOT,
    Node,
    split_snapshot,
)
from orlop.kv import PlainBucket
from orlop.schema import (
    buckets,
    containers,
    content,
    images,
    ingests,
    leases,
    names,
    namespaces,
    places,
    sandboxes,
    snapshots,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from orlop.gc.facts import Facts
    from orlop.gc.rules import RuleBook
    from orlop.kv import Bucket, Path, ReadableBucket, Transaction, Tree
    from orlop.schema.places import Place
    from orlop.stores.scope import Transactor

_RECORDS_AT_ONCE: Final = 128
"""How many records one short transaction reads: it pins a version, and pages with it."""

_OTHERS: Final = {
    LEASE: (leases.find, facts.of_lease),
    INGEST: (ingests.find, facts.of_ingest),
    CONTENT: (content.find, facts.of_blob),
    IMAGE: (images.find, facts.of_image),
    CONTAINER: (containers.find, facts.of_container),
    SANDBOX: (sandboxes.find, facts.of_sandbox),
}
_BY_STORE: Final = {
    (names.LEASES,): LEASE,
    (names.CONTENT, names.INGESTS): INGEST,
    (names.CONTENT, names.BLOBS): CONTENT,
    (names.IMAGES,): IMAGE,
    (names.CONTAINERS,): CONTAINER,
    (names.SANDBOXES,): SANDBOX,
}


def leases_in_force(transactor: Transactor) -> Iterator[Node]:
    """Iterate over the leases that have an open block in this process, if they are there."""
    for namespace, lease_id in transactor.leases_in_force:
        yield Node(LEASE, namespace, lease_id)


class Shelf(NamedTuple):
    """Where records of one type lie in a namespace.

    Attributes:
        type: the type of their nodes.
        namespace: where they are.
        snapshotter: whose they are, for snapshots; else empty.
    """

    type: str
    namespace: str
    snapshotter: str = ""

    def find(self, transaction: Transaction) -> Bucket | None:
        """Return the bucket, `None` where there is none."""
        if self.type == SNAPSHOT:
            return snapshots.find(transaction, self.namespace, self.snapshotter)
        return _OTHERS[self.type][0](transaction, self.namespace)

    def read(self, bucket: ReadableBucket | None, key: str, book: RuleBook) -> Facts:
        """Return what a record says that is there."""
        if self.type == SNAPSHOT:
            return facts.of_snapshot(bucket, self.namespace, self.snapshotter, key, book)
        return _OTHERS[self.type][1](bucket, self.namespace, key, book)

    def holds(self, node: Node) -> bool:
        """Tell whether a record lies here if it is anywhere."""
        if (node.type, node.namespace) != (self.type, self.namespace):
            return False
        return self.type != SNAPSHOT or split_snapshot(node.key)[0] == self.snapshotter


def shelves(transaction: Transaction) -> list[Shelf]:
    """Return all shelves, namespace by namespace, in the order of a sweep."""
    return [
        shelf
        for namespace in namespaces.all_names(transaction)
        for shelf in _shelves_of(transaction, namespace)
    ]


def read_all(transaction: Transaction, book: RuleBook) -> Iterator[Facts]:
    """Iterate over the facts of all records, shelf by shelf."""
    for shelf in shelves(transaction):
        for key, record in buckets.trees(shelf.find(transaction)):
            yield shelf.read(record, key, book)


def read_beside(
    transactor: Transactor, book: RuleBook, yield_to_writers: Callable[[], None]
) -> Iterator[Facts]:
    """Iterate over the facts of all records while others write, in many short transactions.

    What is touched after this has begun may be seen as it was before, as it is then, or not
    at all: read it again.

    Args:
        transactor: where transactions come from.
        book: the rules.
        yield_to_writers: is called now and then, so that others get their turn.
    """
    for shelf in transactor.read(shelves):
        for found in read_shelf(transactor, shelf, yield_to_writers):
            for key, tree in found:
                yield shelf.read(PlainBucket({key: tree}), names.to_text(key), book)


def read_shelf(
    transactor: Transactor, shelf: Shelf, yield_to_writers: Callable[[], None]
) -> Iterator[list[tuple[bytes, Tree]]]:
    """Iterate over the records of a shelf, some at once, as `read_beside` does."""
    start, is_more = b"", True
    while is_more:
        found = transactor.read(partial(_read_some, shelf=shelf, start=start))
        yield found
        yield_to_writers()
        is_more = len(found) == _RECORDS_AT_ONCE
        start = buckets.next_key(found[-1][0]) if found else b""


def read_again(
    transaction: Transaction,
    book: RuleBook,
    touched: Iterable[Path],
    known: Iterable[Node],
    step: Callable[[], None],
) -> dict[Node, Facts | None]:
    """Return what the records say that were touched; `None` for those that are gone.

    Args:
        transaction: the version to read.
        book: the rules.
        touched: where something was changed.
        known: the records that were there before; gone through only if a whole shelf, or more
            than that, was touched.
        step: is called for each record.
    """
    nodes: set[Node] = set()
    wide = set()
    for path in touched:
        place = places.place(path)
        if place is None:
            continue
        shelf = _shelf(place)
        if shelf is None or place.key is None:
            wide.add(place)
        elif shelf.type != SNAPSHOT or "/" not in shelf.snapshotter:
            nodes.add(_node(shelf, place.key))
    if wide:
        nodes.update(_below(transaction, wide, known))
    return _read_nodes(transaction, nodes, book, step)


def _read_nodes(
    transaction: Transaction, nodes: Iterable[Node], book: RuleBook, step: Callable[[], None]
) -> dict[Node, Facts | None]:
    found: dict[Node, Facts | None] = {}
    opened: dict[Shelf, Bucket | None] = {}
    for node in nodes:
        step()
        shelf, key = _place_of(node)
        if shelf not in opened:
            opened[shelf] = shelf.find(transaction)
        found[node] = _read(shelf, opened[shelf], key, book)
    return found


def read_one(transaction: Transaction, node: Node, book: RuleBook) -> Facts | None:
    """Return what a record says, `None` where it is gone."""
    shelf, key = _place_of(node)
    return _read(shelf, shelf.find(transaction), key, book)


def _place_of(node: Node) -> tuple[Shelf, str]:
    """Return where a record lies, and the key that it has there."""
    if node.type != SNAPSHOT:
        return Shelf(node.type, node.namespace), node.key
    snapshotter, key = split_snapshot(node.key)
    return Shelf(SNAPSHOT, node.namespace, snapshotter), key


def _read(shelf: Shelf, bucket: Bucket | None, key: str, book: RuleBook) -> Facts | None:
    name = names.to_bytes(key)
    tree = None if bucket is None else bucket.tree(name)
    return None if tree is None else shelf.read(PlainBucket({name: tree}), key, book)


def _read_some(transaction: Transaction, shelf: Shelf, start: bytes) -> list[tuple[bytes, Tree]]:
    bucket = shelf.find(transaction)
    return [] if bucket is None else list(islice(bucket.trees(start), _RECORDS_AT_ONCE))


def _shelves_of(transaction: Transaction, namespace: str) -> Iterator[Shelf]:
    yield Shelf(LEASE, namespace)
    for snapshotter in snapshots.snapshotters(transaction, namespace):
        if "/" not in snapshotter:  # no node can name its snapshots: keys are cut at a slash
            yield Shelf(SNAPSHOT, namespace, snapshotter)
    for kind in (INGEST, CONTENT, IMAGE, CONTAINER, SANDBOX):
        yield Shelf(kind, namespace)


def _shelf(place: Place) -> Shelf | None:
    """Return the shelf of a place, `None` where it is wider than one."""
    if place.namespace is None:
        return None
    if len(place.store) > 1 and place.store[0] == names.SNAPSHOTS:
        return Shelf(SNAPSHOT, place.namespace, names.to_text(place.store[1]))
    kind = _BY_STORE.get(place.store)
    return None if kind is None else Shelf(kind, place.namespace)


def _node(shelf: Shelf, key: str) -> Node:
    name = f"{shelf.snapshotter}/{key}" if shelf.type == SNAPSHOT else key
    return Node(shelf.type, shelf.namespace, name)


def _below(transaction: Transaction, wide: set[Place], known: Iterable[Node]) -> Iterator[Node]:
    """Iterate over the records in wide places: those that were there, and those that are."""
    whole = {place.namespace for place in wide if _shelf(place) is None}
    single = [shelf for shelf in map(_shelf, wide) if shelf is not None]
    for node in known:
        if None in whole or node.namespace in whole or any(one.holds(node) for one in single):
            yield node
    for shelf in shelves(transaction):
        if None in whole or shelf.namespace in whole or shelf in single:
            for key in buckets.bucket_names(shelf.find(transaction)):
                yield _node(shelf, key)
