"""A backend that fails or hangs does not stop other cleanups, and is retried, also after a kill."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING

import pytest

import orlop
from collector.making import (
    blobs_on_disk,
    ingests_on_disk,
    make_blob,
    make_snapshot,
    snapshots_on_disk,
)
from collector.settable import SettableClock
from orlop.errors import UnavailableError
from orlop.gc.cleanup import BackendCleaner
from orlop.gc.dirty_backends import DirtyBackends
from safety.trusting import trust_copy
from storage.killing import steps
from stores.consistency import check_data, check_nothing_unnamed, check_records

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from orlop import Database

ROOT = {"containerd.io/gc.root": "x"}
SECONDS = 30


def failing(error: BaseException) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise error

    return fail


@pytest.mark.parametrize("error", [OSError("the disk is broken"), UnavailableError("it is held")])
@pytest.mark.parametrize("method", ["discard", "cleanup", "walk"])
def test_a_backend_that_fails_does_not_stop_the_others(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception, method: str
) -> None:
    ns = database.namespace("default")
    make_blob(ns, b"garbage")
    make_snapshot(ns, "garbage")
    with monkeypatch.context() as patch:
        patch.setattr(database.content_backend, method, failing(error))
        statistics = database.gc.run()
    assert statistics.failures == {"content": str(error)}
    assert statistics.removed == {"content": 1, "snapshot": 1}
    assert len(blobs_on_disk(database)) == (method != "cleanup")
    assert snapshots_on_disk(database) == set()
    # It stays dirty until its cleanup succeeds.
    statistics = database.gc.run()
    assert (statistics.removed, statistics.failures) == ({}, {})
    assert statistics.deleted == (method != "cleanup")
    assert statistics.content_nanoseconds > 0
    assert blobs_on_disk(database) == {}
    assert files_of_content(database) == []


@pytest.mark.parametrize("method", ["discard", "cleanup", "walk"])
def test_an_interrupt_in_a_backend_ends_the_run_when_the_others_are_clean(
    database: Database, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    ns = database.namespace("default")
    make_blob(ns, b"garbage")
    make_snapshot(ns, "garbage")
    with monkeypatch.context() as patch:
        patch.setattr(database.content_backend, method, failing(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            database.gc.run()
    assert snapshots_on_disk(database) == set()
    assert database.gc.run().failures == {}
    assert blobs_on_disk(database) == {}


class _UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("there are no words for it")


@pytest.mark.parametrize("error", [ValueError(), StopIteration(), _UnspeakableError()])
@pytest.mark.parametrize("method", ["discard", "cleanup", "walk", "statuses"])
def test_no_exception_of_a_backend_comes_out(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception, method: str
) -> None:
    ns = database.namespace("default")
    make_blob(ns, b"garbage")
    make_snapshot(ns, "garbage")
    with monkeypatch.context() as patch:
        patch.setattr(database.content_backend, method, failing(error))
        assert "content" in database.gc.run().failures
        if method in {"walk", "statuses"}:
            assert "content" in database.gc.plan().failures
    assert snapshots_on_disk(database) == set()
    assert database.gc.run().failures == {}
    assert blobs_on_disk(database) == {}


def files_of_content(database: Database) -> list[str]:
    assert database.root is not None
    folder = database.root / "io.containerd.content.v1.content"
    found = (path.name for path in folder.rglob("*") if not path.is_dir())
    return sorted(name for name in found if name != "witness.json")


@pytest.mark.parametrize("method", ["discard", "cleanup"])
def test_a_snapshotter_that_fails_is_tried_again_also_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    with orlop.open(tmp_path / "root") as database:
        make_snapshot(database.namespace("default"), "garbage")
        with monkeypatch.context() as patch:
            backend = database.snapshot_backends["native"]
            patch.setattr(backend, method, failing(OSError("no")))
            assert database.gc.run().failures == {"native": "no"}
            assert database.gc.run().failures == {"native": "no"}
        folder = tmp_path / "root" / "io.containerd.snapshotter.v1.native" / "snapshots"
        assert len(list(folder.iterdir())) == 1
    with orlop.open(tmp_path / "root") as database:
        statistics = database.gc.run()
        assert (statistics.failures, statistics.deleted) == ({}, 1)
        assert list(folder.iterdir()) == []


def test_a_backend_that_hangs_does_not_stop_the_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ns = database.namespace("default")
    make_snapshot(ns, "garbage")
    make_blob(ns, b"garbage")
    backend = database.snapshot_backends["native"]
    discard, may_go_on = backend.discard, threading.Event()

    def hang(keys: Sequence[str]) -> list[str]:
        may_go_on.wait(SECONDS)
        return discard(keys)

    dirt = database.gc._dirty
    cleaner = BackendCleaner(database.gc._context, dirt, patience_seconds=1)
    monkeypatch.setattr(backend, "discard", hang)
    monkeypatch.setattr(database.gc._runner, "_cleaner", cleaner)
    statistics = database.gc.run()
    assert list(statistics.failures) == ["native"]
    assert "does not answer" in statistics.failures["native"]
    assert (statistics.deleted, blobs_on_disk(database)) == (1, {})
    # It is not begun twice, and the others go on.
    make_blob(ns, b"more garbage")
    statistics = database.gc.run()
    assert statistics.failures == {"native": "an earlier cleanup of it still goes on"}
    assert blobs_on_disk(database) == {}
    may_go_on.set()
    cleaner.close()
    assert snapshots_on_disk(database) == set()
    assert "native" in dirt.names()


def test_a_backend_that_makes_progress_is_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ns = database.namespace("default")
    for number in range(6):
        make_snapshot(ns, f"garbage-{number}")
    backend, done = database.snapshot_backends["native"], threading.Event()
    discard = backend.discard

    def slow(keys: Sequence[str]) -> list[str]:
        done.wait(0.3)
        return discard(keys)

    monkeypatch.setattr("orlop.gc.cleanup._AT_ONCE", 1)
    monkeypatch.setattr(backend, "discard", slow)
    cleaner = BackendCleaner(database.gc._context, DirtyBackends(["native"]), patience_seconds=1)
    monkeypatch.setattr(database.gc._runner, "_cleaner", cleaner)
    statistics = database.gc.run()
    assert (statistics.deleted, statistics.failures) == (6, {})


def test_any_exception_of_a_backend_is_contained(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_blob(database.namespace("default"), b"garbage")
    with monkeypatch.context() as patch:
        patch.setattr(database.content_backend, "discard", failing(ZeroDivisionError()))
        assert "ZeroDivisionError" in database.gc.run().failures["content"]
    assert database.gc.run().deleted == 1


def test_a_cleanup_ends_when_the_database_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orlop.gc.cleanup._AT_ONCE", 1)
    with orlop.open(tmp_path / "root") as database:
        ns = database.namespace("default")
        for number in range(20):
            make_blob(ns, b"%d" % number)
        backend = database.content_backend
        discard, reached, may_go_on = backend.discard, threading.Event(), threading.Event()

        def slow(digest: str) -> None:
            reached.set()
            assert may_go_on.wait(SECONDS)
            discard(digest)

        monkeypatch.setattr(backend, "discard", slow)
        collecting = threading.Thread(target=database.gc.run)
        collecting.start()
        assert reached.wait(SECONDS)
        closing = threading.Thread(target=database.close)
        closing.start()
        may_go_on.set()
        closing.join(SECONDS)
        collecting.join(SECONDS)
    with orlop.open(tmp_path / "root") as database:
        assert 0 < len(blobs_on_disk(database)) < 20
        database.gc.run()
        assert blobs_on_disk(database) == {}


def fill(root: Path) -> None:
    with orlop.open(root, clock=SettableClock(), sync=False) as database:
        ns = database.namespace("default")
        parent = ""
        for name in ("kept", "gone-1", "gone-2"):
            labels = ROOT if name == "kept" else None
            make_blob(ns, name.encode(), labels)
            parent = make_snapshot(ns, name, parent, labels)
        left = database.content_backend.writer("default/7/left")
        left.write(b"left")
        left.close()
        database.snapshot_backends["overlayfs"].prepare("nobody/1/left", "")


def test_killed_at_any_step_of_a_collection(tmp_path: Path) -> None:
    fill(tmp_path / "filled")
    root = tmp_path / "root"
    shutil.copytree(tmp_path / "filled", root)
    trust_copy(root)

    def collect() -> None:
        with orlop.open(root, clock=SettableClock(), sync=False) as database:
            assert database.gc.run().failures == {}

    for _ in steps(collect):
        with orlop.open(root, clock=SettableClock(), sync=False) as database:
            check_records(database)
            check_data(database)
            assert database.gc.run().failures == {}
            check_records(database)
            check_data(database)
            check_nothing_unnamed(database)
            assert [len(blobs_on_disk(database)), len(snapshots_on_disk(database))] == [1, 1]
            assert ingests_on_disk(database) == set()
            assert len(files_of_content(database)) == 1
        for name, count in (("native", 1), ("overlayfs", 0)):
            folder = root / f"io.containerd.snapshotter.v1.{name}" / "snapshots"
            assert len(list(folder.iterdir())) == count
        shutil.rmtree(root)
        shutil.copytree(tmp_path / "filled", root)
        trust_copy(root)
