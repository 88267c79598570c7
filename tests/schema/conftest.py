from __future__ import annotations

import json
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


@pytest.fixture(scope="session")
def stored(data: Path) -> dict[tuple[str, ...], bytes]:
    """All values that real daemons stored: dump and path of keys, to the value's bytes."""
    dumps = sorted((data / "meta-db").glob("*.json"))
    assert dumps
    return {
        (dump.stem, *path): value
        for dump in dumps
        for path, value in _values(json.loads(dump.read_text()))
    }


def _values(bucket: dict[str, list[dict[str, object]]]) -> Iterator[tuple[tuple[str, ...], bytes]]:
    for item in bucket["items"]:
        key = bytes.fromhex(str(item["k"])).decode()
        match item:
            case {"v": str(encoded)}:
                yield (key,), bytes.fromhex(encoded)
            case {"b": dict(below)}:
                for path, value in _values(below):
                    yield (key, *path), value
