"""The files of a lost snapshot are copied before the update that names them: writers go on."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.errors import ConflictError, NotFoundError
from orlop.storage import copying
from orlop.storage import restoring as backends
from orlop.storage.snapshotter import DirectorySnapshotter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orlop import Database
    from orlop.namespace import Namespace

KINDS = ["native", "overlayfs"]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with orlop.open(tmp_path / "root") as db:
        yield db


def directories(db: Database, kind: str) -> Path:
    assert db.root is not None
    return db.root / f"io.containerd.snapshotter.v1.{kind}" / "snapshots"


def lose(db: Database, kind: str) -> Namespace:
    """Make a committed snapshot that has lost its directory, and an active one to restore it."""
    namespace = db.namespace("default")
    namespace.leases.create("hold")
    with namespace.using_lease("hold"):
        snapshots = namespace.snapshots(kind)
        snapshots.prepare("first")
        snapshots.commit("layer", "first")
        snapshots.prepare("again")
    shutil.rmtree(directories(db, kind) / "1")
    data = directories(db, kind) / "2" / ("fs" if kind == "overlayfs" else "")
    (data / "file").write_text("restored")
    return namespace


@pytest.mark.parametrize("kind", KINDS)
def test_other_writers_go_on_while_files_are_copied(
    db: Database, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    namespace = lose(db, kind)
    begun, go_on = threading.Event(), threading.Event()
    copy_tree = copying.copy_tree

    def slow(source: Path, target: Path) -> None:
        begun.set()
        assert go_on.wait(60)
        copy_tree(source, target)

    monkeypatch.setattr(backends, "copy_tree", slow)
    worker = threading.Thread(target=namespace.snapshots(kind).commit, args=("layer", "again"))
    worker.start()
    try:
        assert begun.wait(60)
        written = threading.Thread(target=namespace.leases.create, args=("meanwhile",))
        written.start()
        written.join(20)
        assert not written.is_alive()
        assert worker.is_alive()
    finally:
        go_on.set()
        worker.join(60)
    written.join(60)

    assert namespace.snapshots(kind).fault("layer") == ""
    with pytest.raises(NotFoundError):
        namespace.snapshots(kind).stat("again")
    data = directories(db, kind) / "1" / ("fs" if kind == "overlayfs" else "")
    assert (data / "file").read_text() == "restored"
    assert db.gc.run().failures == {}
    assert [path.name for path in directories(db, kind).iterdir()] == ["1"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_of_a_snapshot_that_was_made_again_is_not_used(
    db: Database, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    namespace = lose(db, kind)
    snapshots = namespace.snapshots(kind)
    copy_tree = copying.copy_tree

    def overtaken(source: Path, target: Path) -> None:
        copy_tree(source, target)
        monkeypatch.undo()
        snapshots.remove("again")
        db.gc.run()

    monkeypatch.setattr(backends, "copy_tree", overtaken)
    with pytest.raises(NotFoundError):
        snapshots.commit("layer", "again")

    assert "is missing" in snapshots.fault("layer")
    db.gc.run()
    assert list(directories(db, kind).iterdir()) == []


def test_a_copy_of_another_number_is_refused(db: Database) -> None:
    lose(db, "native")
    backend = db.snapshot_backends["native"]
    assert isinstance(backend, DirectorySnapshotter)
    (lost, active) = sorted(
        (info.name for info in backend.walk()), key=lambda name: "again" in name
    )
    with backend.copy_files(active) as copy:
        other = copy._replace(source="9")
        with pytest.raises(ConflictError, match="made again"):
            backend.restore(lost, active, copy=other)


@pytest.mark.parametrize("kind", KINDS)
def test_a_commit_within_an_update_restores_as_well(db: Database, kind: str) -> None:
    namespace = lose(db, kind)
    with db.update():
        namespace.snapshots(kind).commit("layer", "again")
    assert namespace.snapshots(kind).fault("layer") == ""
