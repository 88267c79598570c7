"""Upstream's cases of the database as a whole: TestInit and TestClose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orlop import Database
from orlop.kv import EngineClosedError

if TYPE_CHECKING:
    from pathlib import Path


def test_init(tmp_path: Path) -> None:
    with Database.open_file(tmp_path / "meta.db") as db:
        assert not db.init(), "a new file has it already"
        assert db.version == 4


def test_close(tmp_path: Path) -> None:
    db = Database.open_file(tmp_path / "meta.db")
    engine = db.engine
    db.close()
    with pytest.raises(EngineClosedError):
        engine.begin()
