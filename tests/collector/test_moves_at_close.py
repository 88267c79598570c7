"""A move that hangs in the system when the database is closed is waited for.

Else it could end when another handle has made data of the same name, and would take that.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import orlop
from collector.making import make_blob
from orlop.gc import cleanup
from safety.roots import CONTENT, NATIVE

if TYPE_CHECKING:
    from pathlib import Path

    from orlop import Database, Namespace

PATIENCE_SECONDS = 30
ROOTED = {"containerd.io/gc.root": "1"}
DATA = b"the same data"


class HangingRename:
    """`os.rename`, of which the first that moves garbage away hangs until it may go on."""

    def __init__(self) -> None:
        self._rename = os.rename
        self.is_reached = threading.Event()
        self.may_go_on = threading.Event()
        self.has_ended = threading.Event()

    def __call__(self, source: Any, target: Any, **options: Any) -> None:
        is_garbage = threading.current_thread() is not threading.main_thread()
        if not is_garbage or self.is_reached.is_set():
            self._rename(source, target, **options)
            return
        self.is_reached.set()
        assert self.may_go_on.wait(PATIENCE_SECONDS)
        self._rename(source, target, **options)
        self.has_ended.set()


@pytest.fixture
def rename(monkeypatch: pytest.MonkeyPatch) -> HangingRename:
    hanging = HangingRename()
    monkeypatch.setattr(os, "rename", hanging)
    monkeypatch.setattr(cleanup, "_CLOSING_SECONDS", 0.05)
    return hanging


def leave_blob(ns: Namespace) -> None:
    make_blob(ns, DATA)


def leave_ingest(ns: Namespace) -> None:
    """Leave an ingest that was opened in an update that was rolled back."""
    with contextlib.suppress(ZeroDivisionError), ns.environment.transactions.update():
        with ns.content.writer("ref") as writer:
            writer.write(DATA)
        raise ZeroDivisionError


def closed_while_moving(database: Database, rename: HangingRename) -> bool:
    """Close a database while a move of its cleanup hangs; return whether that was waited for."""
    collecting = threading.Thread(target=database.gc.run)
    collecting.start()
    assert rename.is_reached.wait(PATIENCE_SECONDS)
    at_close = []

    def close() -> None:
        database.close()
        at_close.append(rename.has_ended.is_set())

    closing = threading.Thread(target=close)
    closing.start()
    closing.join(0.5)
    was_waiting = closing.is_alive()
    rename.may_go_on.set()
    for thread in (closing, collecting):
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    return was_waiting and at_close == [True]


@pytest.mark.parametrize("leave", [leave_blob, leave_ingest])
def test_the_close_waits_for_a_move_of_content(
    tmp_path: Path, rename: HangingRename, leave: Any
) -> None:
    database = orlop.open(tmp_path)
    leave(database.namespace("default"))
    assert closed_while_moving(database, rename)
    with orlop.open(tmp_path) as again:
        make_blob(again.namespace("default"), DATA, ROOTED)
        assert not again.gc.run().failures
        assert again.namespace("default").content.fault(_digest(again)) == ""
    assert not [one.name for one in (tmp_path / CONTENT).iterdir() if ".gone" in one.name]


def _digest(database: Database) -> str:
    (info,) = database.namespace("default").content.walk()
    return info.digest


@pytest.mark.parametrize("left", ["snapshot", "directory"])
def test_the_close_waits_for_a_move_of_a_snapshot(
    tmp_path: Path, rename: HangingRename, left: str
) -> None:
    database = orlop.open(tmp_path)
    store = database.namespace("default").snapshots("native")
    store.prepare("kept", labels=ROOTED)
    if left == "snapshot":
        store.prepare("garbage")
    else:
        (tmp_path / NATIVE / "snapshots" / "7" / "sub").mkdir(parents=True)
    assert closed_while_moving(database, rename)
    with orlop.open(tmp_path) as again:
        assert not again.gc.run().failures
        assert [one.name for one in (tmp_path / NATIVE / "snapshots").iterdir()] == ["1"]


def test_the_deletion_of_what_was_moved_away_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "_CLOSING_SECONDS", 0.05)
    may_go_on, is_reached = threading.Event(), threading.Event()
    database = orlop.open(tmp_path)
    backend: Any = database.snapshot_backends["native"]
    database.namespace("default").snapshots("native").prepare("garbage")
    delete = backend._directories.delete

    def hang(path: Path) -> None:
        is_reached.set()
        assert may_go_on.wait(PATIENCE_SECONDS)
        delete(path)

    monkeypatch.setattr(backend._directories, "delete", hang)
    collecting = threading.Thread(target=database.gc.run)
    collecting.start()
    assert is_reached.wait(PATIENCE_SECONDS)
    begun = time.monotonic()
    database.close()
    assert time.monotonic() - begun < PATIENCE_SECONDS / 2
    assert collecting.is_alive()
    may_go_on.set()
    collecting.join(PATIENCE_SECONDS)


def test_a_cleanup_that_was_stopped_begins_no_move() -> None:
    steps = cleanup.Steps()
    steps.stop()
    with pytest.raises(orlop.OrlopError), steps.moving():
        pytest.fail("it was stopped")
    assert not steps.is_moving
