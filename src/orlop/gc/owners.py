"""Whose data is it: which records name a piece of data in a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop.gc.named import data_of
from orlop.gc.node import CONTENT, INGEST, SNAPSHOT, Node, snapshot_node
from orlop.gc.reading import shelves
from orlop.schema import buckets

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.gc.named import Datum
    from orlop.kv import Transaction

_WITH_DATA: Final = frozenset({CONTENT, INGEST, SNAPSHOT})


def owners(transaction: Transaction, is_it: Callable[[Datum], bool]) -> list[Node]:
    """Return the records of all namespaces that name a piece of data.

    Args:
        transaction: the version to read.
        is_it: tells whether a piece of data is meant.
    """
    found = []
    for shelf in shelves(transaction):
        if shelf.type not in _WITH_DATA:
            continue
        for key in buckets.bucket_names(shelf.find(transaction)):
            if shelf.type == SNAPSHOT:
                node = snapshot_node(shelf.namespace, shelf.snapshotter, key)
            else:
                node = Node(shelf.type, shelf.namespace, key)
            if any(is_it(datum) for datum in data_of(transaction, node)):
                found.append(node)
    return found
