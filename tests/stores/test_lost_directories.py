"""Snapshots with manually deleted directories: reported, refused, and restored by a commit."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from orlop.errors import AlreadyExistsError, DataLossError, FailedPreconditionError, NotFoundError
from orlop.records import LeaseResource
from stores.chains import REF, record
from stores.damaging import files_of, snapshot_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop import Database, Namespace
    from orlop.stores.snapshots import SnapshotStore

KEYS = ("base", "top", "work")


@pytest.fixture(params=["native", "overlayfs"])
def store(db: Database, ns: Namespace, request: pytest.FixtureRequest) -> SnapshotStore:
    """Return a store with the committed `base` and `top` on it, and the active `work` on that."""
    store = ns.snapshots(str(request.param))
    for name, parent in (("base", ""), ("top", "base")):
        store.prepare("active", parent)
        (files_of(db, store, "active") / name).write_bytes(name.encode())
        store.commit(name, "active")
    store.prepare("work", "top")
    return store


def lose(db: Database, store: SnapshotStore, key: str) -> Path:
    """Delete the directory of a snapshot, and return where it was."""
    lost = snapshot_directory(db, store, key)
    shutil.rmtree(lost)
    return lost


def assert_refused(lost: Path, call: Callable[[], object]) -> None:
    with pytest.raises(DataLossError, match="is missing") as caught:
        call()
    assert str(lost) in str(caught.value)
    assert "orlop image import ARCHIVE" in str(caught.value), "what to do"


@pytest.mark.parametrize("key", KEYS)
def test_a_lost_directory_is_named(db: Database, store: SnapshotStore, key: str) -> None:
    assert [store.fault(one) for one in KEYS] == ["", "", ""]

    lost = lose(db, store, key)

    faults = {one: store.fault(one) for one in KEYS}
    assert str(lost) in faults.pop(key)
    assert set(faults.values()) == {""}
    assert [info.name for info in store.walk()] == list(KEYS), "they are there as before"


def test_nothing_is_made_of_a_lost_snapshot(db: Database, store: SnapshotStore) -> None:
    lost = lose(db, store, "top")

    assert_refused(lost, lambda: store.prepare("child", "top"))
    assert_refused(lost, lambda: store.view("child", "top"))
    if store.snapshotter == "overlayfs":
        assert_refused(lost, lambda: store.mounts("work"))
    else:
        assert store.mounts("work"), "it is a whole copy"
    assert [info.name for info in store.walk()] == list(KEYS)


def test_what_an_overlay_stands_on_further_down_is_looked_at(
    db: Database, store: SnapshotStore
) -> None:
    lost = lose(db, store, "base")

    if store.snapshotter == "overlayfs":
        assert_refused(lost, lambda: store.mounts("work"))
        assert_refused(lost, lambda: store.prepare("child", "top"))
    else:
        assert store.mounts("work")
        assert store.prepare("child", "top")


def test_an_active_snapshot_without_its_directory_is_refused(
    db: Database, store: SnapshotStore
) -> None:
    lost = lose(db, store, "work")

    for call in (
        lambda: store.mounts("work"),
        lambda: store.usage("work"),
        lambda: store.commit("name", "work"),
    ):
        assert_refused(lost, call)
    assert record(store, "work").key == "work"


def test_a_view_without_its_directory_is_refused(db: Database, store: SnapshotStore) -> None:
    store.view("look", "base")
    lost = lose(db, store, "base")

    assert_refused(lost, lambda: store.mounts("look"))


def test_an_overlay_without_its_work_directory_is_refused(
    db: Database, store: SnapshotStore
) -> None:
    if store.snapshotter == "overlayfs":
        work = snapshot_directory(db, store, "work") / "work"
        work.rmdir()
        assert str(work) in store.fault("work")
        assert_refused(work, lambda: store.mounts("work"))


@pytest.mark.parametrize("key", KEYS)
def test_a_file_in_the_place_of_a_directory_is_named(
    db: Database, store: SnapshotStore, key: str
) -> None:
    lost = lose(db, store, key)
    lost.write_bytes(b"no directory")

    assert "is missing" in store.fault(key) or "is no directory" in store.fault(key)


@pytest.mark.parametrize(("key", "parent"), [("base", ""), ("top", "base")])
@pytest.mark.parametrize("only_files", [False, True])
def test_a_commit_of_its_name_puts_it_back(
    db: Database, ns: Namespace, store: SnapshotStore, key: str, parent: str, *, only_files: bool
) -> None:
    lost = files_of(db, store, key) if only_files else snapshot_directory(db, store, key)
    before, mounts = record(store, key), store.mounts("work")
    shutil.rmtree(lost)
    store.prepare("again", parent)
    (files_of(db, store, "again") / key).write_bytes(b"again")

    with ns.lease() as lease:
        store.commit(key, "again")
        assert LeaseResource(id=key, type=f"snapshots/{store.snapshotter}") in ns.leases.resources(
            lease.id
        )

    assert (files_of(db, store, key) / key).read_bytes() == b"again"
    assert record(store, key) == before
    assert [store.fault(one) for one in KEYS] == ["", "", ""]
    assert store.mounts("work") == mounts
    with pytest.raises(NotFoundError):
        store.stat("again")
    assert not db.gc.run().failures


def test_what_a_backend_has_forgotten_altogether_is_put_back(
    db: Database, ns: Namespace, store: SnapshotStore
) -> None:
    store.remove("work")
    db.gc.run()
    ns.leases.create("holds")
    with ns.using_lease("holds"):
        store.prepare("held", "")
        store.commit("lost", "held")
    assert store.backend is not None
    store.backend.remove(record(store, "lost").backend_name)
    before = record(store, "lost")
    assert "gone from the backend" in store.fault("lost")

    store.prepare("again")
    (files_of(db, store, "again") / "file").write_bytes(b"again")
    store.commit("lost", "again")

    assert record(store, "lost") == before
    assert (files_of(db, store, "lost") / "file").read_bytes() == b"again"
    assert store.fault("lost") == ""


def test_what_stands_elsewhere_does_not_take_its_place(db: Database, store: SnapshotStore) -> None:
    lose(db, store, "top")
    store.prepare("again")

    with pytest.raises(FailedPreconditionError, match='stands on "base"'):
        store.commit("top", "again")

    assert store.stat("again").name == "again"
    assert store.fault("top") != ""


def test_a_commit_of_a_name_that_is_whole_says_that_it_exists(store: SnapshotStore) -> None:
    store.prepare("again", "base")
    with pytest.raises(AlreadyExistsError):
        store.commit("top", "again")


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_what_somebody_put_in_the_place_is_not_overwritten(
    db: Database, store: SnapshotStore, kind: str
) -> None:
    lost = lose(db, store, "base")
    if kind == "file":
        lost.write_bytes(b"precious")
    else:
        lost.symlink_to("/nowhere/at/all")
    before = lost.lstat().st_ino
    store.prepare("again")

    with pytest.raises(FailedPreconditionError, match="move it away"):
        store.commit("base", "again")

    assert lost.lstat().st_ino == before
    assert store.fault("base") != ""
    assert store.fault("again") == ""


def test_a_link_to_a_directory_elsewhere_is_that_directory(
    db: Database, store: SnapshotStore, tmp_path: Path
) -> None:
    moved = snapshot_directory(db, store, "base")
    moved.rename(tmp_path / "elsewhere")
    moved.symlink_to(tmp_path / "elsewhere")

    assert store.fault("base") == ""
    assert store.prepare("child", "base")


@pytest.mark.parametrize("key", ["base", "top"])
def test_an_emptied_directory_is_named_and_filled_again(
    db: Database, store: SnapshotStore, key: str
) -> None:
    files = files_of(db, store, key)
    for one in files.iterdir():
        one.unlink()
    assert store.fault(key) == f"{files} was emptied"
    with pytest.raises(DataLossError, match="was emptied"):
        store.view("look", key)
    with pytest.raises(DataLossError, match="was emptied"):
        store.prepare("child", key)

    store.prepare("again", record(store, key).parent)
    (files_of(db, store, "again") / key).write_bytes(b"again")
    store.commit(key, "again")

    assert (files / key).read_bytes() == b"again"
    assert store.fault(key) == ""


def test_a_layer_that_never_had_files_is_whole(store: SnapshotStore) -> None:
    store.prepare("nothing")
    store.commit("empty", "nothing")

    assert store.fault("empty") == ""


def test_a_target_that_has_lost_its_directory_is_not_said_to_exist(
    db: Database, store: SnapshotStore
) -> None:
    with pytest.raises(AlreadyExistsError):
        store.prepare("pulled", "base", {REF: "top"})
    lose(db, store, "top")

    store.prepare("pulled", "base", {REF: "top"})
    store.commit("top", "pulled", {REF: "top"})

    assert store.fault("top") == ""


def test_a_collection_of_lost_snapshots_works_and_frees_nothing_for_them(
    db: Database, store: SnapshotStore
) -> None:
    for key in KEYS:
        lose(db, store, key)

    plan = db.gc.plan()
    assert {one.key.partition("/")[2]: one.bytes for one in plan.nodes} == dict.fromkeys(KEYS, 0)
    statistics = db.gc.run()

    assert (statistics.removed["snapshot"], statistics.freed_bytes) == (3, 0)
    assert not statistics.failures
    assert list(store.walk()) == []
    assert store.backend is not None
    assert list(store.backend.walk()) == []


def test_a_plan_does_not_count_what_a_half_lost_snapshot_had(
    db: Database, store: SnapshotStore
) -> None:
    (files_of(db, store, "work") / "large").write_bytes(b"x" * 1_000_000)
    store.commit("large", "work")
    files = files_of(db, store, "large")
    shutil.rmtree(files)

    sizes = {one.key.partition("/")[2]: one.bytes for one in db.gc.plan().nodes}

    assert sizes["large"] < 100_000
