"""Restoring a lost directory: after a kill at any point the files exist, and it can be repeated."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from orlop.clock import SystemClock
from orlop.errors import AlreadyExistsError, FailedPreconditionError, NotFoundError
from orlop.records import SnapshotKind
from orlop.storage import NativeSnapshotter, OverlaySnapshotter
from storage.killing import steps
from storage.opening import open_for_writing

if TYPE_CHECKING:
    from pathlib import Path

Snapshotter = NativeSnapshotter | OverlaySnapshotter
KINDS = pytest.mark.parametrize("kind", [NativeSnapshotter, OverlaySnapshotter])


def opened(kind: type[Snapshotter], root: Path) -> Snapshotter:
    return kind(root, open_for_writing, clock=SystemClock())


def begin(kind: type[Snapshotter], root: Path, *, only_files: bool = False) -> Path:
    """Make `base`, lose its directory, and make `again`; return where its files were."""
    snapshotter = opened(kind, root)
    snapshotter.prepare("key", "")
    (snapshotter._data("1") / "file").write_bytes(b"first")
    snapshotter.commit("base", "key")
    snapshotter.prepare("child", "base")
    lost = snapshotter._data("1")
    shutil.rmtree(lost if only_files else root / "snapshots" / "1")
    snapshotter.prepare("again", "")
    (snapshotter._data("3") / "file").write_bytes(b"again")
    snapshotter.close()
    return lost


@KINDS
@pytest.mark.parametrize("only_files", [False, True])
def test_killed_at_any_point(tmp_path: Path, kind: type[Snapshotter], *, only_files: bool) -> None:
    root = tmp_path / "root"
    lost = begin(kind, root, only_files=only_files)

    def scenario() -> None:
        snapshotter = opened(kind, root)
        snapshotter.restore("base", "again")
        snapshotter.close()

    deaths = 0
    for _ in steps(scenario):
        deaths += 1
        snapshotter = opened(kind, root)
        assert (snapshotter._data("3") / "file").read_bytes() == b"again", "it stays as it was"
        if snapshotter.fault("base"):
            snapshotter.restore("base", "again")
        with pytest.raises(AlreadyExistsError):
            snapshotter.restore("base", "again")
        assert (lost / "file").read_bytes() == b"again"
        assert snapshotter.stat("base").kind is SnapshotKind.COMMITTED
        assert snapshotter.mounts("again")
        snapshotter.cleanup()
        assert {path.name for path in (root / "snapshots").iterdir()} == {"1", "2", "3"}
        snapshotter.close()
        shutil.rmtree(root)
        begin(kind, root, only_files=only_files)
    assert deaths > 5


@KINDS
@pytest.mark.parametrize("how", ["directory", "files", "emptied", "forgotten"])
def test_what_was_given_can_be_taken_away_again(
    tmp_path: Path, kind: type[Snapshotter], how: str
) -> None:
    lost = begin(kind, tmp_path, only_files=how != "directory")
    snapshotter = opened(kind, tmp_path)
    if how == "emptied":
        lost.mkdir()
    if how == "forgotten":
        snapshotter.remove("child")
        snapshotter.remove("base")

    undo = snapshotter.restore("base", "again", {"containerd.io/snapshot/a": "b"})
    assert snapshotter.fault("base") == ""
    number = snapshotter.numbers()["base"]
    assert (snapshotter._data(number) / "file").read_bytes() == b"again"
    undo()

    assert (snapshotter._data("3") / "file").read_bytes() == b"again"
    if how == "forgotten":
        with pytest.raises(NotFoundError):
            snapshotter.stat("base")
    else:
        assert snapshotter.fault("base") != ""
    snapshotter.cleanup()
    assert len(list((tmp_path / "snapshots").iterdir())) <= 3
    snapshotter.close()


@KINDS
def test_what_cannot_take_the_place_is_refused(tmp_path: Path, kind: type[Snapshotter]) -> None:
    begin(kind, tmp_path)
    snapshotter = opened(kind, tmp_path)
    snapshotter.prepare("whole", "")
    snapshotter.commit("other", "whole")

    with pytest.raises(AlreadyExistsError):
        snapshotter.restore("other", "again")
    for key, active in (("base", "other"), ("child", "again"), ("again", "again")):
        with pytest.raises(FailedPreconditionError):
            snapshotter.restore(key, active)
    with pytest.raises(NotFoundError):
        snapshotter.restore("base", "none")
    with pytest.raises((NotFoundError, FailedPreconditionError)):
        snapshotter.restore("forgotten", "again", parent="none")
    assert set(snapshotter.faults()) == {"base"}
    snapshotter.close()


@KINDS
def test_what_containerd_renamed_too_early_is_put_back(
    tmp_path: Path, kind: type[Snapshotter]
) -> None:
    begin(kind, tmp_path)
    snapshotter = opened(kind, tmp_path)
    (tmp_path / "snapshots" / "rm-1").mkdir()
    data = snapshotter._data("1").relative_to(tmp_path / "snapshots" / "1")
    (tmp_path / "snapshots" / "rm-1" / data).mkdir(exist_ok=True)
    (tmp_path / "snapshots" / "rm-1" / data / "file").write_bytes(b"first")

    with pytest.raises(AlreadyExistsError):
        snapshotter.restore("base", "again")

    assert (snapshotter._data("1") / "file").read_bytes() == b"first"
    assert snapshotter.faults() == {}
    snapshotter.close()
