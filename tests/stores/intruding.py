"""Another writer at each moment at which it could come in: before every outermost transaction."""

from __future__ import annotations

import contextvars
import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from orlop import Namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orlop import Database
    from orlop.changes import Update
    from orlop.kv import Transaction

_T = TypeVar("_T")


class IntrudedTransactions:
    """The transactions of a database; before the one of a given number `intrude` is called."""

    def __init__(self, database: Database, at: int, intrude: Callable[[], object]) -> None:
        self._real: Any = database._transactions
        self._at = at
        self._intrude = intrude
        self._depth = 0
        self.begun = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    @contextmanager
    def view(self) -> Iterator[Transaction]:
        with self._counted(), self._real.view() as transaction:
            yield transaction

    def read(self, function: Callable[[Transaction], _T]) -> _T:
        with self._counted():
            result: _T = self._real.read(function)
            return result

    @contextmanager
    def update(self, *, later: bool = False) -> Iterator[Update]:
        with self._counted(), self._real.update(later=later) as update:
            yield update

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if not self._depth:
            if self.begun == self._at:
                contextvars.Context().run(self._intrude)
            self.begun += 1
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1


def intruded(
    database: Database, name: str, at: int, intrude: Callable[[], object]
) -> tuple[Namespace, IntrudedTransactions]:
    """Return a namespace that runs `intrude` just before its transaction number `at`."""
    transactions: Any = IntrudedTransactions(database, at, intrude)
    environment = copy.copy(database.namespace(name).environment)
    environment.transactions = transactions
    return Namespace(environment, name), transactions


def moments(play: Callable[[int], bool]) -> int:
    """Call `play` with 0, 1, ... until it returns that the moment did not come; return how many.

    `play` runs the work anew, with the intruder at that moment, and checks what is left.
    """
    at = 0
    while play(at):
        at += 1
    return at
