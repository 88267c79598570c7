"""Reading a file while another process writes it: stale reads are retried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orlop import kv
from orlop.bolt import open_engine
from orlop.database import Database
from orlop.errors import NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Changing:
    """An engine that another process's writes make stale for the first reads."""

    def __init__(self, inner: kv.Engine, stale_readings: int) -> None:
        self._inner = inner
        self.left = stale_readings

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def begin(self, *, writable: bool = False, timeout: float | None = None) -> kv.Transaction:
        transaction = self._inner.begin(writable=writable, timeout=timeout)
        if writable or not self.left:
            return transaction
        self.left -= 1
        return Stale(transaction)  # type: ignore[return-value] # by __getattr__


class Stale:
    def __init__(self, inner: kv.Transaction) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def rollback(self) -> None:
        self._inner.rollback()
        raise kv.StaleReadError("the file changed")


@pytest.fixture
def changing(tmp_path: Path) -> Callable[[int], Database]:
    def make(stale_readings: int) -> Database:
        path = tmp_path / "changing.db"
        engine = Changing(open_engine(path), stale_readings)
        return Database(engine, path)  # type: ignore[arg-type] # by __getattr__

    return make


def test_a_reading_that_does_not_count_is_repeated(
    changing: Callable[[int], Database],
) -> None:
    with changing(3) as db:
        assert db.namespaces.list() == []
        with pytest.raises(NotFoundError):
            db.namespace("one").leases.get("a")


def test_a_file_that_changes_all_the_time_is_unavailable(
    changing: Callable[[int], Database],
) -> None:
    with changing(1000) as db:
        with pytest.raises(UnavailableError, match="changed"):
            db.namespaces.list()
        # Whatever the block made of what it read does not count either.
        with pytest.raises(UnavailableError), db.view():
            raise ZeroDivisionError
        with pytest.raises(UnavailableError), db.view():
            db.namespaces.list()
