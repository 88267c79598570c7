"""A backend that took no part in the last session is in doubt when it is back."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

import orlop
from orlop.safety.witness import WITNESS
from safety.roots import CONTENT, METADATA, NATIVE, add, check_named, is_there
from storage.mounting import bound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

META_DB = f"{METADATA}/meta.db"


def collect(root: Path, **options: Any) -> None:
    with orlop.open(root, sync=False, **options) as database:
        database.gc.run(confirmed=True)


def make(root: Path, *names: str) -> None:
    with orlop.open(root, sync=False) as database:
        for name in names:
            add(database, name)
        database.gc.run()


def put_newest_back(root: Path, newest: bytes) -> None:
    (root / META_DB).write_bytes(newest)
    collect(root)
    check_named(root, ["first", "second"])


def only_close(root: Path) -> None:
    orlop.open(root, sync=False).close()


def begin_anew(root: Path) -> None:
    (root / META_DB).unlink()
    collect(root, begin_anew=True)


@pytest.mark.parametrize("session", [collect, only_close, begin_anew])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("backend", [CONTENT, NATIVE])
def test_a_backend_that_is_away_while_an_older_database_is_found(
    tmp_path: Path, backend: str, count: int, session: Callable[[Path], None]
) -> None:
    root, away = tmp_path / "root", tmp_path / "away"
    make(root, "first")
    older = (root / META_DB).read_bytes()
    make(root, "second")
    newest = (root / META_DB).read_bytes()
    (root / backend).rename(away)
    (root / META_DB).write_bytes(older)
    for number in range(count):
        (only_close if number else session)(root)
    if (root / backend).exists():
        shutil.rmtree(root / backend)
    away.rename(root / backend)
    for _ in range(2):
        collect(root)
    assert is_there(root, "first") + is_there(root, "second") == []
    put_newest_back(root, newest)


@pytest.mark.root
@pytest.mark.parametrize("backend", [CONTENT, NATIVE])
def test_a_disk_that_is_not_mounted_while_an_older_database_is_found(
    tmp_path: Path, backend: str
) -> None:
    root, disk = tmp_path / "root", tmp_path / "disk"
    make(root, "first")
    shutil.move(root / backend, disk)
    (root / backend).mkdir(0o700)
    with bound(disk, root / backend):
        collect(root)
        older = (root / META_DB).read_bytes()
        make(root, "second")
    newest = (root / META_DB).read_bytes()
    subprocess.run(["cp", "-a", root / META_DB, tmp_path / "newest"], check=True)
    (root / META_DB).write_bytes(older)
    collect(root)
    with bound(disk, root / backend):
        for _ in range(2):
            collect(root)
        assert is_there(root, "second") == []
        put_newest_back(root, newest)


@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize("backend", [CONTENT, NATIVE])
def test_an_older_witness_that_is_put_back(tmp_path: Path, backend: str, *, lists: bool) -> None:
    root = tmp_path / "root"
    witness = root / backend / ".orlop" / WITNESS
    make(root, "first")
    older = (root / META_DB).read_bytes()
    make(root, "second")
    newest = (root / META_DB).read_bytes()
    kept = witness.read_bytes()
    (root / META_DB).write_bytes(older)
    (collect if lists else only_close)(root)
    witness.write_bytes(kept)
    for _ in range(2):
        collect(root)
    assert is_there(root, "second") == []
    put_newest_back(root, newest)


def test_an_older_marker_that_is_put_back_after_a_session_that_missed_a_backend(
    tmp_path: Path,
) -> None:
    root, away = tmp_path / "root", tmp_path / "away"
    make(root, "first")
    older = (root / META_DB).read_bytes()
    make(root, "second")
    newest = (root / META_DB).read_bytes()
    shutil.copytree(root / METADATA / "orlop", tmp_path / "marker")
    (root / NATIVE).rename(away)
    (root / META_DB).write_bytes(older)
    collect(root)
    shutil.rmtree(root / NATIVE)
    away.rename(root / NATIVE)
    shutil.copytree(tmp_path / "marker", root / METADATA / "orlop", dirs_exist_ok=True)
    for _ in range(2):
        collect(root)
    assert is_there(root, "second") == []
    put_newest_back(root, newest)


def test_backends_without_data_and_witness_leave_no_doubt(tmp_path: Path) -> None:
    for _ in range(3):
        with orlop.open(tmp_path, sync=False) as database:
            assert database.gc.plan().doubt is None
    make(tmp_path, "first")
    with orlop.open(tmp_path, sync=False) as database:
        assert database.gc.plan().doubt is None
