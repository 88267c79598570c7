from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orlop.bolt import open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orlop.kv import Engine, Transaction


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(tmp_path / "meta.db")
    yield engine
    engine.close()


@pytest.fixture
def transaction(engine: Engine) -> Iterator[Transaction]:
    transaction = engine.begin(writable=True)
    yield transaction
    transaction.rollback()
