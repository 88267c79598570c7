"""A commit of a snapshot that ends between the snapshotter's database and `meta.db`.

Whatever ends it, a snapshot with the data can be read afterwards, and collections keep it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.errors import AbortedError, NotFoundError
from orlop.records import SnapshotInfo, SnapshotKind
from orlop.storage.commit_intents import CommitIntents
from orlop.stores.pending_commits import CommitGuard
from storage.killing import steps
from stores.chains import record
from stores.consistency import check_data, check_nothing_unnamed, check_records
from stores.interrupting import ROOTED, copy_of, in_a_fork, store_of

if TYPE_CHECKING:
    from orlop import Database
    from orlop.storage.contract import SnapshotBackend
    from orlop.stores.snapshots import SnapshotStore

WORDS = b"years of work"


@pytest.fixture
def root(tmp_path: Path, snapshotter: str) -> Path:
    """Return a root with a layer, and an active snapshot `work` on it that has a file."""
    root = tmp_path / "root"
    with orlop.open(root, sync=False) as db:
        store = store_of(db, snapshotter)
        store.prepare("base-active")
        store.commit("base", "base-active", ROOTED)
        store.prepare("work", "base", {**ROOTED, "containerd.io/snapshot/mine": "1"})
        data_of(store, "work").write_bytes(WORDS)
    return root


def backend_of(store: SnapshotStore) -> SnapshotBackend:
    assert store.backend is not None
    return store.backend


def data_of(store: SnapshotStore, key: str) -> Path:
    """Return where the file of a snapshot is, which is active or committed."""
    if store.stat(key).kind is SnapshotKind.ACTIVE:
        mount = store.mounts(key)[0]
        options = dict(option.partition("=")[::2] for option in mount.options)
        return Path(options.get("upperdir", mount.source), "thesis.txt")
    name = record(store, key).backend_name
    number = backend_of(store)._metastore.read(lambda one: one.info(name)[0])  # type: ignore[attr-defined]
    return Path(backend_of(store)._data(number), "thesis.txt")  # type: ignore[attr-defined]


def readable(store: SnapshotStore) -> list[str]:
    """Return the snapshots in which the file can be read."""
    return [
        one.name
        for one in store.walk()
        if one.name != "base" and data_of(store, one.name).read_bytes() == WORDS
    ]


def notes(root: Path) -> list[str]:
    return [path.name for path in root.glob("*/.orlop/commits/*")]


def check(root: Path, snapshotter: str) -> str:
    """Check that the data is there through collections; return by which name."""
    with orlop.open(root, sync=False) as db:
        store = store_of(db, snapshotter)
        (name,) = readable(store)
        check_records(db)
        check_data(db)
        for _ in range(2):
            assert not db.gc.run().failures
            assert readable(store) == [name]
        check_nothing_unnamed(db)
        assert notes(root) == []
        if name == "work":
            assert "containerd.io/snapshot/mine" in store.stat(name).labels
            store.commit("done", "work", ROOTED)
            assert readable(store) == ["done"]
    return name


def test_a_process_killed_inside_of_an_update_leaves_the_active_snapshot(
    root: Path, snapshotter: str
) -> None:
    def run() -> None:
        with orlop.open(root, sync=False) as db, db.update():
            store_of(db, snapshotter).commit("done", "work", ROOTED)
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_fork(run) == signal.SIGKILL
    assert check(root, snapshotter) == "work"


def test_who_only_reads_meanwhile_is_told_what_to_do(root: Path, snapshotter: str) -> None:
    def run() -> None:
        with orlop.open(root, sync=False) as db, db.update():
            store_of(db, snapshotter).commit("done", "work", ROOTED)
            os.kill(os.getpid(), signal.SIGKILL)

    in_a_fork(run)
    with orlop.open(root, read_only=True) as db:
        with pytest.raises(NotFoundError, match=r"interrupted.*open the root for writing"):
            store_of(db, snapshotter).mounts("work")
        assert [(one.key, one.bytes) for one in db.gc.plan().nodes] == [
            (f"{snapshotter}/d/4/done", 0)
        ]

    assert check(root, snapshotter) == "work"


def test_a_damaged_note_is_named_and_nothing_is_deleted(root: Path, snapshotter: str) -> None:
    def run() -> None:
        with orlop.open(root, sync=False) as db, db.update():
            store_of(db, snapshotter).commit("done", "work", ROOTED)
            os.kill(os.getpid(), signal.SIGKILL)

    in_a_fork(run)
    (note,) = root.glob("*/.orlop/commits/*")
    note.write_bytes(note.read_bytes()[:-9])
    with orlop.open(root, sync=False) as db:
        assert f"{note} is damaged" in db.gc.run().failures[snapshotter]
        note.unlink()
        assert '"work"' in db.gc.run().failures[snapshotter]

        store_of(db, snapshotter).commit("done", "work", ROOTED)
        assert readable(store_of(db, snapshotter)) == ["done"]


def test_a_process_killed_after_it_went_on_with_the_committed_one(
    root: Path, snapshotter: str
) -> None:
    def run() -> None:
        with orlop.open(root, sync=False) as db, db.update():
            store = store_of(db, snapshotter)
            store.commit("done", "work", ROOTED)
            store.prepare("next", "done", ROOTED)
            store.commit("last", "next", ROOTED)
            store.view("look", "last", ROOTED)
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_fork(run) == signal.SIGKILL
    assert check(root, snapshotter) == "work"


def test_a_process_killed_before_any_call_leaves_one_or_the_other(
    root: Path, snapshotter: str, tmp_path: Path
) -> None:
    seen = []

    def run() -> None:
        with orlop.open(copy, sync=False) as db:
            store_of(db, snapshotter).commit("done", "work", ROOTED)

    copy = copy_of(root, tmp_path / "0")
    for step in steps(run):
        seen.append(check(copy, snapshotter))
        copy = copy_of(root, tmp_path / str(step + 1))

    assert sorted(set(seen)) == ["done", "work"]


@pytest.mark.parametrize("error", [RuntimeError(), KeyboardInterrupt(), NotFoundError("x")])
def test_a_rollback_leaves_the_active_snapshot_at_once(
    root: Path, snapshotter: str, error: BaseException
) -> None:
    with orlop.open(root, sync=False) as db:
        store = store_of(db, snapshotter)
        before = backend_of(store).stat(record(store, "work").backend_name)
        with contextlib.suppress(type(error)), db.update():
            store.commit("done", "work", ROOTED)
            raise error

        assert readable(store) == ["work"]
        assert backend_of(store).stat(before.name) == before, "with its labels and times"
        assert notes(root) == []
        assert db.gc.run().deleted == 0

    assert check(root, snapshotter) == "work"


def test_a_rollback_undoes_all_that_was_made_on_it(root: Path, snapshotter: str) -> None:
    with orlop.open(root, sync=False) as db:
        store = store_of(db, snapshotter)
        with contextlib.suppress(RuntimeError), db.update():
            store.commit("done", "work", ROOTED)
            store.prepare("next", "done", ROOTED)
            store.commit("last", "next", ROOTED)
            store.view("look", "last", ROOTED)
            raise RuntimeError

        assert readable(store) == ["work"]

    assert check(root, snapshotter) == "work"


def test_a_doomed_update_leaves_the_active_snapshot(root: Path, snapshotter: str) -> None:
    with orlop.open(root, sync=False) as db:
        store = store_of(db, snapshotter)

        def fail_half_way() -> None:
            with db.update():
                store.commit("done", "work", ROOTED)
                with contextlib.suppress(ZeroDivisionError), db.update():
                    _ = 1 / 0

        with pytest.raises(AbortedError):
            fail_half_way()

        assert readable(store) == ["work"]

    assert check(root, snapshotter) == "work"


def test_a_commit_on_a_chosen_parent_is_undone_to_stand_on_nothing(tmp_path: Path) -> None:
    with orlop.open(tmp_path / "moved", sync=False) as db:
        store = store_of(db, "overlayfs")  # native cannot rebase
        store.prepare("base-active")
        store.commit("base", "base-active", ROOTED)
        store.prepare("work", "", ROOTED)
        data_of(store, "work").write_bytes(WORDS)
        with contextlib.suppress(RuntimeError), db.update():
            store.commit("done", "work", ROOTED, parent="base")
            raise RuntimeError
        assert (store.stat("work").parent, readable(store)) == ("", ["work"])

        store.remove("base")
        db.gc.run()
        assert [one.name for one in backend_of(store).walk()] == ["d/3/work"]


def test_labels_that_a_rolled_back_update_told_the_backend_are_taken_back(
    root: Path, snapshotter: str
) -> None:
    with orlop.open(root, sync=False) as db:
        store = store_of(db, snapshotter)
        before = store.stat("work")
        with contextlib.suppress(RuntimeError), db.update():
            store.update(
                SnapshotInfo(
                    kind=SnapshotKind.ACTIVE,
                    name="work",
                    labels={"containerd.io/snapshot/other": "2"},
                )
            )
            raise RuntimeError

        assert store.stat("work") == before
        backend = backend_of(store).stat(record(store, "work").backend_name)
        assert backend.labels == {"containerd.io/snapshot/mine": "1"}


def test_a_killed_process_that_went_on_from_nothing_leaves_the_active_snapshot(
    tmp_path: Path, snapshotter: str
) -> None:
    """A child of the committed snapshot is not mistaken for its missing data."""
    root = tmp_path / "young"
    with orlop.open(root, sync=False) as db:
        store = store_of(db, snapshotter)
        store.prepare("work", "", {**ROOTED, "containerd.io/snapshot/mine": "1"})
        data_of(store, "work").write_bytes(WORDS)

    def run() -> None:
        with orlop.open(root, sync=False) as db, db.update():
            store = store_of(db, snapshotter)
            store.commit("done", "work", ROOTED)
            store.prepare("next", "done", ROOTED)
            store.commit("last", "next", ROOTED)
            os.kill(os.getpid(), signal.SIGKILL)

    in_a_fork(run)
    assert check(root, snapshotter) == "work"


def test_an_older_database_undoes_the_commit_and_the_newer_one_does_it_again(
    root: Path, snapshotter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta_db = root / "io.containerd.metadata.v1.bolt" / "meta.db"
    older = tmp_path / "older.db"
    shutil.copyfile(meta_db, older)
    with orlop.open(root, sync=False) as db, monkeypatch.context() as patch:
        patch.setattr(CommitIntents, "delete", lambda *_: None)  # it dies before it
        store_of(db, snapshotter).commit("done", "work", ROOTED)
    newer = tmp_path / "newer.db"
    meta_db.rename(newer)
    shutil.copyfile(older, meta_db)

    with orlop.open(root, sync=False) as db:
        assert readable(store_of(db, snapshotter)) == ["work"]
        db.gc.run()
        assert readable(store_of(db, snapshotter)) == ["work"]
    shutil.copyfile(newer, meta_db)

    with orlop.open(root, sync=False) as db:
        assert readable(store_of(db, snapshotter)) == ["done"]
        db.gc.run()
        assert readable(store_of(db, snapshotter)) == ["done"]


@pytest.mark.parametrize("is_collected", [False, True])
def test_an_older_database_between_a_death_and_its_end_loses_no_note(
    tmp_path: Path, snapshotter: str, *, is_collected: bool
) -> None:
    """A commit is killed, a meta.db from before the snapshot is used, and the newest put back."""
    root = tmp_path / "root"
    metadata = root / "io.containerd.metadata.v1.bolt" / "meta.db"
    with orlop.open(root, sync=False) as db:
        store_of(db, snapshotter).prepare("base", "", ROOTED)
    older = metadata.read_bytes()
    with orlop.open(root, sync=False) as db:
        store = store_of(db, snapshotter)
        store.prepare("work", "", ROOTED)
        data_of(store, "work").write_bytes(WORDS)
    newest = tmp_path / "newest"

    def die(*_: object, **__: object) -> None:
        shutil.copy2(metadata, newest)
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        with orlop.open(root, sync=False) as db, pytest.MonkeyPatch.context() as patch:
            store = store_of(db, snapshotter)
            backend = backend_of(store)
            commit = backend.commit

            def commit_and_die(*given: object, **options: object) -> None:
                commit(*given, **options)  # type: ignore[arg-type]
                die()

            patch.setattr(type(backend), "commit", lambda _, *a, **o: commit_and_die(*a, **o))
            store.commit("done", "work", ROOTED)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    replace(metadata, older)
    for _ in range(2):
        with orlop.open(root, sync=False) as db:
            if is_collected:
                db.gc.run(confirmed=True)
    replace(metadata, newest.read_bytes())

    with orlop.open(root, sync=False) as db:
        store = store_of(db, snapshotter)
        assert data_of(store, "work").read_bytes() == WORDS
        store.commit("done", "work", ROOTED)
        assert "done" in readable(store)
        db.gc.run(release=True)
    with orlop.open(root, sync=False) as db:
        db.gc.run()
        assert readable(store_of(db, snapshotter)) == ["done"]
        assert not list(
            (root / f"io.containerd.snapshotter.v1.{snapshotter}").glob(".orlop/commits/*")
        )


def replace(path: Path, data: bytes) -> None:
    path.with_suffix(".new").write_bytes(data)
    path.with_suffix(".new").rename(path)


def roll_back_a_commit(db: Database, store: SnapshotStore) -> None:
    with db.update():
        store.commit("done", "work", ROOTED)
        raise ValueError


def test_an_interrupt_that_ends_the_rollback_too_leaves_a_handle_that_goes_on(
    root: Path, snapshotter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: CommitGuard) -> None:
        raise KeyboardInterrupt

    with orlop.open(root, sync=False) as db:
        store = store_of(db, snapshotter)
        with monkeypatch.context() as patched:
            patched.setattr(CommitGuard, "agree", interrupt)
            with pytest.raises(KeyboardInterrupt):
                roll_back_a_commit(db, store)
        assert store.stat("work").kind is SnapshotKind.ACTIVE
        assert data_of(store, "work").read_bytes() == WORDS
        assert sorted(one.name for one in store.walk()) == ["base", "work"]
        assert store.fault("work") == ""
    assert check(root, snapshotter) == "work"
