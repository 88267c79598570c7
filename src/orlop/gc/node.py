"""Nodes: records as the collector names them.

A node is a name, not a record: a reference may lead to a record that does not exist (yet). A
node may be reached whole or flat. Flat means that it is kept, but not the targets of its labels;
that is how a lease with the label `containerd.io/gc.flat` keeps its resources.

Source: containerd, pkg/gc and core/metadata/gc.go; spec/metadata.md 3.1.
"""

from __future__ import annotations

from typing import Final, NamedTuple

CONTENT: Final = "content"
SNAPSHOT: Final = "snapshot"
CONTAINER: Final = "container"
IMAGE: Final = "image"
LEASE: Final = "lease"
INGEST: Final = "ingest"
SANDBOX: Final = "sandbox"
ORPHAN: Final = "orphan"
"""Data in a backend that no metadata names; in plans only, never in a graph."""

SWEPT: Final = frozenset({LEASE, SNAPSHOT, INGEST, CONTENT, IMAGE})
"""The types that a collection removes; of containers and sandboxes it never removes any."""

BUILT_IN: Final = SWEPT | {CONTAINER, SANDBOX, ORPHAN}
"""The types that no other resource may be registered under."""

HELD_FLAT: Final = frozenset({CONTENT, SNAPSHOT, IMAGE})
"""The types that a flat reference can keep."""


class Node(NamedTuple):
    """A record, by type, namespace and key.

    Attributes:
        type: one of the types above, or that of a registered resource.
        namespace: where it is; empty for orphans.
        key: a digest, a name, an id, a reference; for a snapshot `<snapshotter>/<key>`.
        is_flat: whether it is held without what its labels refer to.
    """

    type: str
    namespace: str
    key: str
    is_flat: bool = False

    @property
    def whole(self) -> Node:
        """This node, not flat: the node of the record."""
        return Node(self.type, self.namespace, self.key) if self.is_flat else self

    @property
    def flat(self) -> Node:
        """This node, flat where its type can be."""
        return Node(self.type, self.namespace, self.key, self.type in HELD_FLAT)

    def __str__(self) -> str:
        place = f' in namespace "{self.namespace}"' if self.namespace else ""
        key = self.key if self.type == CONTENT else f'"{self.key}"'
        return f"{self.type} {key}{place}"


def snapshot_node(namespace: str, snapshotter: str, key: str) -> Node:
    """Return the node of a snapshot."""
    return Node(SNAPSHOT, namespace, f"{snapshotter}/{key}")


def split_snapshot(key: str) -> tuple[str, str]:
    """Return snapshotter and key of a snapshot's node, cut at the first slash."""
    snapshotter, _, name = key.partition("/")
    return snapshotter, name
