"""A part that cannot be closed keeps no other part of the database open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

import orlop
from orlop.bolt import open_engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop import Database


class BrokenError(Exception):
    """The close of a part fails."""


def _closing_of_collector(database: Database) -> tuple[object, str]:
    return database.gc, "close"


def _closing_of_updates(database: Database) -> tuple[object, str]:
    return database._transactions, "end_what_was_left"


def _closing_of_snapshotter(database: Database) -> tuple[object, str]:
    return database.snapshot_backends["native"], "close"


def _closing_of_other_snapshotter(database: Database) -> tuple[object, str]:
    return database.snapshot_backends["overlayfs"], "close"


PARTS: Final = (
    _closing_of_collector,
    _closing_of_updates,
    _closing_of_snapshotter,
    _closing_of_other_snapshotter,
)


def break_after(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[str]:
    """Make a method raise after its work; return a list of its calls."""
    calls: list[str] = []
    close: Callable[[], None] = getattr(owner, name)

    def closes_and_fails() -> None:
        calls.append(name)
        close()
        raise BrokenError(name)

    monkeypatch.setattr(owner, name, closes_and_fails)
    return calls


def used(root: Path) -> Database:
    """Return an open database with all of its parts in use."""
    database = orlop.open(root)
    namespace = database.namespace("testing")
    for snapshotter in ("native", "overlayfs"):
        namespace.snapshots(snapshotter).prepare("key")
    return database


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__.removeprefix("_"))
def test_a_part_that_fails_to_close_leaves_no_lock(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: Callable[[Database], tuple[object, str]],
) -> None:
    database = used(tmp_path)
    metastores = sorted(tmp_path.glob("*/metadata.db"))
    assert len(metastores) == 2
    calls = break_after(monkeypatch, *part(database))

    with pytest.raises(BrokenError):
        database.close()

    assert len(calls) == 1
    with pytest.raises(orlop.FailedPreconditionError):
        database.namespaces.list()
    for file in (database.path, *metastores):
        open_engine(file, timeout=0).close()


def test_all_parts_that_fail_are_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = used(tmp_path)
    calls = [break_after(monkeypatch, *part(database)) for part in PARTS]

    with pytest.raises(BrokenError):
        database.close()

    assert [len(one) for one in calls] == [1] * len(PARTS)
    open_engine(database.path, timeout=0).close()


def test_leases_are_ended_where_a_part_fails_to_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = used(tmp_path)
    lease = database.namespace("testing").leases.create()
    database._environment.end_at_close("testing", lease.id)
    break_after(monkeypatch, *_closing_of_snapshotter(database))

    with pytest.raises(BrokenError):
        database.close()

    with orlop.open(tmp_path) as again:
        assert again.namespace("testing").leases.list() == []


def test_a_close_that_failed_may_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = used(tmp_path)
    with monkeypatch.context() as broken:
        break_after(broken, *_closing_of_updates(database))
        with pytest.raises(BrokenError):
            database.close()

    database.close()
