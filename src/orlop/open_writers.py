"""The open content writers of this process.

A writer has its ingest open until it is closed or committed, or until nothing refers to it.
"""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import Any


class OpenWriter(Protocol):
    """A writer, as this knows it."""

    @property
    def ingest(self) -> tuple[str, str]:
        """Namespace and reference of its ingest."""

    @property
    def is_open(self) -> bool:
        """Whether it may still write to it, or commit it."""

    def end(self) -> None:
        """Close it, since the database is being closed; a commit that has begun continues."""


class OpenWriters:
    """The open writers of one database. Every thread may use it."""

    def __init__(self) -> None:
        # Without a lock: a writer may be collected at any instruction.
        self._writers: set[weakref.ref[Any]] = set()

    def add(self, writer: OpenWriter) -> None:
        """Add a writer, for as long as it lives and is open."""
        self._writers.add(weakref.ref(writer, self._writers.discard))

    @property
    def ingests(self) -> frozenset[tuple[str, str]]:
        """Namespace and reference of each ingest that has an open writer."""
        return frozenset(writer.ingest for writer in self._open())

    def end_all(self) -> None:
        """End all writers, also where the end of one fails: the root may soon be another's.

        Raises:
            OrlopError, OSError: the bytes of one could not be made durable.
        """
        with ExitStack() as stack:
            for writer in self._open():
                stack.callback(writer.end)

    def _open(self) -> list[OpenWriter]:
        while True:
            try:
                references = tuple(self._writers)
            except RuntimeError:
                continue  # another thread changed the set
            found = []
            for reference in references:
                writer: OpenWriter | None = reference()
                if writer is not None and writer.is_open:
                    found.append(writer)
                else:
                    self._writers.discard(reference)
            return found
