"""Fixtures of the tests in this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orlop.database import open_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orlop.database import Database
    from orlop.namespace import Namespace


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Return an empty database."""
    with open_database(tmp_path / "root") as opened:
        yield opened


@pytest.fixture
def namespace(database: Database) -> Namespace:
    """Return its namespace."""
    return database.namespace("default")
