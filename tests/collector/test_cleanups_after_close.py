"""Once a database is closed its cleanups stop: another process may have locked the root."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import orlop
from collector.making import make_blob
from orlop.clock import SystemClock
from orlop.errors import AbortedError
from orlop.gc import cleanup
from orlop.storage import LocalContent, NativeSnapshotter, OverlaySnapshotter, directories, removal
from safety.roots import CONTENT, NATIVE
from storage.opening import open_for_writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop import Database

PATIENCE_SECONDS = 30
LABELS = {"containerd.io/gc.root": "x"}


class Gate:
    """Blocks the first call of a function, until it is opened."""

    def __init__(self, function: Callable[[Path], None]) -> None:
        self._function = function
        self.is_reached = threading.Event()
        self.is_open = threading.Event()

    def __call__(self, path: Path) -> None:
        if not path.name.startswith("new-") and not self.is_reached.is_set():
            self.is_reached.set()
            assert self.is_open.wait(PATIENCE_SECONDS)
        self._function(path)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Make the deletion of the first directory of a snapshot take long."""
    found = Gate(removal.remove_tree)
    monkeypatch.setattr(directories, "remove_tree", found)
    monkeypatch.setattr(cleanup, "_CLOSING_SECONDS", 0.1)
    return found


def leave_numbers(root: Path, *numbers: str) -> None:
    """Create the directories that a failed update of metadata.db leaves."""
    with orlop.open(root) as database:
        database.namespace("default").snapshots("native").prepare("base", "", LABELS)
    for number in numbers:
        (root / NATIVE / "snapshots" / number / "sub").mkdir(parents=True)


def run_in_thread(database: Database) -> threading.Thread:
    thread = threading.Thread(target=database.gc.run)
    thread.start()
    return thread


def test_a_cleanup_that_is_slow_touches_no_snapshot_that_was_made_after_the_close(
    tmp_path: Path, gate: Gate
) -> None:
    leave_numbers(tmp_path, "2", "3")
    database = orlop.open(tmp_path)
    thread = run_in_thread(database)
    assert gate.is_reached.wait(PATIENCE_SECONDS)
    database.close()
    with orlop.open(tmp_path) as other:
        other.gc.run()
        store = other.namespace("default").snapshots("native")
        mounts = [store.prepare(f"key-{number}", "", LABELS)[0] for number in range(2)]
        for mount in mounts:
            Path(mount.source, "file").write_bytes(b"acknowledged")
            assert Path(mount.source).name in {"2", "3"}
        store.commit("layer", "key-1", LABELS)
        gate.is_open.set()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
        assert not other.gc.run().failures
        assert [Path(one.source, "file").read_bytes() for one in mounts] == [b"acknowledged"] * 2
        assert store.fault("layer") == ""


def test_a_closed_database_ends_a_cleanup_before_its_next_deletion(
    tmp_path: Path, gate: Gate
) -> None:
    leave_numbers(tmp_path, "2", "3", "4")
    database = orlop.open(tmp_path)
    thread = run_in_thread(database)
    assert gate.is_reached.wait(PATIENCE_SECONDS)
    database.close()
    gate.is_open.set()
    thread.join(PATIENCE_SECONDS)
    left = [path.name for path in (tmp_path / NATIVE / "snapshots").iterdir()]
    assert len(left) == 3  # of the four, the deletion of one was under way
    assert "1" in left
    with orlop.open(tmp_path) as again:
        assert not again.gc.run().failures
    assert [path.name for path in (tmp_path / NATIVE / "snapshots").iterdir()] == ["1"]


