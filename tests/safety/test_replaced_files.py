"""If any files of a root are replaced, no data that any version named is deleted."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from whenever import Instant

import orlop
from orlop.errors import OrlopError
from safety.roots import NATIVE, PARTS, add, check_named, is_there, put

if TYPE_CHECKING:
    from pathlib import Path

WAYS = ("merge", "merge -a", "rename", "rename -a")
ENDS = ("clean", "kill", "power loss", "daemon", "open handle")
STATES = ("older", "empty", "missing", "another", "newer")


class Clock:
    def __init__(self, year: int) -> None:
        self.year = year

    def now(self) -> Instant:
        return Instant.from_utc(self.year, 6, 1)


class Cell:
    """A root with files of one part that are about to be replaced."""

    def __init__(self, folder: Path, state: str) -> None:
        self.folder, self.root, self.state = folder, folder / "root", state
        with orlop.open(self.root, sync=False) as database:
            add(database, "first")
        self.old = self.keep("old")
        with orlop.open(folder / "other", sync=False) as database:
            add(database, "stranger")
        with orlop.open(self.root, sync=False) as database:
            add(database, "second")
            database.gc.run()
        self.new = self.keep("new")
        if state == "newer":
            # What is in use is the older state, whose data is all there; then the newer comes back.
            self.root.rename(folder / "aside")
            shutil.copytree(self.old, self.root, symlinks=True)
            shutil.copytree(folder / "aside", self.root, dirs_exist_ok=True, ignore=databases)
            with orlop.open(self.root, sync=False) as database:
                database.gc.run(release=False, confirmed=True)

    def keep(self, name: str) -> Path:
        shutil.copytree(self.root, self.folder / name, symlinks=True)
        return self.folder / name

    def tamper(self, part: str, way: str) -> None:
        if self.state in ("empty", "missing"):
            for name in PARTS[part]:
                path = self.root / name
                for file in sorted(path.rglob("*.db")) if path.is_dir() else [path]:
                    if self.state == "missing":
                        file.unlink(missing_ok=True)
                    else:
                        os.truncate(file, 0)
            return
        source = {"older": self.old, "newer": self.new, "another": self.folder / "other"}
        put(source[self.state], self.root, part, way)

    def collect(self) -> None:
        """Collect in all ways that need no person's word; refusals are fine."""
        for year in (2026, 2027, 1970, 2030):
            try:
                with orlop.open(self.root, clock=Clock(year), sync=False) as database:
                    for _ in range(2):
                        database.gc.run(confirmed=True)
            except OrlopError:
                continue

    def check(self) -> None:
        missing = [one for name in ("first", "second") for one in is_there(self.root, name)]
        assert missing == []
        put(self.new, self.root, "root", "merge")
        self.collect()
        check_named(self.root, ("first", "second"))


def databases(_: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(".db") or name in ("orlop", ".orlop")]


def in_a_process(function: object, *, kill: bool) -> None:
    child = os.fork()
    if child == 0:
        function()  # type: ignore[operator]
        os.kill(os.getpid(), signal.SIGKILL if kill else signal.SIGTERM)
    os.waitpid(child, 0)


def end_session(cell: Cell, end: str, monkeypatch: pytest.MonkeyPatch) -> orlop.Database | None:
    if end == "open handle":
        return orlop.open(cell.root, sync=False)
    if end == "daemon":
        from orlop.bolt import open_engine  # noqa: PLC0415 -- writes as a daemon: without notes

        engine = open_engine(cell.root / "io.containerd.metadata.v1.bolt/meta.db")
        with engine.begin(writable=True) as transaction:
            schema = transaction.root.bucket(b"v1")
            assert schema is not None
            schema.put(b"version", schema.get(b"version") or b"")
        engine.close()
    elif end in ("kill", "power loss"):

        def work() -> None:
            database = orlop.open(cell.root, sync=False)
            database.namespace("default").leases.create("late", expires=timedelta(hours=1))

        in_a_process(work, kill=True)
    if end == "power loss":
        boot = cell.folder / "boot_id"
        boot.write_text("another\n")
        monkeypatch.setattr("orlop.safety.shutdown_marker._BOOT_ID", boot)
    return None


def cells() -> list[tuple[str, str, str, str]]:
    """Return every cell; emptied and removed files need only one way each."""
    return [
        (part, state, way, end)
        for part in PARTS
        for state in STATES
        for way in (WAYS if state not in ("empty", "missing") else WAYS[:1])
        for end in ENDS
    ]


def chosen() -> list[tuple[str, str, str, str]]:
    """Return all cells in a campaign, else some of them."""
    return cells() if os.environ.get("ORLOP_CAMPAIGN") else cells()[::11]


@pytest.mark.parametrize(("part", "state", "way", "end"), chosen())
def test_nothing_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, state: str, way: str, end: str
) -> None:
    cell = Cell(tmp_path, state)
    handle = end_session(cell, end, monkeypatch)
    cell.tamper(part, way)
    if handle is not None:
        for _ in range(2):
            try:
                handle.gc.run(confirmed=True)
            except OrlopError:
                continue
        with contextlib.suppress(OrlopError):
            handle.close()
    cell.collect()
    cell.check()


@pytest.mark.parametrize("keeps_witness", [True, False])
def test_a_snapshotter_put_in_place_before_its_first_use_is_set_aside(
    tmp_path: Path, *, keeps_witness: bool
) -> None:
    other, root = tmp_path / "other" / NATIVE, tmp_path / "root"
    with orlop.open(tmp_path / "other", sync=False) as database:
        add(database, "stranger")
    if not keeps_witness:
        shutil.rmtree(other / ".orlop")
    with orlop.open(root, sync=False) as database:
        shutil.rmtree(root / NATIVE)
        other.rename(root / NATIVE)
        database.gc.run(confirmed=True)
        assert database.gc.run(confirmed=True).deleted == 0
    with orlop.open(root, sync=False) as database:
        assert database.gc.run(confirmed=True).set_aside
    assert list((root / NATIVE / "snapshots").rglob("file-stranger"))
