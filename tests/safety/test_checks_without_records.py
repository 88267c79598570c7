"""A handle that could not record its session still checks its files."""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.safety import shutdown_marker, witness
from safety.roots import METADATA, NATIVE, add, is_there

if TYPE_CHECKING:
    from pathlib import Path


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def replace(path: Path) -> None:
    shutil.copy2(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").rename(path)


@pytest.mark.parametrize("name", [f"{METADATA}/meta.db", f"{NATIVE}/metadata.db"])
def test_a_replaced_file_stops_the_cleanup_though_nothing_could_be_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with orlop.open(tmp_path, sync=False) as database:
        add(database, "kept")
    monkeypatch.setattr(shutdown_marker, "write_small", full)
    database = orlop.open(tmp_path, sync=False)
    database.namespace("default").snapshots("native").stat("kept")
    replace(tmp_path / name)
    failures = database.gc.run(confirmed=True).failures
    assert "was replaced" in failures["content"]
    database.close()
    assert is_there(tmp_path, "kept") == []


def test_records_that_fail_one_after_the_other_do_not_stop_the_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with orlop.open(tmp_path, sync=False) as database:
        add(database, "kept")
    database = orlop.open(tmp_path, sync=False)
    replace(tmp_path / METADATA / "meta.db")
    monkeypatch.setattr(witness, "write_small", full)
    assert "was replaced" in database.gc.run(confirmed=True).failures["content"]
    database.close()
    monkeypatch.undo()
    with orlop.open(tmp_path, sync=False) as again:
        assert again.gc.plan().doubt is not None
    assert is_there(tmp_path, "kept") == []