def test_an_interrupted_run_leaves_no_cleanup_that_goes_on_after_the_close(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_numbers(tmp_path, "2", "3", "4")
    waits = cleanup._Worker.wait
    workers = []

    def interrupted(worker: cleanup._Worker, patience_seconds: float) -> None:
        if worker.name == "native" and worker not in workers:
            workers.append(worker)
            assert gate.is_reached.wait(PATIENCE_SECONDS)
            raise KeyboardInterrupt
        waits(worker, patience_seconds)

    monkeypatch.setattr(cleanup._Worker, "wait", interrupted)
    with orlop.open(tmp_path) as database, pytest.raises(KeyboardInterrupt):
        database.gc.run()
    gate.is_open.set()
    (worker,) = workers
    waits(worker, PATIENCE_SECONDS)
    left = [path.name for path in (tmp_path / NATIVE / "snapshots").iterdir()]
    assert len(left) == 3  # of the four, the deletion of one was under way
    assert "1" in left


@pytest.mark.parametrize("kind", [NativeSnapshotter, OverlaySnapshotter])
def test_a_directory_that_got_a_snapshot_since_it_was_listed_stays(
    tmp_path: Path,
    kind: type[NativeSnapshotter | OverlaySnapshotter],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    snapshotter = kind(tmp_path, open_for_writing, clock=SystemClock())
    for number in range(2):
        snapshotter.prepare(f"key-{number}", "")
    place = tmp_path / "snapshots"
    (place / "7").mkdir()
    stale = sorted(place.iterdir())
    monkeypatch.setattr(snapshotter, "_unnamed", lambda: stale)
    snapshotter.cleanup()
    assert sorted(path.name for path in place.iterdir()) == ["1", "2"]
    snapshotter.close()


@pytest.mark.parametrize("allowed", range(8))
@pytest.mark.parametrize("kind", [NativeSnapshotter, LocalContent])
def test_nothing_is_deleted_once_the_callback_refuses(
    tmp_path: Path, kind: type[NativeSnapshotter | LocalContent], allowed: int
) -> None:
    backend: NativeSnapshotter | LocalContent
    if kind is LocalContent:
        backend = LocalContent(tmp_path, clock=SystemClock())
        for number in range(3):
            with_data = backend.writer(f"ref-{number}")
            with_data.write(b"%d" % number)
            digest = with_data.digest()
            with_data.commit()
            backend.discard(digest)
            (tmp_path / f".rm-{number}" / "sub").mkdir(parents=True)
            (tmp_path / "ingest" / f"{number}").mkdir(parents=True)
    else:
        backend = NativeSnapshotter(tmp_path, open_for_writing, clock=SystemClock())
        backend.prepare("key", "")
        for name in ("new-1", "2", "rm-3"):
            (tmp_path / "snapshots" / name / "sub").mkdir(parents=True)
    entries = []

    def advance() -> None:
        entries.append(sum(1 for _ in tmp_path.rglob("*")))
        if len(entries) > allowed:
            raise AbortedError("closed")

    with pytest.raises(AbortedError):
        backend.cleanup(advance=advance)
    assert sum(1 for _ in tmp_path.rglob("*")) == entries[allowed]
    backend.cleanup()
    if isinstance(backend, NativeSnapshotter):
        assert [path.name for path in (tmp_path / "snapshots").iterdir()] == ["1"]
        backend.close()
    else:
        assert sorted(path.name for path in tmp_path.iterdir()) == ["blobs", "ingest"]


def test_a_batch_of_blobs_that_the_close_interrupts_is_counted_and_journalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = orlop.open(tmp_path)
    ns = database.namespace("default")
    with ns.lease():
        digests = {make_blob(ns, b"%d" % number) for number in range(4)}
    discard = LocalContent.discard

    def stop(content: LocalContent, digest: str) -> None:
        discard(content, digest)
        for worker in database.gc._cleaner._working.values():
            worker.stop()

    monkeypatch.setattr(LocalContent, "discard", stop)
    result = database.gc.run()
    assert (result.deleted, result.freed_bytes) == (1, 1)
    assert database.gc.journal is not None
    (gone,) = [one.key for one in database.gc.journal.entries() if one.event == "deleted"]
    left = {blob.digest for blob in database.content_backend.walk()}
    assert left == digests - {gone}
    monkeypatch.undo()
    assert database.gc.run().deleted == 3
    database.close()
    assert not [path.name for path in (tmp_path / CONTENT).iterdir() if "gone" in path.name]
