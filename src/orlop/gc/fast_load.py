"""Fast loader: adds records with plain reference labels to the graph without building `Facts`.

A blob, an image or a snapshot refers to things by labels and by one field. Where that is all
that its labels mean, it is put into the graph as it is stored, without texts, nodes and facts.
All others are added as facts. Both come to the same: a test compares them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop.gc import rules
from orlop.gc.edges import ALIKE, KIND_BITS, WHOLE
from orlop.gc.graph import flags_of
from orlop.gc.node import CONTENT, IMAGE, SNAPSHOT
from orlop.gc.node_ids import NodeGroup
from orlop.gc.rules import Effect
from orlop.gc.scan import read_group, record_groups
from orlop.kv import PlainBucket
from orlop.schema import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.gc.graph import Graph
    from orlop.gc.record_types import RecordGroup
    from orlop.gc.rules import FieldRule, RuleBook
    from orlop.kv import Transaction, Tree
    from orlop.transactions import Transactions

_FIELDS: Final = frozenset({IMAGE, SNAPSHOT})
"""The types that have a field that refers to something, besides those that have several."""

_PLAIN: Final = frozenset({CONTENT, *_FIELDS})
"""The types of which most records say little."""

_COMMON: Final = rules.COMMON.encode()
_KNOWN_MAX: Final = 10_000
"""So many labels are remembered: most records have the same few, but a label may be anything."""

_NO_EFFECT: Final = -1
_NEEDS_FACTS: Final = -2
"""Stands for a label that does more than to refer to one thing."""


def load_beside_writers(
    graph: Graph, transactor: Transactions, book: RuleBook, yield_to_writers: Callable[[], None]
) -> None:
    """Add all records to an empty graph, yielding to writers; see `scan.read_group`."""
    for group in transactor.read(record_groups):
        loader = FastLoader(graph, book, group)
        for found in read_group(transactor, group, yield_to_writers):
            for key, tree in found:
                loader.add(key, tree)


def load_version(graph: Graph, transaction: Transaction, book: RuleBook) -> None:
    """Add all records of the version of a transaction to an empty graph."""
    for group in record_groups(transaction):
        bucket = group.find(transaction)
        if bucket is not None:
            loader = FastLoader(graph, book, group)
            for key, tree in bucket.trees(b""):
                loader.add(key, tree)


class FastLoader:
    """Adds the records of one group to a graph."""

    def __init__(self, graph: Graph, book: RuleBook, group: RecordGroup) -> None:
        """Begin with none.

        Args:
            graph: it must not have any of them.
            book: the rules.
            group: where they lie.
        """
        self._graph = graph
        self._ids = graph.ids
        self._book = book
        self._group = group
        self._is_plain = group.type in _PLAIN
        self._has_field = group.type in _FIELDS
        self._flags = flags_of(group.type, is_root=group.type == IMAGE)
        self._own = self._node_group(group.type, group.snapshotter)
        self._blobs = self._node_group(CONTENT, "")
        self._field = rules.PARENT if group.type == SNAPSHOT else rules.TARGET
        self._field_rule = graph.rule_id(self._field.name)
        self._field_kind = _kind(self._field)
        # By label: the group of what it refers to, and its number as a rule.
        self._known: dict[bytes, tuple[int, int]] = {}

    def add(self, key: bytes, tree: Tree) -> None:
        """Add a record by its key, and all that its bucket holds."""
        references: list[int] = []
        by: list[int] = []
        if self._has_field:
            self._take_field(tree, references, by)
        labels = tree.get(names.LABELS)
        is_plain = self._is_plain
        if is_plain and isinstance(labels, dict):
            is_plain = self._take_labels(labels, references, by)
        if is_plain:
            self._graph.add_plain(self._id(self._own, key), self._flags, references, by)
        else:
            record = PlainBucket({key: tree})
            self._graph.add(self._group.read(record, names.to_text(key), self._book))

    def _take_field(self, tree: Tree, found: list[int], by: list[int]) -> None:
        """Append the reference of the one field that a record of this type has, and its rule."""
        if self._group.type == SNAPSHOT:
            group, key = self._own, tree.get(names.PARENT)
        else:
            target = tree.get(names.TARGET)
            group = self._blobs
            key = target.get(names.DIGEST) if isinstance(target, dict) else None
        if isinstance(key, bytes) and key:
            found.append(self._id(group, key) << KIND_BITS | self._field_kind)
            by.append(self._field_rule)

    def _take_labels(self, labels: Tree, found: list[int], by: list[int]) -> bool:
        """Append the references of labels, and their rules; return whether labels mean no more."""
        for label, value in labels.items():
            if label.startswith(_COMMON) and isinstance(value, bytes):
                known = self._known.get(label)
                if known is None:
                    known = self._look_up(label)
                group, rule = known
                if group == _NEEDS_FACTS:
                    return False
                if group != _NO_EFFECT:
                    found.append(self._id(group, value) << KIND_BITS | WHOLE)
                    by.append(rule)
        return True

    def _id(self, group: int, key: bytes) -> int:
        node_id = self._ids.by_group[group].get(key)
        return self._ids.add(group, key) if node_id is None else node_id

    def _look_up(self, label: bytes) -> tuple[int, int]:
        """Return the group and rule of a label, or `_NO_EFFECT` or `_NEEDS_FACTS` for the group."""
        text = names.to_text(label)
        group, rule_id = _NO_EFFECT, 0
        for rule, snapshotter in self._book.knowing(self._group.type, text):
            if group != _NO_EFFECT or rule.effect is not Effect.REFERENCE:
                group = _NEEDS_FACTS
            else:
                group = self._node_group(rule.target, snapshotter)
                rule_id = self._graph.rule_id(text)
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known[label] = group, rule_id
        return group, rule_id

    def _node_group(self, kind: str, snapshotter: str) -> int:
        whose = snapshotter if kind == SNAPSHOT else None
        return self._graph.ids.group(NodeGroup(kind, self._group.namespace, whose))


def _kind(rule: FieldRule) -> int:
    return ALIKE if rule.follows_flat else WHOLE
