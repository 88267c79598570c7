"""Unnamed data that may belong to a snapshot without data is kept and reported.

A containerd that was killed in a commit leaves this state: it writes no notes of a commit.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import orlop

if TYPE_CHECKING:
    from orlop import Database
    from orlop.storage.contract import SnapshotBackend
    from orlop.stores.snapshots import SnapshotStore

ROOTED = {"containerd.io/gc.root": "1"}

SNAPSHOTTERS = pytest.mark.parametrize("snapshotter", ["native", "overlayfs"])


def store_of(db: Database, snapshotter: str, namespace: str = "d") -> SnapshotStore:
    return db.namespace(namespace).snapshots(snapshotter)


def backend_of(store: SnapshotStore) -> SnapshotBackend:
    assert store.backend is not None
    return store.backend


def names(store: SnapshotStore) -> list[str]:
    return [one.name for one in backend_of(store).walk()]


def begin(store: SnapshotStore) -> None:
    """Make a layer, and an active snapshot on it that is committed in the backend alone."""
    store.prepare("base-active")
    store.commit("base", "base-active", ROOTED)
    store.prepare("work", "base", ROOTED)
    backend_of(store).commit("d/4/done", "d/3/work")


@SNAPSHOTTERS
def test_what_a_killed_containerd_committed_is_kept_until_its_record_goes(
    tmp_path: Path, snapshotter: str
) -> None:
    with orlop.open(tmp_path / "root", sync=False) as db:
        store = store_of(db, snapshotter)
        begin(store)
        plan = db.gc.plan()
        assert [(one.key, one.bytes) for one in plan.nodes] == [(f"{snapshotter}/d/4/done", 0)]
        assert plan.nodes[0].set_aside_bytes > 0

        for _ in range(3):
            run = db.gc.run()
            assert (run.deleted, run.set_aside) == (0, 1)
            assert run.set_aside_bytes == plan.nodes[0].set_aside_bytes
            assert '"work" of namespace "d"' in run.failures[snapshotter]
            assert "d/4/done" in run.failures[snapshotter]
            assert "snapshot rm" in run.failures[snapshotter]
    with orlop.open(tmp_path / "root", sync=False) as db:
        store = store_of(db, snapshotter)
        assert db.gc.run().set_aside == 1
        assert names(store) == ["d/2/base", "d/4/done"]

        store.remove("work")
        assert db.gc.plan().nodes[0].bytes > 0
        run = db.gc.run()

        assert (run.deleted, run.set_aside, dict(run.failures)) == (1, 0, {})
        assert names(store) == ["d/2/base"]


@SNAPSHOTTERS
def test_it_can_be_committed_again_under_the_name_that_it_was_given(
    tmp_path: Path, snapshotter: str
) -> None:
    with orlop.open(tmp_path / "root", sync=False) as db:
        store = store_of(db, snapshotter)
        begin(store)
        db.gc.run()

        store.commit("done", "work", ROOTED)

        assert not db.gc.run().failures
        assert names(store) == ["d/2/base", "d/4/done"]


def test_a_person_may_release_it(tmp_path: Path) -> None:
    with orlop.open(tmp_path / "root", sync=False) as db:
        store = store_of(db, "native")
        begin(store)

        assert db.gc.run(release=True, confirmed=True).deleted == 1

        assert not db.gc.run().failures, "a record without data alone stops nothing"


def test_what_cannot_be_it_goes_as_ever(tmp_path: Path) -> None:
    with orlop.open(tmp_path / "root", sync=False) as db:
        store = store_of(db, "native")
        begin(store)
        backend = backend_of(store)
        backend.prepare("d/5/young", "")
        backend.prepare("e/5/elsewhere-active", "d/2/base")
        backend.commit("e/6/elsewhere", "e/5/elsewhere-active")
        backend.prepare("d/1/older-active", "d/2/base")
        backend.commit("d/2/older", "d/1/older-active")
        backend.prepare("d/7/other-parent-active", "")
        backend.commit("d/8/other-parent", "d/7/other-parent-active")
        backend.view("d/9/view", "d/2/base")

        assert db.gc.run().deleted == 5
        assert names(store) == ["d/2/base", "d/4/done"]


def test_what_another_one_stands_on_stays_with_it(tmp_path: Path) -> None:
    with orlop.open(tmp_path / "root", sync=False) as db:
        store = store_of(db, "native")
        backend = backend_of(store)
        store.prepare("work", "", ROOTED)
        backend.prepare("d/2/below-active", "")
        backend.commit("d/3/below", "d/2/below-active")
        backend.remove("d/1/work")
        backend.prepare("d/4/above-active", "d/3/below")
        backend.commit("d/5/above", "d/4/above-active")

        assert db.gc.run().set_aside == 2
        assert names(store) == ["d/3/below", "d/5/above"]


def test_directories_without_a_record_stay_where_nothing_else_could_be_it(tmp_path: Path) -> None:
    with orlop.open(tmp_path / "root", sync=False) as db:
        store = store_of(db, "native")
        store.prepare("work", "", ROOTED)
        source = Path(store.mounts("work")[0].source)
        (source / "file").write_bytes(b"data")
        kept = source.rename(source.parent / "7")
        with_dash = source.parent / "new-1"
        with_dash.mkdir()
        backend_of(store).remove("d/1/work")

        assert '"work"' in db.gc.run().failures["native"]
        assert kept.joinpath("file").read_bytes() == b"data"
        assert not with_dash.exists()

        store.remove("work")
        assert not db.gc.run().failures
        assert not kept.exists()


def test_a_record_that_goes_with_the_same_collection_keeps_nothing(tmp_path: Path) -> None:
    with orlop.open(tmp_path / "root", sync=False) as db:
        store = store_of(db, "native")
        store.prepare("work")
        backend_of(store).commit("d/2/done", "d/1/work")
        planned = {one.key: one.bytes for one in db.gc.plan().nodes}
        assert planned["native/d/2/done"] > 0

        run = db.gc.run()

        assert (run.deleted, dict(run.failures)) == (1, {})
