"""A script's view of its database, so that most operations use existing records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orlop import Database, SnapshotKind

SNAPSHOTTERS = ("native", "second")


@dataclass(slots=True)
class Writer:
    """A blob in writing, as the script opened it."""

    namespace: str
    ref: str
    data: bytes = b""
    shared: bool = False


@dataclass(slots=True)
class Known:
    """The records of one namespace."""

    images: list[str] = field(default_factory=list)
    containers: dict[str, tuple[str, str]] = field(default_factory=dict)
    leases: list[str] = field(default_factory=list)
    blobs: list[str] = field(default_factory=list)
    refs: list[str] = field(default_factory=list)
    snapshots: dict[str, dict[str, SnapshotKind]] = field(default_factory=dict)


def look(database: Database, namespace: str) -> Known:
    """Return the records of a namespace."""
    ns = database.namespace(namespace)
    with database.view():
        containers = ns.containers.list()
        return Known(
            images=[one.name for one in ns.images.list()],
            containers={one.id: (one.snapshotter, one.runtime.name) for one in containers},
            leases=[one.id for one in ns.leases.list()],
            blobs=[one.digest for one in ns.content.walk()],
            refs=[one.ref for one in ns.content.statuses()],
            snapshots={
                name: {one.name: one.kind for one in ns.snapshots(name).walk()}
                for name in SNAPSHOTTERS
            },
        )
