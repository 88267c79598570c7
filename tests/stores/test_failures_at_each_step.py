"""State after a process dies, or a backend fails, at any step of a store's method.

Records never contradict each other. Their data exists, except data that the interrupted call
was about to replace; and that call can be repeated, or its record deleted. Unnamed data is
deleted by the next collection.
"""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Any

import pytest

import orlop
from orlop.errors import NotFoundError, OrlopError, UnavailableError
from safety.trusting import trust_copy
from stores.blobs import DATA, digest_of
from stores.consistency import check_data, check_nothing_unnamed, check_records
from stores.dying import states
from stores.steps_of_stores import (
    COLLECTION,
    CONTENT_STEPS,
    DIGEST,
    LEASE,
    SNAPSHOT_STEPS,
    Step,
    begin,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop import Database

SNAPSHOTTERS = ("native", "overlayfs")
CASES = [
    *((step, one) for step in SNAPSHOT_STEPS for one in SNAPSHOTTERS),
    *((step, "content") for step in CONTENT_STEPS),
]


def cases(*steps_: tuple[Step, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("step", "snapshotter"), steps_, ids=[f"{one}-{step.name}" for step, one in steps_]
    )


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    with orlop.open(tmp_path / "begun", sync=False) as db:
        begin(db)
    return tmp_path / "begun"


def leased(db: Database, step: Step, snapshotter: str) -> None:
    with db.namespace("testing").using_lease(LEASE):
        step.run(db, snapshotter)


def check(db: Database, step: Step, snapshotter: str) -> None:
    """Check, collect and check again; then repeat the interrupted call to its end."""
    check_records(db)
    check_data(db, lost=step.lost)
    with contextlib.suppress(OrlopError):
        # A second attempt goes through, or says that the first one did.
        leased(db, step, snapshotter)
    check_records(db)
    check_data(db)
    db.gc.run()
    check_records(db)
    check_data(db)
    check_nothing_unnamed(db)


@cases(*CASES, (COLLECTION, "all"))
def test_a_process_that_dies(tmp_path: Path, begun: Path, step: Step, snapshotter: str) -> None:
    root = tmp_path / "root"
    shutil.copytree(begun, root)
    trust_copy(root)

    def run() -> None:
        with orlop.open(root, sync=False) as db:
            leased(db, step, snapshotter)

    seen = 0
    for left in states(run, root, tmp_path / "states"):
        seen += 1
        with orlop.open(_copy(left, tmp_path / "after"), sync=False) as db:
            check(db, step, snapshotter)
        with orlop.open(left, sync=False) as db:
            check_records(db)
            check_data(db, lost=step.lost)
            db.gc.run()
            check_records(db)
            check_data(db, lost=step.lost)
            check_nothing_unnamed(db)
    assert seen > 1  # before and after


def _copy(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
    trust_copy(target)
    return target


class Failure:
    """Makes a method fail before or after its work."""

    def __init__(self, error: BaseException, *, is_late: bool) -> None:
        self._error = error
        self._is_late = is_late

    def of(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def failing(*arguments: Any, **options: Any) -> Any:
            if self._is_late:
                result = method(*arguments, **options)
                if hasattr(result, "close"):
                    result.close()
            raise self._error

        return failing

    def install(
        self, patch: pytest.MonkeyPatch, db: Database, step: Step, snapshotter: str
    ) -> None:
        if step in SNAPSHOT_STEPS:
            backend: object = db.snapshot_backends[snapshotter]
        elif step.backend in {"writer", "abort"}:
            backend = db.content_backend
        else:
            backend = type(_writer_of(db))
        patch.setattr(backend, step.backend, self.of(getattr(backend, step.backend)))


def _writer_of(db: Database) -> object:
    writer = db.content_backend.writer("testing/1/ref")
    writer.close()
    return writer


@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "error",
    [UnavailableError("busy"), OSError("broken"), KeyboardInterrupt()],
    ids=["typed", "system", "interrupt"],
)
@cases(*(case for case in CASES if case[0].backend))
def test_a_backend_that_fails(
    begun: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: Step,
    snapshotter: str,
    error: BaseException,
    *,
    is_late: bool,
) -> None:
    with orlop.open(begun, sync=False) as db:
        with monkeypatch.context() as patch:
            Failure(error, is_late=is_late).install(patch, db, step, snapshotter)
            with pytest.raises(type(error)):
                leased(db, step, snapshotter)
        check(db, step, snapshotter)


@pytest.mark.parametrize("snapshotter", SNAPSHOTTERS)
def test_a_commit_that_only_the_backend_has_and_did_not_note_can_be_done_again(
    begun: Path, snapshotter: str
) -> None:
    with orlop.open(begun, sync=False) as db:
        store = db.namespace("testing").snapshots(snapshotter)
        assert store.backend is not None
        store.backend.commit(
            "testing/4/new", "testing/3/active", {"containerd.io/snapshot.ref": "the first time"}
        )
        with pytest.raises(NotFoundError):
            store.mounts("active")
        ref = {"containerd.io/snapshot.ref": "the second time"}

        store.commit("new", "active", ref)

        assert store.stat("new").labels == ref
        assert store.backend.stat("testing/4/new").labels == ref
        assert [one.name for one in store.walk()] == ["base", "new"]


@pytest.mark.parametrize("snapshotter", SNAPSHOTTERS)
def test_a_commit_is_not_done_with_what_another_key_left(begun: Path, snapshotter: str) -> None:
    with orlop.open(begun, sync=False) as db:
        store = db.namespace("testing").snapshots(snapshotter)
        store.prepare("other", "base")
        with contextlib.suppress(ZeroDivisionError), db.update():
            store.commit("new", "other")
            _ = 1 / 0
        assert store.backend is not None
        store.backend.remove("testing/3/active")

        with pytest.raises(NotFoundError):
            store.commit("new", "active")  # it stands on nothing, what was left stands on base


@pytest.mark.parametrize("snapshotter", SNAPSHOTTERS)
def test_what_a_rollback_left_does_not_stand_in_the_way(begun: Path, snapshotter: str) -> None:
    with orlop.open(begun, sync=False) as db:
        store = db.namespace("testing").snapshots(snapshotter)
        with contextlib.suppress(ZeroDivisionError), db.update():
            store.prepare("key", "base")
            store.commit("new", "key")
            store.prepare("key", "base")
            _ = 1 / 0

        store.prepare("key", "base")
        store.commit("new", "active")

        assert [(one.name, one.parent) for one in store.walk()] == [
            ("base", ""),
            ("key", "base"),
            ("new", ""),
        ]


def test_an_ingest_whose_data_is_gone_can_be_aborted(begun: Path) -> None:
    with orlop.open(begun, sync=False) as db:
        ns = db.namespace("testing")
        db.content_backend.abort("testing/1/ref")

        with ns.using_lease(LEASE):
            ns.content.abort("ref")

        with pytest.raises(NotFoundError):
            ns.content.status("ref")
        assert [one.type for one in ns.leases.resources(LEASE)].count("ingests") == 0


def test_the_steps_are_about_what_they_say(begun: Path) -> None:
    for step, snapshotter in CASES:
        with orlop.open(_copy(begun, begun.parent / "root"), sync=False) as db:
            leased(db, step, snapshotter)
            check_data(db)
    assert digest_of(DATA) == DIGEST
