"""The way of records into a graph: most say so little that no facts need to be made of them.

A blob, an image or a snapshot refers to things by labels and by one field. Where that is all
that its labels mean, it is put into the graph as it is stored, without text, nodes and facts.
All others take the way over facts. Both ways lead to the same: a test compares them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop.gc import rules
from orlop.gc.edges import ALIKE, KIND_BITS, WHOLE
from orlop.gc.graph import flags_of
from orlop.gc.node import CONTENT, IMAGE, SNAPSHOT
from orlop.gc.node_ids import Place
from orlop.gc.rules import Effect
from orlop.gc.scan import read_group, record_groups
from orlop.kv import PlainBucket
from orlop.schema import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.gc.graph import Graph
    from orlop.gc.record_types import RecordGroup
    from orlop.gc.rules import FieldRule, RuleBook
    from orlop.kv import Tree
    from orlop.transactions import Transactions

_FIELDS: Final = frozenset({IMAGE, SNAPSHOT})
"""The types that have a field that refers to something, besides those that have several."""

_PLAIN: Final = frozenset({CONTENT, *_FIELDS})
"""The types of which most records say little."""

_COMMON: Final = rules.COMMON.encode()
_KNOWN_MAX: Final = 10_000
"""So many labels are remembered: most records have the same few, but a label may be anything."""

_NOTHING: Final = -1
_MORE: Final = -2
"""Stands for a label that does more than to refer to one thing."""


def fill(
    graph: Graph, transactor: Transactions, book: RuleBook, yield_to_writers: Callable[[], None]
) -> None:
    """Put all records into an empty graph while others write; see `reading.read_beside`."""
    for group in transactor.read(record_groups):
        loader = FastLoader(graph, book, group)
        for found in read_group(transactor, group, yield_to_writers):
            for key, tree in found:
                loader.add(key, tree)


class FastLoader:
    """Puts the records of one group into a graph."""

    def __init__(self, graph: Graph, book: RuleBook, group: RecordGroup) -> None:
        """Begin with none.

        Args:
            graph: it must not have any of them.
            book: the rules.
            group: where they lie.
        """
        self._graph = graph
        self._numbers = graph.numbers
        self._book = book
        self._group = group
        self._is_plain = group.type in _PLAIN
        self._has_field = group.type in _FIELDS
        self._flags = flags_of(group.type, is_root=group.type == IMAGE)
        self._own = self._place(group.type, group.snapshotter)
        self._blobs = self._place(CONTENT, "")
        # Label by label: the place of what it refers to.
        self._known: dict[bytes, int] = {}

    def add(self, key: bytes, tree: Tree) -> None:
        """Add a record by its key, and all that its bucket holds."""
        references: list[int] = []
        if self._has_field:
            self._take_field(tree, references)
        labels = tree.get(names.LABELS)
        is_plain = self._is_plain
        if is_plain and isinstance(labels, dict):
            is_plain = self._take_labels(labels, references)
        if is_plain:
            self._graph.add_plain(self._number(self._own, key), self._flags, references)
        else:
            record = PlainBucket({key: tree})
            self._graph.add(self._group.read(record, names.to_text(key), self._book))

    def _take_field(self, tree: Tree, found: list[int]) -> None:
        """Append what the one field refers to that a record of this type has."""
        if self._group.type == SNAPSHOT:
            place, kind, key = self._own, _PARENT, tree.get(names.PARENT)
        else:
            target = tree.get(names.TARGET)
            place, kind = self._blobs, _TARGET
            key = target.get(names.DIGEST) if isinstance(target, dict) else None
        if isinstance(key, bytes) and key:
            found.append(self._number(place, key) << KIND_BITS | kind)

    def _take_labels(self, labels: Tree, found: list[int]) -> bool:
        """Append what labels refer to; return whether that is all that they mean."""
        for label, value in labels.items():
            if label.startswith(_COMMON) and isinstance(value, bytes):
                place = self._known.get(label)
                if place is None:
                    place = self._look_up(label)
                if place == _MORE:
                    return False
                if place != _NOTHING:
                    found.append(self._number(place, value) << KIND_BITS | WHOLE)
        return True

    def _number(self, place: int, key: bytes) -> int:
        number = self._numbers.by_place[place].get(key)
        return self._numbers.add(place, key) if number is None else number

    def _look_up(self, label: bytes) -> int:
        """Return the place of what a label refers to, if that is one and all that it means."""
        place = _NOTHING
        for rule, snapshotter in self._book.knowing(self._group.type, names.to_text(label)):
            is_more = place != _NOTHING or rule.effect is not Effect.REFERENCE
            place = _MORE if is_more else self._place(rule.target, snapshotter)
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known[label] = place
        return place

    def _place(self, kind: str, snapshotter: str) -> int:
        whose = snapshotter if kind == SNAPSHOT else None
        return self._graph.numbers.place(Place(kind, self._group.namespace, whose))


def _kind(rule: FieldRule) -> int:
    return ALIKE if rule.follows_flat else WHOLE


_PARENT: Final = _kind(rules.PARENT)
_TARGET: Final = _kind(rules.TARGET)
