"""Ids of nodes: a million names, kept compactly.

A name is a group (a type in a namespace, and for snapshots a snapshotter) and the key that a
record has there, as the file has it: so the loading of records needs to make no text of keys.
Ids are given in order and stay what they are.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.gc.node import SNAPSHOT, Node, split_snapshot
from orlop.gc.record_types import RECORD_TYPES
from orlop.schema import names

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

_SLASH: Final = "/"
_SCAN_ORDER: Final = {kind: order for order, kind in enumerate(RECORD_TYPES)}


class NodeGroup(NamedTuple):
    """Nodes that differ by their key only.

    Attributes:
        type: of the nodes.
        namespace: of the nodes.
        snapshotter: with a slash it begins the keys of nodes, but not of records, for snapshots;
            `None`: keys are those of nodes.
    """

    type: str
    namespace: str
    snapshotter: str | None = None

    @property
    def scan_order(self) -> tuple[bool, bytes, int, bytes]:
        """The sort key of the group: as a scan reads them, resources of other kinds last."""
        order = _SCAN_ORDER.get(self.type)
        namespace = names.to_bytes(self.namespace)
        if order is None:
            return True, namespace, len(_SCAN_ORDER), names.to_bytes(self.type)
        return False, namespace, order, names.to_bytes(self.snapshotter or "")


class NodeIds:
    """Gives ids to nodes. A node and its flat form have the same.

    Attributes:
        count: how many ids were given.
        by_group: for each group the ids of its nodes by key; they grow with `add`.
    """

    def __init__(self) -> None:
        self.count = 0
        self.by_group: list[dict[bytes, int]] = []
        self._indexes: dict[NodeGroup, int] = {}
        self._groups: list[NodeGroup] = []
        self._orders: list[tuple[bool, bytes, int, bytes]] = []
        # By id.
        self._keys: list[bytes] = []
        self._group_of = array("I")

    def group(self, group: NodeGroup) -> int:
        """Return the index of a group in `by_group`, for `add`; a new group gets one."""
        index = self._indexes.get(group)
        if index is None:
            index = self._indexes[group] = len(self._groups)
            self._groups.append(group)
            self._orders.append(group.scan_order)
            self.by_group.append({})
        return index

    def add(self, index: int, key: bytes) -> int:
        """Give an id to a node that has none, by its group and key; return the id."""
        node_id = self.count
        self.count = node_id + 1
        self.by_group[index][key] = node_id
        self._keys.append(key)
        self._group_of.append(index)
        return node_id

    def of(self, node: Node) -> int:
        """Return the id of a node, which gets one where it has none."""
        group, key = _parts(node)
        index = self.group(group)
        node_id = self.by_group[index].get(key)
        return self.add(index, key) if node_id is None else node_id

    def find(self, node: Node) -> int | None:
        """Return the id of a node, `None` where it has none."""
        group, key = _parts(node)
        index = self._indexes.get(group)
        return None if index is None else self.by_group[index].get(key)

    def of_types(self, types: Container[str]) -> list[int]:
        """Return the ids of all nodes of these types."""
        return [
            node_id
            for group, by_key in zip(self._groups, self.by_group, strict=True)
            if group.type in types
            for node_id in by_key.values()
        ]

    def with_key(self, key: str) -> Iterator[int]:
        """Iterate over the nodes of any type that have a key; a snapshotter may begin it."""
        snapshotter, slash, rest = key.partition(_SLASH)
        for group, by_key in zip(self._groups, self.by_group, strict=True):
            found = by_key.get(names.to_bytes(key))
            if found is not None:
                yield found
            if slash and group.snapshotter == snapshotter:
                found = by_key.get(names.to_bytes(rest))
                if found is not None:
                    yield found

    def containing(self, part: bytes) -> list[int]:
        """Return the nodes with some bytes in their key; snapshotters are no part of it."""
        return [node_id for node_id, key in enumerate(self._keys) if part in key]

    def type_of(self, node_id: int) -> str:
        """Return the type of a node."""
        return self._groups[self._group_of[node_id]].type

    def scan_order(self, node_id: int) -> tuple[tuple[bool, bytes, int, bytes], bytes]:
        """Return the sort key of a node: as a scan reads them."""
        return self._orders[self._group_of[node_id]], self._keys[node_id]

    def node(self, node_id: int) -> Node:
        """Return the node that has an id, whole."""
        kind, namespace, snapshotter = self._groups[self._group_of[node_id]]
        key = names.to_text(self._keys[node_id])
        return Node(kind, namespace, key if snapshotter is None else f"{snapshotter}/{key}")


def _parts(node: Node) -> tuple[NodeGroup, bytes]:
    if node.type == SNAPSHOT and _SLASH in node.key:
        snapshotter, key = split_snapshot(node.key)
        return NodeGroup(node.type, node.namespace, snapshotter), names.to_bytes(key)
    return NodeGroup(node.type, node.namespace), names.to_bytes(node.key)
