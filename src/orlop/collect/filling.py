"""The way of records into a graph: most say so little that no facts need to be made of them.

A blob, an image or a snapshot refers to things by labels and by one field. Where that is all
that its labels mean, it is put into the graph as it is stored, without text, nodes and facts.
All others take the way over facts. Both ways lead to the same: a test compares them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop.collect import rules
from orlop.collect.compact import flags_of
from orlop.collect.edges import ALIKE, KIND_BITS, WHOLE
from orlop.collect.node import CONTENT, IMAGE, SNAPSHOT
from orlop.collect.numbers import Place
from orlop.collect.reading import read_shelf, shelves
from orlop.collect.rules import Effect
from orlop.kv import PlainBucket
from orlop.schema import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.collect.compact import CompactGraph
    from orlop.collect.reading import Shelf
    from orlop.collect.rules import FieldRule, RuleBook
    from orlop.kv import Tree
    from orlop.stores.scope import Transactor

_FIELDS: Final = {IMAGE: rules.TARGET, SNAPSHOT: rules.PARENT}
_PLAIN: Final = frozenset({CONTENT, *_FIELDS})
"""The types of which most records say little."""

_COMMON: Final = rules.COMMON.encode()
_KNOWN_MAX: Final = 10_000
"""So many labels are remembered: most records have the same few, but a label may be anything."""

_NOTHING: Final = -1
_MORE: Final = -2
"""Stands for a label that does more than to refer to one thing."""


def fill(
    graph: CompactGraph, transactor: Transactor, book: RuleBook, breathe: Callable[[], None]
) -> None:
    """Put all records into an empty graph while others write; see `reading.read_beside`."""
    for shelf in transactor.read(shelves):
        filler = Filler(graph, book, shelf)
        for found in read_shelf(transactor, shelf, breathe):
            for key, tree in found:
                filler.add(key, tree)


class Filler:
    """Puts the records of one shelf into a graph."""

    def __init__(self, graph: CompactGraph, book: RuleBook, shelf: Shelf) -> None:
        """Begin with none.

        Args:
            graph: it must not have any of them.
            book: the rules.
            shelf: where they lie.
        """
        self._graph = graph
        self._book = book
        self._shelf = shelf
        self._is_plain = shelf.type in _PLAIN
        self._is_image = shelf.type == IMAGE
        self._is_snapshot = shelf.type == SNAPSHOT
        self._flags = flags_of(shelf.type, is_root=self._is_image)
        self._own = self._place(shelf.type, shelf.snapshotter)
        self._blobs = self._place(CONTENT, "")
        # Label by label: the place of what it refers to.
        self._known: dict[bytes, int] = {}

    def add(self, key: bytes, tree: Tree) -> None:
        """Add a record by its key, and all that its bucket holds."""
        references = self._references(tree) if self._is_plain else None
        if references is None:
            record = PlainBucket({key: tree})
            self._graph.add(self._shelf.read(record, names.to_text(key), self._book))
        else:
            self._graph.add_plain(self._number(self._own, key), self._flags, references)

    def _references(self, tree: Tree) -> list[int] | None:
        """Return what a record refers to; `None` where that is not all that it says."""
        found: list[int] = []
        if self._is_snapshot:
            parent = tree.get(names.PARENT)
            if isinstance(parent, bytes) and parent:
                found.append(self._number(self._own, parent) << KIND_BITS | _PARENT)
        elif self._is_image:
            target = tree.get(names.TARGET)
            digest = target.get(names.DIGEST) if isinstance(target, dict) else None
            if isinstance(digest, bytes) and digest:
                found.append(self._number(self._blobs, digest) << KIND_BITS | _TARGET)
        labels = tree.get(names.LABELS)
        if isinstance(labels, dict) and not self._take_labels(labels, found):
            return None
        return found

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
        numbers = self._graph.numbers
        number = numbers.numbers_at(place).get(key)
        return numbers.add(place, key) if number is None else number

    def _look_up(self, label: bytes) -> int:
        """Return the place of what a label refers to, if that is one and all that it means."""
        place = _NOTHING
        for rule, snapshotter in self._book.knowing(self._shelf.type, names.to_text(label)):
            is_more = place != _NOTHING or rule.effect is not Effect.REFERENCE
            place = _MORE if is_more else self._place(rule.target, snapshotter)
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known[label] = place
        return place

    def _place(self, kind: str, snapshotter: str) -> int:
        whose = snapshotter if kind == SNAPSHOT else None
        return self._graph.numbers.place(Place(kind, self._shelf.namespace, whose))


def _kind(rule: FieldRule) -> int:
    return ALIKE if rule.follows_flat else WHOLE


_PARENT: Final = _kind(rules.PARENT)
_TARGET: Final = _kind(rules.TARGET)
