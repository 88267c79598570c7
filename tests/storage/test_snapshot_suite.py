"""The cases of containerd's snapshot suite that need no mount, by their names.

Source: containerd, core/snapshots/testsuite; those that mount are in test_snapshot_mounts.py.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeAlias

import pytest

from orlop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    OrlopError,
)
from orlop.records import SnapshotInfo, SnapshotKind, SnapshotUsage
from orlop.storage import NativeSnapshotter, OverlaySnapshotter
from storage.opening import open_for_reading

if TYPE_CHECKING:
    from pathlib import Path

    from storage.ticking import TickingClock

Snapshotter: TypeAlias = NativeSnapshotter | OverlaySnapshotter


def layers(snapshotter: Snapshotter, count: int) -> list[str]:
    """Commit a chain of empty layers and return their names, the lowest first."""
    names: list[str] = []
    for number in range(count):
        snapshotter.prepare(f"key-{number}", names[-1] if names else "")
        snapshotter.commit(f"layer-{number}", f"key-{number}")
        names.append(f"layer-{number}")
    return names


def upper(snapshotter: Snapshotter, number: str) -> Path:
    return snapshotter._data(number)


def directories(snapshotter: Snapshotter) -> set[str]:
    return {path.name for path in snapshotter._directory.iterdir()}


def test_basic(snapshotter: Snapshotter) -> None:
    snapshotter.prepare("preparing", "", {"label": "of the key"})
    (upper(snapshotter, "1") / "foo").write_bytes(b"foo\n")
    usage = snapshotter.usage("preparing")
    assert usage.inodes == 2
    assert usage.size > 0
    snapshotter.commit("committed", "preparing", {"label": "of the name"})

    info = snapshotter.stat("committed")
    assert (info.kind, info.parent) == (SnapshotKind.COMMITTED, "")
    assert info.labels == {"label": "of the name"}
    assert snapshotter.usage("committed") == usage
    with pytest.raises(NotFoundError):
        snapshotter.stat("preparing")

    snapshotter.prepare("next", "committed")
    snapshotter.commit("next-committed", "next")
    assert snapshotter.stat("next-committed").parent == "committed"
    snapshotter.view("viewing", "next-committed")
    assert snapshotter.usage("viewing") == SnapshotUsage(inodes=0, size=0)
    for held in ("committed", "next-committed"):
        with pytest.raises(FailedPreconditionError):
            snapshotter.remove(held)
    for key in ("viewing", "next-committed", "committed"):
        snapshotter.remove(key)
        with pytest.raises(NotFoundError):
            snapshotter.remove(key)
    assert list(snapshotter.walk()) == []
    assert directories(snapshotter) == set()


def test_stat_active_and_committed(snapshotter: Snapshotter) -> None:
    snapshotter.prepare("key", "")
    assert snapshotter.stat("key").kind is SnapshotKind.ACTIVE
    snapshotter.commit("name", "key")
    assert snapshotter.stat("name").kind is SnapshotKind.COMMITTED
    snapshotter.view("view", "name")
    assert snapshotter.stat("view").kind is SnapshotKind.VIEW
    for ask in (snapshotter.stat, snapshotter.usage, snapshotter.mounts):
        with pytest.raises(NotFoundError):
            ask("nothing")
    with pytest.raises(FailedPreconditionError):
        snapshotter.mounts("name")


def test_transitivity(snapshotter: Snapshotter) -> None:
    layers(snapshotter, 3)
    parent = snapshotter.stat(snapshotter.stat("layer-2").parent)
    assert (parent.name, parent.parent) == ("layer-1", "layer-0")


def test_prepare_view_failing(snapshotter: Snapshotter) -> None:
    layers(snapshotter, 1)
    snapshotter.prepare("active", "layer-0")
    snapshotter.view("view", "layer-0")
    before = directories(snapshotter)
    for make in (snapshotter.prepare, snapshotter.view):
        for taken in ("active", "view", "layer-0"):
            with pytest.raises(AlreadyExistsError):
                make(taken, "layer-0")
        with pytest.raises(NotFoundError):
            make("new", "nothing")
        with pytest.raises(InvalidArgumentError):
            make("new", "active")
        with pytest.raises(InvalidArgumentError):
            make("", "layer-0")
    with pytest.raises(AlreadyExistsError):
        snapshotter.commit("layer-0", "active")
    with pytest.raises(FailedPreconditionError):
        snapshotter.commit("new", "view")
    with pytest.raises(FailedPreconditionError):
        snapshotter.commit("new", "layer-0")
    with pytest.raises(NotFoundError):
        snapshotter.commit("new", "nothing")
    assert directories(snapshotter) == before


def test_update(snapshotter: Snapshotter) -> None:
    layers(snapshotter, 1)
    snapshotter.prepare("active", "layer-0", {"a": "1", "b": "2"})
    snapshotter.view("view", "layer-0")
    for key in ("active", "view", "layer-0"):
        before = snapshotter.stat(key)
        labels = {"a": "3", "c": "4"}
        changed = SnapshotInfo(kind=before.kind, name=key, labels=labels)
        told = snapshotter.update(changed, ["labels.a", "labels.b"])
        assert told.labels == {"a": "3"}
        assert snapshotter.update(changed).labels == labels
        assert snapshotter.update(changed, ["labels"]).labels == labels
        after = snapshotter.stat(key)
        assert (after.kind, after.parent) == (before.kind, before.parent)
        assert after.created_at == before.created_at
        assert before.updated_at is not None
        assert after.updated_at is not None
        assert before.updated_at < after.updated_at
        with pytest.raises(InvalidArgumentError):
            snapshotter.update(changed, ["parent"])
    with pytest.raises(NotFoundError):
        snapshotter.update(SnapshotInfo(kind=SnapshotKind.VIEW, name="nothing"))


def test_remove(snapshotter: Snapshotter) -> None:
    for _ in range(2):
        snapshotter.prepare("key", "")
        snapshotter.commit("name", "key")
        snapshotter.view("key", "name")
        snapshotter.remove("key")
        snapshotter.prepare("key", "name")
        snapshotter.remove("key")
        snapshotter.remove("name")
    assert directories(snapshotter) == set()


def test_walk_and_stat_in_walk(snapshotter: Snapshotter) -> None:
    layers(snapshotter, 2)
    snapshotter.prepare("active", "layer-1", {"a": "b"})
    snapshotter.view("view", "")
    names = []
    for info in snapshotter.walk():
        assert snapshotter.stat(info.name) == info
        names.append(info.name)
    assert names == ["active", "layer-0", "layer-1", "view"]


def test_remove_intermediate_snapshot(snapshotter: Snapshotter) -> None:
    layers(snapshotter, 2)
    snapshotter.prepare("active", "layer-1")
    for held, child in (("layer-0", "layer-1"), ("layer-1", "active")):
        with pytest.raises(FailedPreconditionError, match=f"'{child}'"):
            snapshotter.remove(held)
    for key in ("active", "layer-1", "layer-0"):
        snapshotter.remove(key)


def test_close_twice(snapshotter: Snapshotter) -> None:
    layers(snapshotter, 1)
    snapshotter.close()
    snapshotter.close()
    with pytest.raises(FailedPreconditionError, match="closed"):
        snapshotter.stat("layer-0")


def test_root_permission(snapshotter: Snapshotter, tmp_path: Path) -> None:
    snapshotter.prepare("key", "")
    assert upper(snapshotter, "1").stat().st_mode & 0o7777 == 0o755
    (root,) = tmp_path.iterdir()
    assert {path.name: path.stat().st_mode & 0o7777 for path in (root, *root.iterdir())} == {
        root.name: 0o700,
        "metadata.db": 0o600,
        "snapshots": 0o700,
    }


def test_cleanup_keeps_what_is_known(snapshotter: Snapshotter) -> None:
    snapshotter.cleanup()
    layers(snapshotter, 2)
    snapshotter.prepare("active", "layer-1")
    known = directories(snapshotter)
    for name in ("99", "new-abc", "rm-98", "something"):
        (snapshotter._directory / name / "below").mkdir(parents=True)
    (snapshotter._directory / "a file").write_bytes(b"")
    # A daemon renames before its commit: had it died there, its database would know this one.
    (snapshotter._directory / "2").rename(snapshotter._directory / "rm-2")

    snapshotter.cleanup()

    assert directories(snapshotter) == known
    snapshotter.cleanup()
    assert directories(snapshotter) == known


def test_cleanup_without_a_database_touches_no_snapshot(
    snapshotter: Snapshotter, tmp_path: Path
) -> None:
    (root,) = (tmp_path / name for name in ("native", "overlay") if name in str(snapshotter._root))
    (root / "snapshots/new-1").mkdir(parents=True)
    snapshotter.cleanup()
    assert list((root / "snapshots").iterdir()) == []
    assert not (root / "metadata.db").exists()

    (root / "snapshots/7/fs").mkdir(parents=True)
    with pytest.raises(FailedPreconditionError, match=r"metadata\.db is missing"):
        snapshotter.cleanup()
    assert directories(snapshotter) == {"7"}


def test_a_number_whose_directory_is_there_is_not_given_out_again(
    snapshotter: Snapshotter,
) -> None:
    """An update that failed has left it, or a newer database names it, which may come back."""
    layers(snapshotter, 1)
    for name in ("2", "rm-3"):
        (snapshotter._directory / name / "rest").mkdir(parents=True)
    snapshotter.prepare("key", "layer-0")
    assert directories(snapshotter) == {"1", "2", "rm-3", "4"}
    assert (snapshotter._directory / "2" / "rest").is_dir()
    assert set(snapshotter.leftovers()) == {"2", "rm-3"}
    snapshotter.cleanup(keep=["2"])
    assert directories(snapshotter) == {"1", "2", "4"}
    snapshotter.cleanup()
    assert directories(snapshotter) == {"1", "4"}


def test_reading_where_nothing_is_creates_nothing(snapshotter: Snapshotter, tmp_path: Path) -> None:
    assert list(snapshotter.walk()) == []
    for ask in (snapshotter.stat, snapshotter.usage, snapshotter.mounts):
        with pytest.raises(NotFoundError):
            ask("key")
    with pytest.raises(NotFoundError):
        snapshotter.prepare("key", "nothing")
    snapshotter.cleanup()
    assert list(tmp_path.iterdir()) == []


def test_reading_beside_a_writer(snapshotter: Snapshotter, clock: TickingClock) -> None:
    layers(snapshotter, 2)
    snapshotter.prepare("active", "layer-1")
    reader = type(snapshotter)(snapshotter._root, open_for_reading, clock=clock)
    assert list(reader.walk()) == list(snapshotter.walk())
    assert reader.usage("layer-0") == snapshotter.usage("layer-0")
    assert reader.usage("active") == snapshotter.usage("active")
    assert reader.mounts("active")[0].source == snapshotter.mounts("active")[0].source
    for refused in (reader.remove, lambda key: reader.commit("name", key)):
        with pytest.raises(FailedPreconditionError):
            refused("active")
    for refused_too in (reader.cleanup, lambda: reader.prepare("new", "layer-1")):
        (snapshotter._directory / "rest").mkdir(exist_ok=True)
        with pytest.raises(FailedPreconditionError):
            refused_too()
    assert directories(snapshotter) == {"1", "2", "3", "rest"}
    reader.close()


def test_threads(snapshotter: Snapshotter) -> None:
    layers(snapshotter, 1)
    outcomes: list[str] = []

    def work(worker: int) -> None:
        for turn in range(3):
            key = f"key-{worker}-{turn}"
            snapshotter.prepare(key, "layer-0")
            number = snapshotter._metastore.read(lambda found: found.info(key))[0]  # noqa: B023 -- asked at once
            (upper(snapshotter, number) / "a/b/c").mkdir(parents=True)
            snapshotter.commit(f"name-{worker}-{turn}", key)
            try:
                snapshotter.prepare("shared", "layer-0")
                outcomes.append("made")
            except OrlopError as error:
                outcomes.append(error.kind)
            snapshotter.cleanup()
            snapshotter.remove(f"name-{worker}-{turn}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["already exists"] * 11 + ["made"]
    assert {info.name for info in snapshotter.walk()} == {"layer-0", "shared"}
    assert len(directories(snapshotter)) == 2
