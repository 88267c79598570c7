"""Helpers for tests of interrupted commits: a process that dies in one, and copies of its root."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

import orlop
from safety.trusting import trust_copy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop import Database
    from orlop.stores.snapshots import SnapshotStore

ROOTED: Final = {"containerd.io/gc.root": "1"}


def store_of(db: Database, snapshotter: str) -> SnapshotStore:
    return db.namespace("d").snapshots(snapshotter)


def in_a_fork(function: Callable[[], None]) -> int:
    """Return the status with which a forked child ends that runs a function."""
    child = os.fork()
    if child == 0:
        try:
            function()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return status


def copy_of(root: Path, target: Path) -> Path:
    """Return a copy of a root, as one that was made there by a handle that closed."""
    shutil.copytree(root, target, symlinks=True)
    trust_copy(target)
    with orlop.open(target, sync=False) as db:
        db.gc.run(release=True)
    return target
