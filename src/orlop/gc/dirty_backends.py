"""Dirty backends: those that may contain data that no record names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.concurrency.ownership import Mutex
from orlop.storage.contract import CONTENT_BACKEND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orlop.changes import Changes


def shown(name: str) -> str:
    """Return the display name of a backend."""
    return name or "content"


class DirtyBackends:
    """The backends that are to be cleaned. Every thread may use it.

    After opening all are: what an earlier process left is found again without a note of it.
    """

    def __init__(self, snapshotters: Iterable[str]) -> None:
        self._mutex = Mutex()
        self._dirty = {CONTENT_BACKEND, *snapshotters}

    def note(self, changes: Changes) -> None:
        """Mark the backends that an update changed as dirty, committed or not."""
        with self._mutex:
            self._dirty |= changes.snapshotters
            if changes.content:
                self._dirty.add(CONTENT_BACKEND)

    def names(self) -> list[str]:
        """Return the backends that are to be cleaned, the content backend first."""
        with self._mutex:
            return sorted(self._dirty)

    def take(self, name: str) -> None:
        """Count a backend as clean: its cleanup begins."""
        with self._mutex:
            self._dirty.discard(name)

    def put_back(self, name: str) -> None:
        """Count a backend as dirty again: its cleanup failed."""
        with self._mutex:
            self._dirty.add(name)
