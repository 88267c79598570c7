"""Compaction carries the proof of a database over, and vouches for no other program's work."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import orlop
from orlop.bolt import open_engine, read_file_state
from orlop.bolt.disk import FileDisk
from orlop.bolt.tools import compaction
from orlop.kv import CorruptError
from orlop.maintenance import compact
from orlop.safety.root_sessions import proof_carried_over
from safety.roots import METADATA, NATIVE, add

if TYPE_CHECKING:
    from pathlib import Path

DATABASES = (f"{METADATA}/meta.db", f"{NATIVE}/metadata.db")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with orlop.open(tmp_path / "root", sync=False) as database:
        add(database, "first")
    return tmp_path / "root"


def doubt(root: Path, **options: Any) -> str | None:
    with orlop.open(root, sync=False, **options) as database:
        return database.gc.plan().doubt


@pytest.mark.parametrize("name", DATABASES)
def test_compaction_leaves_no_doubt(root: Path, name: str) -> None:
    compact(root / name)
    assert doubt(root) is None


@pytest.mark.parametrize("name", DATABASES)
def test_compaction_to_another_place_leaves_no_doubt(root: Path, tmp_path: Path, name: str) -> None:
    compact(root / name, output=tmp_path / "compacted.db")
    assert doubt(root) is None


def test_to_look_whether_it_is_worth_it_leaves_no_doubt(root: Path) -> None:
    assert doubt(root, compact=True) is None
    assert doubt(root) is None


def test_a_compaction_that_is_refused_leaves_no_doubt(root: Path) -> None:
    path = root / METADATA / "meta.db"

    def refuse(_: Path) -> None:
        raise CorruptError("the new file is not sound")

    with pytest.raises(CorruptError):
        compaction.compact(
            path,
            inspect=refuse,
            under_lock=partial(proof_carried_over, read_state=read_file_state),
        )
    assert doubt(root) is None


@pytest.mark.parametrize("is_compacted", [False, True])
def test_what_another_program_writes_before_the_lock_stays_in_doubt(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, is_compacted: bool
) -> None:
    path = root / METADATA / "meta.db"
    original = FileDisk.for_writing
    is_written = False

    def for_writing(*arguments: Any, **options: Any) -> FileDisk:
        nonlocal is_written
        if not is_written:
            is_written = True
            engine = open_engine(path)
            with engine.begin(writable=True) as transaction:
                schema = transaction.root.bucket(b"v1")
                assert schema is not None
                schema.put(b"version", schema.get(b"version") or b"")
            engine.close()
        return original(*arguments, **options)

    monkeypatch.setattr(FileDisk, "for_writing", for_writing)
    if is_compacted:
        compact(path)
    else:
        orlop.open(root, compact=True).close()
    monkeypatch.undo()
    assert is_written
    with orlop.open(root, sync=False) as database:
        assert database.gc.plan().doubt is not None
