"""The frequency of each operation in a script."""

from __future__ import annotations

from typing import Final

WEIGHTS: Final = {
    "namespace.create": 2,
    "namespace.list": 1,
    "namespace.labels": 1,
    "namespace.label": 2,
    "namespace.delete": 2,
    "image.get": 2,
    "image.list": 2,
    "image.create": 6,
    "image.update": 7,
    "image.delete": 1,
    "container.get": 2,
    "container.list": 2,
    "container.create": 5,
    "container.update": 7,
    "container.delete": 1,
    "lease.create": 4,
    "lease.delete": 1,
    "lease.list": 2,
    "lease.add": 6,
    "lease.remove": 3,
    "lease.resources": 3,
    "content.info": 2,
    "content.walk": 2,
    "content.update": 6,
    "content.delete": 1,
    "content.read": 2,
    "content.status": 2,
    "content.statuses": 2,
    "content.abort": 2,
    "writer.open": 9,
    "writer.write": 6,
    "writer.truncate": 1,
    "writer.status": 2,
    "writer.commit": 8,
    "writer.close": 2,
    "snapshot.stat": 3,
    "snapshot.update": 5,
    "snapshot.usage": 1,
    "snapshot.mounts": 2,
    "snapshot.prepare": 8,
    "snapshot.view": 3,
    "snapshot.commit": 7,
    "snapshot.remove": 3,
    "snapshot.walk": 2,
    "transaction": 6,
    "gc": 1,
}
ACTS_IN_BACKEND: Final = ("snapshot.prepare", "snapshot.view", "snapshot.commit", "writer.open")
"""A tuple: a set would have another order in each process, and a seed another script."""
ALONE: Final = frozenset(
    {"transaction", "gc", "content.abort", "content.read"}
    | {name for name in WEIGHTS if name.startswith("writer.")}
    | set(ACTS_IN_BACKEND)
)
MADE_BY: Final = {
    "image": "image.create",
    "container": "container.create",
    "lease": "lease.create",
    "snapshot": "snapshot.prepare",
}
IN_TRANSACTION: Final = {name: weight for name, weight in WEIGHTS.items() if name not in ALONE}
