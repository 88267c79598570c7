"""The cases of containerd's metastore suite, by their names.

Source: containerd, core/snapshots/storage/metastore_test.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orlop.bolt import open_engine
from orlop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from orlop.records import SnapshotInfo, SnapshotKind, SnapshotUsage
from orlop.storage.metastore import Metastore
from storage.opening import open_for_reading, open_for_writing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orlop.storage.snapshots import Snapshot
    from storage.ticking import TickingClock

ACTIVE, VIEW, COMMITTED = SnapshotKind.ACTIVE, SnapshotKind.VIEW, SnapshotKind.COMMITTED
USAGE = SnapshotUsage(inodes=3, size=4096)

BASE = {
    "committed-1": (COMMITTED, ""),
    "committed-2": (COMMITTED, "committed-1"),
    "active-1": (ACTIVE, ""),
    "active-2": (ACTIVE, "committed-1"),
    "active-3": (ACTIVE, "committed-2"),
    "view-1": (VIEW, ""),
    "view-2": (VIEW, "committed-2"),
}


@pytest.fixture
def empty(tmp_path: Path, clock: TickingClock) -> Iterator[Metastore]:
    store = Metastore(tmp_path / "metadata.db", open_for_writing, clock=clock)
    yield store
    store.close()


@pytest.fixture
def store(empty: Metastore) -> Metastore:
    """Return a store with the base entries: two committed, three active, two views."""
    with empty.update() as snapshots:
        for name in ("committed-1", "committed-2"):
            snapshots.create(ACTIVE, f"{name}-key", BASE[name][1])
            snapshots.commit_active(f"{name}-key", name, USAGE)
        for name, (kind, parent) in BASE.items():
            if kind is not COMMITTED:
                snapshots.create(kind, name, parent, {"name": name})
    return empty


def info(store: Metastore, key: str) -> SnapshotInfo:
    return store.read(lambda snapshots: snapshots.info(key))[1]


def snapshot(store: Metastore, key: str) -> Snapshot:
    return store.read(lambda snapshots: snapshots.snapshot(key))


def test_get_info(store: Metastore) -> None:
    for name, (kind, parent) in BASE.items():
        found = info(store, name)
        assert (found.name, found.kind, found.parent) == (name, kind, parent)
        assert found.created_at == found.updated_at
        assert found.created_at is not None
        assert found.labels == ({} if kind is COMMITTED else {"name": name})
    usages = [store.read(lambda snapshots, key=key: snapshots.info(key))[2] for key in BASE]  # type: ignore[misc]
    assert usages == [USAGE] * 2 + [SnapshotUsage(inodes=0, size=0)] * 5


def test_get_info_not_exist(store: Metastore, empty: Metastore) -> None:
    for key in ("nothing", ""):
        with pytest.raises(NotFoundError, match="snapshot"):
            info(store, key)
    assert empty is store


def test_an_empty_database_has_no_snapshots(empty: Metastore, tmp_path: Path) -> None:
    for ask in (info, snapshot):
        with pytest.raises(NotFoundError):
            ask(empty, "active-1")
    assert empty.read(lambda snapshots: list(snapshots.walk())) == []
    assert empty.read(lambda snapshots: snapshots.ids()) == {}
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotFoundError), empty.update() as snapshots:
        snapshots.remove("active-1")
    with pytest.raises(NotFoundError):
        info(empty, "active-1")


def test_walk(store: Metastore) -> None:
    found = store.read(lambda snapshots: list(snapshots.walk()))
    assert {entry.name: (entry.kind, entry.parent) for entry in found} == BASE
    assert [entry.name for entry in found] == sorted(BASE)


def test_get_snapshot(store: Metastore) -> None:
    with store.update() as snapshots:
        made = snapshots.create(ACTIVE, "another", "committed-2")
    assert snapshot(store, "another") == made
    assert made.parent_ids == ("2", "1")
    assert snapshot(store, "view-2").kind is VIEW
    with pytest.raises(NotFoundError):
        snapshot(store, "nothing")
    with pytest.raises(FailedPreconditionError, match="committed-1"):
        snapshot(store, "committed-1")


def test_create_active(empty: Metastore) -> None:
    with empty.update() as snapshots:
        first = snapshots.create(ACTIVE, "active-1")
        second = snapshots.create(ACTIVE, "active-2")
        assert first.id != second.id
        assert first.parent_ids == ()
        committed = snapshots.commit_active("active-1", "committed-1", USAGE)
        assert committed == first.id
        third = snapshots.create(ACTIVE, "active-1", "committed-1")
        assert third.id not in {first.id, second.id}
        assert third.parent_ids == (first.id,)
        view = snapshots.create(VIEW, "view-1", "committed-1")
        assert (view.kind, view.parent_ids) == (VIEW, (first.id,))
    assert empty.read(lambda snapshots: snapshots.ids()) == {
        "1": "committed-1",
        "2": "active-2",
        "3": "active-1",
        "4": "view-1",
    }


@pytest.mark.parametrize("kind", [ACTIVE, VIEW])
def test_create_refused(store: Metastore, kind: SnapshotKind) -> None:
    with store.update() as snapshots:
        before = snapshots.ids()
        with pytest.raises(NotFoundError, match="nothing"):
            snapshots.create(kind, "new", "nothing")
        for taken in ("active-1", "committed-1"):
            with pytest.raises(AlreadyExistsError, match=taken):
                snapshots.create(kind, taken)
        for parent in ("active-1", "view-1"):
            with pytest.raises(InvalidArgumentError, match=parent):
                snapshots.create(kind, "new", parent)
        for key in ("", "k" * 32_769):
            with pytest.raises(InvalidArgumentError, match="key of a snapshot"):
                snapshots.create(kind, key)
        assert snapshots.ids() == before


@pytest.mark.parametrize("kind", [COMMITTED, SnapshotKind.UNKNOWN])
def test_create_of_another_kind(store: Metastore, kind: SnapshotKind) -> None:
    with pytest.raises(InvalidArgumentError), store.update() as snapshots:
        snapshots.create(kind, "new")


def test_commit(store: Metastore) -> None:
    before, made = info(store, "active-3"), snapshot(store, "active-3")
    with store.update() as snapshots:
        committed = snapshots.commit_active("active-3", "committed-3", USAGE, {"new": "label"})
    assert committed == made.id
    with pytest.raises(NotFoundError):
        info(store, "active-3")
    after = info(store, "committed-3")
    assert (after.kind, after.parent, after.labels) == (COMMITTED, "committed-2", {"new": "label"})
    assert after.created_at == after.updated_at
    assert before.created_at is not None
    assert after.created_at is not None
    assert before.created_at < after.created_at


def test_commit_refused(store: Metastore) -> None:
    with store.update() as snapshots:
        # Both are refused for the name, which is looked at first.
        for key in ("nothing", "active-1"):
            with pytest.raises(AlreadyExistsError):
                snapshots.commit_active(key, "committed-1", USAGE)
        with pytest.raises(NotFoundError):
            snapshots.commit_active("nothing", "new", USAGE)
        for key in ("committed-2", "view-1"):
            with pytest.raises(FailedPreconditionError, match="only active"):
                snapshots.commit_active(key, "new", USAGE)
    assert store.read(lambda snapshots: len(snapshots.ids())) == len(BASE)


def test_remove(store: Metastore) -> None:
    order = ["view-2", "view-1", "active-3", "active-2", "active-1", "committed-2", "committed-1"]
    ids = {key: number for number, key in store.read(lambda snapshots: snapshots.ids()).items()}
    with store.update() as snapshots:
        for key in order:
            assert snapshots.remove(key) == (ids[key], BASE[key][0])
    assert store.read(lambda snapshots: list(snapshots.walk())) == []


def test_remove_refused(store: Metastore) -> None:
    with store.update() as snapshots:
        with pytest.raises(NotFoundError):
            snapshots.remove("nothing")
        with pytest.raises(FailedPreconditionError, match="'active-3', 'view-2'"):
            snapshots.remove("committed-2")
        with pytest.raises(FailedPreconditionError, match="'committed-2'"):
            snapshots.remove("committed-1")
    assert store.read(lambda snapshots: len(snapshots.ids())) == len(BASE)


def test_children_of_similar_ids_are_told_apart(empty: Metastore) -> None:
    with empty.update() as snapshots:
        for number in range(1, 301):
            snapshots.create(ACTIVE, f"key-{number}")
            snapshots.commit_active(f"key-{number}", f"layer-{number}", USAGE)
        for parent in (1, 128, 129, 256, 300):
            snapshots.create(ACTIVE, f"on-{parent}", f"layer-{parent}")
        for number in range(1, 301):
            if number in {1, 128, 129, 256, 300}:
                with pytest.raises(FailedPreconditionError, match=f"'on-{number}'"):
                    snapshots.remove(f"layer-{number}")
            else:
                snapshots.remove(f"layer-{number}")


def test_parent_ids(store: Metastore) -> None:
    with store.update() as snapshots:
        parent = "committed-2"
        for number in range(3, 7):
            snapshots.create(ACTIVE, f"key-{number}", parent)
            snapshots.commit_active(f"key-{number}", f"layer-{number}", USAGE)
            parent = f"layer-{number}"
        top = snapshots.create(VIEW, "top", parent)
        ids = {key: number for number, key in snapshots.ids().items()}
    chain = ["layer-6", "layer-5", "layer-4", "layer-3", "committed-2", "committed-1"]
    assert top.parent_ids == tuple(ids[key] for key in chain)
    assert snapshot(store, "active-1").parent_ids == ()
    assert snapshot(store, "active-2").parent_ids == (ids["committed-1"],)


@pytest.mark.parametrize(
    ("prepared_on", "parent", "wanted"),
    [
        ("", "committed-1", "committed-1"),
        ("committed-1", "committed-1", "committed-1"),
        ("", "nothing", NotFoundError),
        ("committed-1", "", "committed-1"),
        ("", "active-1", FailedPreconditionError),
        ("committed-1", "committed-2", InvalidArgumentError),
    ],
)
def test_rebase(
    store: Metastore, prepared_on: str, parent: str, wanted: str | type[Exception]
) -> None:
    with store.update() as snapshots:
        made = snapshots.create(ACTIVE, "key", prepared_on)
        if not isinstance(wanted, str):
            with pytest.raises(wanted):
                snapshots.commit_active("key", "name", USAGE, parent=parent)
            return
        snapshots.commit_active("key", "name", USAGE, parent=parent)
        top = snapshots.create(VIEW, "top", "name")
    assert info(store, "name").parent == wanted
    assert top.parent_ids == (made.id, "1")
    with pytest.raises(FailedPreconditionError, match="'name'"), store.update() as snapshots:
        snapshots.remove(wanted)


def test_update_info(store: Metastore) -> None:
    before = info(store, "committed-1")

    def updated(labels: dict[str, str], *paths: str) -> dict[str, str]:
        with store.update() as snapshots:
            changed = SnapshotInfo(kind=VIEW, name="committed-1", parent="x", labels=labels)
            told = snapshots.update(changed, paths)
        assert told == info(store, "committed-1")
        assert (told.kind, told.parent, told.created_at) == (COMMITTED, "", before.created_at)
        return dict(told.labels)

    assert updated({"a": "1", "b": "2", "empty": ""}) == {"a": "1", "b": "2"}
    assert updated({"a": "3", "b": "4"}, "labels.a") == {"a": "3", "b": "2"}
    assert updated({}, "labels.a") == {"b": "2"}
    assert updated({"x/y": "z"}, "labels.x/y", "labels.b") == {"x/y": "z"}
    assert updated({"c": "5"}, "labels") == {"c": "5"}
    assert updated({}) == {}
    after = info(store, "committed-1")
    assert before.updated_at is not None
    assert after.updated_at is not None
    assert before.updated_at < after.updated_at
    with pytest.raises(InvalidArgumentError, match="parent"), store.update() as snapshots:
        snapshots.update(after, ["parent"])
    with pytest.raises(NotFoundError), store.update() as snapshots:
        snapshots.update(SnapshotInfo(kind=VIEW, name="nothing"))


def test_an_error_rolls_back(store: Metastore) -> None:
    def create_and_fail() -> None:
        with store.update() as snapshots:
            snapshots.create(ACTIVE, "new")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        create_and_fail()
    with pytest.raises(NotFoundError):
        info(store, "new")
    assert len(store.read(lambda snapshots: snapshots.ids())) == len(BASE)


def test_the_file_is_locked_while_it_is_open_and_readable_nevertheless(
    store: Metastore, tmp_path: Path, clock: TickingClock
) -> None:
    reader = Metastore(tmp_path / "metadata.db", open_for_reading, clock=clock)
    assert info(reader, "active-1") == info(store, "active-1")
    with pytest.raises(FailedPreconditionError, match=r"metadata\.db"), reader.update():
        pass
    reader.close()
    reader.close()
    with pytest.raises(FailedPreconditionError, match="closed"):
        info(reader, "active-1")

    late = Metastore(
        tmp_path / "metadata.db", lambda path: open_engine(path, timeout=0.01), clock=clock
    )
    with pytest.raises(UnavailableError, match="locked"):
        info(late, "active-1")
    late.close()
