"""A killed snapshotter process: exactly the snapshots in the database exist."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, TypeAlias

import pytest

from orlop.clock import SystemClock
from orlop.records import SnapshotKind
from orlop.storage import NativeSnapshotter, OverlaySnapshotter
from storage.killing import steps
from storage.opening import open_for_writing

if TYPE_CHECKING:
    from pathlib import Path

Snapshotter: TypeAlias = NativeSnapshotter | OverlaySnapshotter

KINDS = pytest.mark.parametrize("kind", [NativeSnapshotter, OverlaySnapshotter])
CONTENT = {"a": b"first", "dir/b": b"second"}


def opened(kind: type[Snapshotter], root: Path) -> Snapshotter:
    return kind(root, open_for_writing, clock=SystemClock())


def fill(directory: Path) -> None:
    (directory / "dir").mkdir()
    for name, data in CONTENT.items():
        (directory / name).write_bytes(data)


def begin(kind: type[Snapshotter], root: Path) -> None:
    """Make a layer, and an active snapshot beside it."""
    snapshotter = opened(kind, root)
    snapshotter.prepare("key", "")
    fill(snapshotter._data("1"))
    snapshotter.commit("layer", "key")
    snapshotter.prepare("active", "")
    fill(snapshotter._data("2"))
    snapshotter.close()


def check(kind: type[Snapshotter], root: Path) -> dict[str, SnapshotKind]:
    """Check that every snapshot is whole, clean up, check again; return the snapshots."""
    snapshotter = opened(kind, root)
    numbers = _check_whole(snapshotter)
    snapshotter.cleanup()
    assert _check_whole(snapshotter) == numbers
    assert {path.name for path in snapshotter._directory.iterdir()} == numbers
    found = {info.name: info.kind for info in snapshotter.walk()}
    snapshotter.close()
    return found


def _check_whole(snapshotter: Snapshotter) -> set[str]:
    numbers = set()
    for info in snapshotter.walk():
        number = snapshotter._metastore.read(lambda found, key=info.name: found.info(key))[0]  # type: ignore[misc]
        is_copy = isinstance(snapshotter, NativeSnapshotter) and info.parent
        if isinstance(snapshotter, NativeSnapshotter) and info.kind is SnapshotKind.VIEW:
            number = "1"
        data = snapshotter._data(number)
        if is_copy or not info.parent:
            assert {name: (data / name).read_bytes() for name in CONTENT} == CONTENT
        else:
            assert list(data.iterdir()) == []
        if info.kind is not SnapshotKind.COMMITTED:
            assert snapshotter.mounts(info.name)
        assert snapshotter.usage(info.name).size >= 0
        numbers.add(number)
    return numbers


def scenario_prepare(snapshotter: Snapshotter) -> None:
    snapshotter.prepare("new", "layer")


def scenario_view(snapshotter: Snapshotter) -> None:
    snapshotter.view("new", "layer")


def scenario_commit(snapshotter: Snapshotter) -> None:
    snapshotter.commit("new", "active")


def scenario_remove(snapshotter: Snapshotter) -> None:
    snapshotter.remove("active")


BEFORE = {"layer": SnapshotKind.COMMITTED, "active": SnapshotKind.ACTIVE}


@KINDS
@pytest.mark.parametrize(
    ("scenario", "after"),
    [
        (scenario_prepare, BEFORE | {"new": SnapshotKind.ACTIVE}),
        (scenario_view, BEFORE | {"new": SnapshotKind.VIEW}),
        (scenario_commit, {"layer": SnapshotKind.COMMITTED, "new": SnapshotKind.COMMITTED}),
        (scenario_remove, {"layer": SnapshotKind.COMMITTED}),
    ],
    ids=["prepare", "view", "commit", "remove"],
)
def test_killed_at_any_point(
    tmp_path: Path,
    kind: type[Snapshotter],
    scenario: object,
    after: dict[str, SnapshotKind],
) -> None:
    assert callable(scenario)
    begin(kind, tmp_path / "begun")
    root = tmp_path / "root"
    shutil.copytree(tmp_path / "begun", root)

    def run() -> None:
        snapshotter = opened(kind, root)
        scenario(snapshotter)
        snapshotter.close()

    outcomes = []
    for _ in steps(run):
        outcomes.append(check(kind, root))
        shutil.rmtree(root)
        shutil.copytree(tmp_path / "begun", root)
    assert all(outcome in (BEFORE, after) for outcome in outcomes)
    assert outcomes[0] == BEFORE
    assert outcomes[-1] == after
    # Once it is durable it stays: there is one moment, and no way back.
    assert outcomes == sorted(outcomes, key=lambda outcome: outcome == after)


@KINDS
def test_killed_at_any_point_of_the_first_prepare(tmp_path: Path, kind: type[Snapshotter]) -> None:
    root = tmp_path / "root"

    def run() -> None:
        snapshotter = opened(kind, root)
        snapshotter.prepare("key", "")
        snapshotter.close()

    for _ in steps(run):
        snapshotter = opened(kind, root)
        snapshotter.cleanup()
        if not list(snapshotter.walk()):
            snapshotter.prepare("key", "")
        assert [info.name for info in snapshotter.walk()] == ["key"]
        assert snapshotter.usage("key").inodes == 1
        snapshotter.cleanup()
        assert [path.name for path in snapshotter._directory.iterdir()] == ["1"]
        snapshotter.close()
        shutil.rmtree(root)


@KINDS
def test_killed_at_any_point_of_a_cleanup(tmp_path: Path, kind: type[Snapshotter]) -> None:
    root = tmp_path / "root"
    begin(kind, root)
    names = ("77", "new-1", "rm-88", "rm-1")

    def run() -> None:
        snapshotter = opened(kind, root)
        snapshotter.cleanup()
        snapshotter.close()

    for _ in steps(run):
        assert check(kind, root) == BEFORE
        for name in names:
            fill_below = root / "snapshots" / name
            fill_below.mkdir()
            fill(fill_below)
