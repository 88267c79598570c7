"""A user's operations on snapshots, each with its change to the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from campaigns.world.paths import SNAPSHOTTERS
from campaigns.world.records import SNAPSHOT, Change, Record, snapshot_node
from campaigns.world.state import NAMESPACES, ROOT, RefusedError
from orlop.errors import FailedPreconditionError, NotFoundError

if TYPE_CHECKING:
    import random

    from campaigns.world.state import World


def prepare(world: World, rng: random.Random) -> None:
    """Prepare a snapshot and write a file into it."""
    name, snapshotter = rng.choice(NAMESPACES), rng.choice(SNAPSHOTTERS)
    key = f"active-{world.model.next()}"
    parents = [
        one.key.split("/", 1)[1]
        for one in world.choosable(SNAPSHOT, name)
        if one.key.startswith(f"{snapshotter}/committed")
    ]
    parent = rng.choice(["", *parents])
    # What nothing holds may be gone before anything is written into it.
    labels = dict(rng.choice((ROOT, ROOT, {} if world.stable is None else ROOT)))
    world.say(f"prepare {name} {snapshotter}/{key} on {parent!r} {labels}")
    node = snapshot_node(name, snapshotter, key)
    refs = frozenset({snapshot_node(name, snapshotter, parent)} if parent else ())
    record = Record(refs, is_root=bool(labels))
    may = (NotFoundError,) if parent else ()
    with world.attempt(world.made(name, node, record), *may):
        (mount,) = world.namespace(name).snapshots(snapshotter).prepare(key, parent, labels)
    upper = [one.removeprefix("upperdir=") for one in mount.options if "upperdir=" in one]
    marker = f"file-{key}", f"what was written into {key}".encode()
    Path(upper[0] if upper else mount.source, marker[0]).write_bytes(marker[1])
    kept = world.model.records.get(node)
    if kept is not None:
        world.model.records[node] = replace(kept, marker=marker)
    world.report()


def commit(world: World, rng: random.Random) -> None:
    """Commit an active snapshot."""
    actives = [one for one in world.model.records if one.type == SNAPSHOT and "/active-" in one.key]
    if not actives:
        raise RefusedError
    node = rng.choice(actives)
    snapshotter, key = node.key.split("/", 1)
    new = key.replace("active", "committed")
    labels = dict(rng.choice((ROOT, ROOT, {})))
    world.say(f"commit {node} {labels}")
    record = replace(world.model.records[node], is_root=bool(labels))
    change = world.made(node.namespace, snapshot_node(node.namespace, snapshotter, new), record)
    change = replace(change, gone=frozenset({node}), moves=node in world.held())
    with world.attempt(change, NotFoundError):
        world.namespace(node.namespace).snapshots(snapshotter).commit(new, key, labels)


def remove_snapshot(world: World, rng: random.Random) -> None:
    node = world.some(rng, SNAPSHOT)
    snapshotter, key = node.key.split("/", 1)
    world.say(f"remove {node}")
    with world.attempt(Change(gone=frozenset({node})), NotFoundError, FailedPreconditionError):
        world.namespace(node.namespace).snapshots(snapshotter).remove(key)


def view_snapshot(world: World, rng: random.Random) -> None:
    """Make a view of a committed snapshot and look into it."""
    held = world.held()
    nodes = [one for one in world.choosable(SNAPSHOT) if "/committed-" in one.key and one in held]
    if not nodes:
        raise RefusedError
    node = rng.choice(nodes)
    snapshotter, key = node.key.split("/", 1)
    new = snapshot_node(node.namespace, snapshotter, f"view-{world.model.next()}")
    world.say(f"view {node}")
    change = world.made(node.namespace, new, Record(frozenset({node})))
    with world.attempt(change):
        world.namespace(node.namespace).snapshots(snapshotter).view(new.key.split("/", 1)[1], key)
