"""An opening that is killed at any step leaves the doubt that it found, and makes none."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any, Final

import pytest

import orlop
from orlop.safety.shutdown_marker import MARKER
from safety.roots import METADATA, NATIVE, add, check_named, copy, is_there
from storage.killing import steps

if TYPE_CHECKING:
    from pathlib import Path

META_DB = f"{METADATA}/meta.db"
METADATA_DB = f"{NATIVE}/metadata.db"


def set_back(kept: Path, root: Path, what: str) -> None:
    """Put a root into a state that is in doubt."""
    if what == "older":
        copy(kept / META_DB, root / META_DB, keeps_times=True)
    elif what == "older metadata.db":
        copy(kept / METADATA_DB, root / METADATA_DB, keeps_times=True)
    elif what == "older directory":
        shutil.rmtree(root / METADATA)
        shutil.copytree(kept / METADATA, root / METADATA)
    elif what == "power loss":
        marker = root / METADATA / "orlop" / MARKER
        marker.write_text(marker.read_text().replace('"boot": ""', '"boot": "another"'))
        copy(kept / META_DB, root / META_DB, keeps_times=True)
    elif what == "anew":
        (root / META_DB).unlink()


def make(root: Path, kept: Path) -> None:
    with orlop.open(root, sync=False) as database:
        add(database, "first")
    shutil.copytree(root, kept, symlinks=True)
    with orlop.open(root, sync=False) as database:
        add(database, "second")


EVERY: Final = 1 if os.environ.get("ORLOP_CAMPAIGN") else 3
"""One of so many steps is looked at."""

DOUBTFUL = ("older", "older metadata.db", "older directory", "power loss", "anew")


@pytest.mark.interpreted("the calls of compiled code into the system are not patched")
@pytest.mark.parametrize("what", DOUBTFUL)
def test_a_doubt_outlives_a_killed_opening(tmp_path: Path, what: str) -> None:
    number = 0
    root, newest = tmp_path / "root-0", tmp_path / "newest-0"

    def prepare() -> None:
        nonlocal root, newest
        root, kept = tmp_path / f"root-{number}", tmp_path / f"kept-{number}"
        newest = tmp_path / f"newest-{number}"
        make(root, kept)
        shutil.copytree(root, newest, symlinks=True)
        set_back(kept, root, what)
        shutil.rmtree(kept)

    def run() -> None:
        database = orlop.open(root, sync=False, begin_anew=what == "anew")
        database.namespace("default").snapshots("native").walk()

    prepare()
    for number, _ in enumerate(steps(run), 1):
        if number % EVERY:
            shutil.rmtree(root)
            shutil.rmtree(newest)
            prepare()
            continue
        options: dict[str, Any] = {"sync": False, "begin_anew": what == "anew"}
        for _ in range(2):
            with orlop.open(root, **options) as database:
                database.gc.run(confirmed=True)
        assert is_there(root, "first") + is_there(root, "second") == []
        for name in (META_DB, METADATA_DB):
            copy(newest / name, root / name, keeps_times=False)
        with orlop.open(root, sync=False) as database:
            database.gc.run(confirmed=True)
        check_named(root, ["first", "second"])
        shutil.rmtree(root)
        shutil.rmtree(newest)
        prepare()
    assert number > 10


@pytest.mark.interpreted("the calls of compiled code into the system are not patched")
@pytest.mark.parametrize("is_new", [True, False])
def test_a_killed_opening_makes_no_doubt(tmp_path: Path, *, is_new: bool) -> None:
    if not is_new:
        with orlop.open(tmp_path, sync=False) as database:
            add(database, "first")
    number = 0

    def run() -> None:
        database = orlop.open(tmp_path / f"{number}" if is_new else tmp_path, sync=False)
        database.namespace("default").snapshots("native").prepare(f"{number}", "")

    for number, _ in enumerate(steps(run), 1):
        root = tmp_path / f"{number - 1}" if is_new else tmp_path
        with orlop.open(root, sync=False) as database:
            assert database.gc.plan().doubt is None
