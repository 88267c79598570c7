"""A commit that gives a lost snapshot its files back, and ends before it is durable.

Whatever ends it, the active snapshot is there with its data until the metadata names it no more.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.errors import AbortedError, AlreadyExistsError, NotFoundError
from orlop.records import SnapshotKind
from storage.killing import steps
from stores.damaging import files_of, snapshot_directory
from stores.interrupting import ROOTED, copy_of, in_a_fork, store_of

if TYPE_CHECKING:
    from pathlib import Path

    from orlop import Database
    from orlop.stores.snapshots import SnapshotStore

WORDS = b"the only copy"
LOSSES = ("directory", "files", "emptied", "forgotten")


@pytest.fixture(params=LOSSES)
def root(tmp_path: Path, snapshotter: str, request: pytest.FixtureRequest) -> Path:
    """Return a root with a `base` without its data, and an active `work` with a file."""
    root = tmp_path / "root"
    with orlop.open(root, sync=False) as db:
        store = store_of(db, snapshotter)
        store.prepare("active")
        (files_of(db, store, "active") / "file").write_bytes(b"lost")
        store.commit("base", "active", ROOTED)
        store.prepare("work", "", ROOTED)
        (files_of(db, store, "work") / "file").write_bytes(WORDS)
        lose(db, store, str(request.param))
    return root


def lose(db: Database, store: SnapshotStore, how: str) -> None:
    files = files_of(db, store, "base")
    if how == "forgotten":
        assert store.backend is not None
        store.backend.remove("d/2/base")
    elif how == "directory":
        shutil.rmtree(snapshot_directory(db, store, "base"))
    else:
        shutil.rmtree(files)
        if how == "emptied":
            files.mkdir()
    assert store.fault("base") != ""


def data(db: Database, store: SnapshotStore, key: str) -> bytes:
    return (files_of(db, store, key) / "file").read_bytes()


def check(root: Path, snapshotter: str) -> str:
    """Check that the data is there through collections; return by which names."""
    with orlop.open(root, sync=False) as db:
        store = store_of(db, snapshotter)
        named = [one.name for one in (*store.walk(), *store.lost())]
        whole = [key for key in sorted(named) if not store.fault(key)]
        assert whole
        for _ in range(2):
            assert [data(db, store, key) for key in whole] == [WORDS] * len(whole)
            assert not db.gc.run(release=True, confirmed=True).failures
        if "work" in named:
            assert "work" in whole, "it was acknowledged, and nothing removed it"
            assert store.stat("work").kind is SnapshotKind.ACTIVE
            with contextlib.suppress(AlreadyExistsError):
                store.commit("base", "work", ROOTED)
        assert store.fault("base") == ""
        assert data(db, store, "base") == WORDS
        if "work" in [one.name for one in store.walk()]:
            store.remove("work")
        db.gc.run(release=True, confirmed=True)
        assert len(list(snapshot_directory(db, store, "base").parent.iterdir())) == 1
    return "+".join(whole)


def test_a_process_killed_inside_of_an_update_leaves_the_active_snapshot(
    root: Path, snapshotter: str
) -> None:
    def run() -> None:
        with orlop.open(root, sync=False) as db, db.update():
            store_of(db, snapshotter).commit("base", "work", ROOTED)
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_fork(run) == signal.SIGKILL
    assert check(root, snapshotter) == "base+work"


@pytest.mark.slow
@pytest.mark.parametrize("root", ["files", "forgotten"], indirect=True)
def test_a_process_killed_before_any_call_leaves_one_or_the_other(
    root: Path, snapshotter: str, tmp_path: Path
) -> None:
    seen = set()

    def run() -> None:
        with orlop.open(copy, sync=False) as db:
            store_of(db, snapshotter).commit("base", "work", ROOTED)

    copy = copy_of(root, tmp_path / "0")
    for step in steps(run):
        seen.add(check(copy, snapshotter))
        shutil.rmtree(copy)
        copy = copy_of(root, tmp_path / str(step + 1))

    assert {"work", "base+work", "base"} == seen


@pytest.mark.parametrize("error", [RuntimeError(), KeyboardInterrupt(), NotFoundError("x")])
def test_a_rollback_takes_the_files_away_and_leaves_the_active_snapshot(
    root: Path, snapshotter: str, error: BaseException
) -> None:
    with orlop.open(root, sync=False) as db:
        store = store_of(db, snapshotter)
        with contextlib.suppress(type(error)), db.update():
            store.commit("base", "work", ROOTED)
            raise error

        assert store.fault("base") != "", "it is as it was"
        assert store.fault("work") == ""
        assert data(db, store, "work") == WORDS
        assert db.gc.run().deleted == 0

    assert check(root, snapshotter) == "work"


def test_a_rollback_undoes_what_was_made_on_it_too(root: Path, snapshotter: str) -> None:
    with orlop.open(root, sync=False) as db:
        store = store_of(db, snapshotter)
        with contextlib.suppress(RuntimeError), db.update():
            store.commit("base", "work", ROOTED)
            store.prepare("next", "base", ROOTED)
            store.commit("last", "next", ROOTED)
            store.remove("last")
            raise RuntimeError

        assert store.fault("base") != ""
        assert data(db, store, "work") == WORDS

    assert check(root, snapshotter) == "work"


def test_a_doomed_update_leaves_the_active_snapshot(root: Path, snapshotter: str) -> None:
    with orlop.open(root, sync=False) as db:
        store = store_of(db, snapshotter)

        def fail_half_way() -> None:
            with db.update():
                store.commit("base", "work", ROOTED)
                with contextlib.suppress(ZeroDivisionError), db.update():
                    _ = 1 / 0

        with pytest.raises(AbortedError):
            fail_half_way()

        assert data(db, store, "work") == WORDS

    assert check(root, snapshotter) == "work"


def test_removing_the_restored_snapshot_later_loses_nothing_that_is_named(
    root: Path, snapshotter: str
) -> None:
    with orlop.open(root, sync=False) as db:
        store = store_of(db, snapshotter)
        with contextlib.suppress(RuntimeError), db.update():
            store.commit("base", "work", ROOTED)
            raise RuntimeError
        store.remove("base")
        db.gc.run(release=True, confirmed=True)

        assert data(db, store, "work") == WORDS
        assert store.mounts("work")
