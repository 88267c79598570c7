"""Debian's containerd before and after a process that was killed while it committed a snapshot."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.errors import AlreadyExistsError
from real.daemon import Daemon, DaemonError
from storage.killing import KILLED

if TYPE_CHECKING:
    from orlop import Database
    from orlop.stores.snapshots import SnapshotStore

pytestmark = [
    pytest.mark.real("containerd", "ctr"),
    pytest.mark.root,
    pytest.mark.parametrize("snapshotter", ["native", "overlayfs"]),
]

ROOTED = {"containerd.io/gc.root": "1"}
WORDS = "years of work"
ATTEMPTS = 4
GAP_SECONDS = 0.004


def store_of(db: Database, snapshotter: str) -> SnapshotStore:
    return db.namespace("default").snapshots(snapshotter)


def begin(root: Path, snapshotter: str) -> None:
    with orlop.open(root) as db:
        store = store_of(db, snapshotter)
        (mount,) = store.prepare("work", "", ROOTED)
        Path(mount.source, "thesis.txt").write_text(WORDS)


def die_in_a_commit(root: Path, snapshotter: str) -> None:
    """Commit `work` in a process that dies before `meta.db` has it."""
    child = os.fork()
    if child == 0:
        with orlop.open(root) as db, db.update():
            store_of(db, snapshotter).commit("done", "work", ROOTED)
            os._exit(KILLED)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED


def data_in(root: Path, snapshotter: str) -> list[Path]:
    folder = root / f"io.containerd.snapshotter.v1.{snapshotter}" / "snapshots"
    return [one for one in folder.rglob("thesis.txt") if one.read_text() == WORDS]


def test_it_works_on_the_root_as_the_dead_process_left_it(tmp_path: Path, snapshotter: str) -> None:
    daemon = Daemon(tmp_path / "root")
    begin(daemon.root, snapshotter)
    die_in_a_commit(daemon.root, snapshotter)
    snapshots = ("snapshots", "--snapshotter", snapshotter)

    with daemon:
        daemon.ctr(*snapshots, "prepare", "theirs")
        daemon.ctr(*snapshots, "commit", "layer", "theirs")
        assert "layer" in daemon.ctr(*snapshots, "ls")

    with orlop.open(daemon.root) as db:
        store = store_of(db, snapshotter)
        assert sorted(one.name for one in store.walk()) == ["layer", "work"]
        db.gc.run()
        (mount,) = store.mounts("work")
        assert Path(mount.source, "thesis.txt").read_text() == WORDS


def test_it_commits_what_was_made_active_again(tmp_path: Path, snapshotter: str) -> None:
    daemon = Daemon(tmp_path / "root")
    begin(daemon.root, snapshotter)
    die_in_a_commit(daemon.root, snapshotter)
    orlop.open(daemon.root).close()
    snapshots = ("snapshots", "--snapshotter", snapshotter)

    with daemon:
        daemon.ctr(*snapshots, "commit", "done", "work")
        daemon.collect()
        assert daemon.ctr(*snapshots, "info", "done")

    assert len(data_in(daemon.root, snapshotter)) == 1
    with orlop.open(daemon.root) as db:
        assert [one.name for one in store_of(db, snapshotter).walk()] == ["done"]


def test_what_it_was_committing_when_it_was_killed_is_kept(
    tmp_path: Path, snapshotter: str
) -> None:
    rng = random.Random(snapshotter)
    for number in range(ATTEMPTS):
        daemon = Daemon(tmp_path / f"root-{number}")
        begin(daemon.root, snapshotter)
        kill_in_a_commit(daemon, snapshotter, rng)

        for _ in range(3):
            with orlop.open(daemon.root) as db:
                db.gc.run()
            assert len(data_in(daemon.root, snapshotter)) == 1
        with orlop.open(daemon.root) as db:
            store = store_of(db, snapshotter)
            with contextlib.suppress(AlreadyExistsError):
                store.commit("done", "work", ROOTED)
            assert [one.name for one in store.walk()] == ["done"]


def kill_in_a_commit(daemon: Daemon, snapshotter: str, rng: random.Random) -> None:
    """Let a daemon commit `work`, and kill it soon after the snapshotter's database changed."""
    metadata = daemon.root / f"io.containerd.snapshotter.v1.{snapshotter}" / "metadata.db"
    with daemon:
        before = metadata.stat().st_mtime_ns

        def commit() -> None:
            with contextlib.suppress(DaemonError, subprocess.SubprocessError):
                daemon.ctr("snapshots", "--snapshotter", snapshotter, "commit", "done", "work")

        client = threading.Thread(target=commit)
        client.start()
        deadline = time.monotonic() + 10
        while metadata.stat().st_mtime_ns == before:
            assert time.monotonic() < deadline, "nothing is committed"
        time.sleep(rng.uniform(0, GAP_SECONDS))
        daemon.kill()
        client.join()
