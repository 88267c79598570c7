"""A list of suspects that is not the one that was written last is a doubt by itself."""

from __future__ import annotations

import contextlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.errors import OrlopError
from orlop.safety.suspects import SUSPECTS
from safety.roots import CONTENT, METADATA, NATIVE, add, check_named, copy, is_there

if TYPE_CHECKING:
    from pathlib import Path

META_DB = f"{METADATA}/meta.db"
LISTS = (f"{CONTENT}/.orlop/{SUSPECTS}", f"{NATIVE}/.orlop/{SUSPECTS}")


def collect(root: Path) -> None:
    with contextlib.suppress(OrlopError), orlop.open(root, sync=False) as database:
        database.gc.run(confirmed=True)


def change(path: Path, older: Path, how: str) -> None:
    if how == "older":
        copy(older, path, keeps_times=True)
    elif how == "emptied":
        document = json.loads(path.read_text())
        path.write_text(json.dumps({**document, "suspects": []}))
    elif how == "missing":
        path.unlink()
    else:
        path.write_bytes(b"")


@pytest.mark.parametrize("how", ["older", "emptied", "missing", "damaged"])
@pytest.mark.parametrize("is_open", [False, True])
def test_what_an_older_database_does_not_name_stays(
    tmp_path: Path, how: str, *, is_open: bool
) -> None:
    root, older, newest = tmp_path / "root", tmp_path / "older", tmp_path / "newest"
    with orlop.open(root, sync=False) as database:
        add(database, "first")
    (root / METADATA / "orlop/period.json").unlink()
    collect(root)
    shutil.copytree(root, older, symlinks=True)
    with orlop.open(root, sync=False) as database:
        add(database, "second")
    shutil.copytree(root, newest, symlinks=True)
    copy(older / META_DB, root / META_DB, keeps_times=True)
    collect(root)
    database = orlop.open(root, sync=False)
    if not is_open:
        database.close()
    for name in LISTS:
        change(root / name, older / name, how)
    if is_open:
        for _ in range(2):
            assert database.gc.run(confirmed=True).deleted == 0
        database.close()
    for _ in range(2):
        collect(root)
    assert is_there(root, "first") + is_there(root, "second") == []
    copy(newest / META_DB, root / META_DB, keeps_times=False)
    collect(root)
    check_named(root, ["first", "second"])


def test_a_changed_list_is_set_right_by_the_next_collection(tmp_path: Path) -> None:
    with orlop.open(tmp_path, sync=False) as database:
        add(database, "first")
    (tmp_path / METADATA / "orlop/period.json").unlink()
    collect(tmp_path)
    for name in LISTS:
        change(tmp_path / name, tmp_path, "emptied")
    with orlop.open(tmp_path, sync=False) as database:
        assert "list" in str(database.gc.plan().doubt)
        assert database.gc.run(confirmed=True).failures == {}
    with orlop.open(tmp_path, sync=False) as database:
        assert database.gc.plan().doubt is None
        database.gc.run(release=True, confirmed=True)
    assert not any((tmp_path / name).exists() for name in LISTS)
    with orlop.open(tmp_path, sync=False) as database:
        assert database.gc.plan().doubt is None
