"""Nodes by number: a million names, kept compactly.

A name is a place (a type in a namespace, and for snapshots a snapshotter) and the key that a
record has there, as the file has it: so whoever reads records needs to make no text of keys.
Numbers are given in order and stay what they are.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.collect.node import SNAPSHOT, Node, split_snapshot
from orlop.schema import names

if TYPE_CHECKING:
    from collections.abc import Mapping

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


class Numbers:
    """Gives numbers to nodes. A node and its flat form have the same."""

    def __init__(self) -> None:
        self._indexes: dict[Place, int] = {}
        self._places: list[Place] = []
        self._by_place: list[dict[bytes, int]] = []
        # By number.
        self._keys: list[bytes] = []
        self._place_of = array("I")

    def __len__(self) -> int:
        return len(self._keys)

    def place(self, place: Place) -> int:
        """Return what stands for a place in `numbers_at` and `add`."""
        index = self._indexes.get(place)
        if index is None:
            index = self._indexes[place] = len(self._places)
            self._places.append(place)
            self._by_place.append({})
        return index

    def numbers_at(self, index: int) -> Mapping[bytes, int]:
        """Return the numbers of the nodes at a place, by key; it grows with `add`."""
        return self._by_place[index]

    def add(self, index: int, key: bytes) -> int:
        """Give a number to a node that has none, by its place and key; return the number."""
        number = len(self._keys)
        self._by_place[index][key] = number
        self._keys.append(key)
        self._place_of.append(index)
        return number

    def number(self, node: Node) -> int:
        """Return the number of a node, which gets one where it has none."""
        place, key = _parts(node)
        index = self.place(place)
        number = self._by_place[index].get(key)
        return self.add(index, key) if number is None else number

    def find(self, node: Node) -> int | None:
        """Return the number of a node, `None` where it has none."""
        place, key = _parts(node)
        index = self._indexes.get(place)
        return None if index is None else self._by_place[index].get(key)

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
