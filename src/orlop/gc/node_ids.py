"""Nodes by number: a million names, kept compactly.

A name is a place (a type in a namespace, and for snapshots a snapshotter) and the key that a
record has there, as the file has it: so whoever reads records needs to make no text of keys.
NodeIds are given in order and stay what they are.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.gc.node import SNAPSHOT, Node, split_snapshot
from orlop.schema import names

if TYPE_CHECKING:
    from collections.abc import Container

_SLASH: Final = "/"


class Place(NamedTuple):
    """Where nodes are that differ by their key only.

    Attributes:
        type: of the nodes.
        namespace: of the nodes.
        snapshotter: with a slash it begins the keys of nodes, but not of records, for snapshots;
            `None`: keys are those of nodes.
    """

    type: str
    namespace: str
    snapshotter: str | None = None


class NodeIds:
    """Gives numbers to nodes. A node and its flat form have the same.

    Attributes:
        count: how many numbers were given.
        by_place: for each place the numbers of nodes by key; they grow with `add`.
    """

    def __init__(self) -> None:
        self.count = 0
        self.by_place: list[dict[bytes, int]] = []
        self._indexes: dict[Place, int] = {}
        self._places: list[Place] = []
        # By number.
        self._keys: list[bytes] = []
        self._place_of = array("I")

    def place(self, place: Place) -> int:
        """Return the index of a place: what stands for it in `by_place` and `add`."""
        index = self._indexes.get(place)
        if index is None:
            index = self._indexes[place] = len(self._places)
            self._places.append(place)
            self.by_place.append({})
        return index

    def add(self, index: int, key: bytes) -> int:
        """Give a number to a node that has none, by its place and key; return the number."""
        number = self.count
        self.count = number + 1
        self.by_place[index][key] = number
        self._keys.append(key)
        self._place_of.append(index)
        return number

    def number(self, node: Node) -> int:
        """Return the number of a node, which gets one where it has none."""
        place, key = _parts(node)
        index = self.place(place)
        number = self.by_place[index].get(key)
        return self.add(index, key) if number is None else number

    def find(self, node: Node) -> int | None:
        """Return the number of a node, `None` where it has none."""
        place, key = _parts(node)
        index = self._indexes.get(place)
        return None if index is None else self.by_place[index].get(key)

    def of_types(self, types: Container[str]) -> list[int]:
        """Return the numbers of all nodes of these types."""
        return [
            number
            for place, by_key in zip(self._places, self.by_place, strict=True)
            if place.type in types
            for number in by_key.values()
        ]

    def node(self, number: int) -> Node:
        """Return the node that has a number, whole."""
        kind, namespace, snapshotter = self._places[self._place_of[number]]
        key = names.to_text(self._keys[number])
        return Node(kind, namespace, key if snapshotter is None else f"{snapshotter}/{key}")


def _parts(node: Node) -> tuple[Place, bytes]:
    if node.type == SNAPSHOT and _SLASH in node.key:
        snapshotter, key = split_snapshot(node.key)
        return Place(node.type, node.namespace, snapshotter), names.to_bytes(key)
    return Place(node.type, node.namespace), names.to_bytes(node.key)
