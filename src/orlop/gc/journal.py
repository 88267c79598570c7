"""The journal: records that collections deleted, when, and why they were unreachable.

It is a file of JSON lines beside the database, and of bounded size: a full file replaces the
previous one, which is deleted. A removal is written before it is committed, so that no record is
deleted without a line; a process that dies in between leaves a line for a record that the next
collection deletes. A line is written at once, and torn lines are skipped. A journal that cannot
be written does not stop a collection, because the collection may be needed to free space.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orlop.concurrency.ownership import Mutex
from orlop.gc.node import CONTENT, SNAPSHOT, Node, split_snapshot
from orlop.schema.codec.timestamps import format_rfc3339_nano, parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from whenever import Instant

REMOVED: Final = "removed"
"""A record is deleted from the metadata."""
DELETED: Final = "deleted"
"""Data went from a backend."""
COLLECTED: Final = "collected"
"""A collection has ended that did something; its bytes are what it freed."""
FAILED: Final = "failed"
"""A collection has failed; what it had not removed yet stays."""

SIZE_MAX: Final = 16 << 20
"""How many bytes the journal takes at most."""

_DIRECTORY_MODE: Final = 0o711
_FILE_MODE: Final = 0o644

_APPEND: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
"""A pipe in the place of the journal must not be waited for."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the journal.

    Attributes:
        at: when it was written.
        event: what happened: one of the words above.
        type: the type of the record or of the data.
        namespace: where the record was; empty for data.
        key: the key of the record, or the name of the data in its backend.
        reason: why nothing held it, or what went wrong.
        bytes: what was freed on disk.
    """

    at: Instant
    event: str
    type: str = ""
    namespace: str = ""
    key: str = ""
    reason: str = ""
    bytes: int = 0

    def as_line(self) -> str:
        """Return the entry as a line of JSON without empty fields."""
        fields = (
            ("at", format_rfc3339_nano(self.at)),
            ("event", self.event),
            ("type", self.type),
            ("namespace", self.namespace),
            ("key", self.key),
            ("reason", self.reason),
            ("bytes", self.bytes),
        )
        return json.dumps({name: value for name, value in fields if value})

    def is_meant(self, reference: str) -> bool:
        """Whether a text names the entry's object: by its key, or the prefix of a digest."""
        if not self.key or not reference:
            return False
        if reference in {self.key, f"{self.type}:{self.key}"}:
            return True
        if self.type == CONTENT:
            return self.key.startswith(reference) or _encoded(self.key).startswith(reference)
        return self.type == SNAPSHOT and split_snapshot(self.key)[1] == reference


class Journal:
    """The journal of one database. Every thread may use it.

    Attributes:
        failures: how many times it could not be written.
    """

    def __init__(self, path: Path, size_max: int = SIZE_MAX) -> None:
        """Name the file; it is made with the first entry.

        Args:
            path: the file; the older one beside it has `.1` after its name.
            size_max: how many bytes both may take together.
        """
        self.failures = 0
        self._path = path
        self._older = path.with_name(f"{path.name}.1")
        self._size_max = size_max
        self._mutex = Mutex()

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        return sum(path.stat().st_size for path in (self._older, self._path) if path.exists())

    def add(self, entries: Iterable[Entry]) -> None:
        """Append entries. That they cannot be written is logged and counted, and no error."""
        lines = "".join(f"{entry.as_line()}\n" for entry in entries).encode()
        if not lines:
            return
        with self._mutex:
            try:
                self._append(lines)
            except OSError as error:
                self.failures += 1
                _logger.warning("the journal of collections cannot be written: %s", error)

    def entries(self) -> Iterator[Entry]:
        """Iterate over all entries, the oldest first; unreadable lines are skipped.

        Raises:
            OSError: the files cannot be read.
        """
        for lines in reversed(self._files()):
            yield from _parsed(lines)

    def last(self, node: Node) -> Entry | None:
        """Return when a record was removed last, and why; `None`: that is not known.

        Raises:
            OSError: the files cannot be read.
        """
        mentioned = json.dumps(node.key).encode()
        for lines in self._files():
            found = None
            for entry in _parsed(line for line in lines if mentioned in line):
                if entry.event == REMOVED and _node(entry) == node.whole:
                    found = entry
            if found is not None:
                return found
        return None

    def removed(self, reference: str, namespace: str | None = None) -> dict[Node, Entry]:
        """Return the last removals of the records that a text means.

        Args:
            reference: a key, or the beginning of a digest.
            namespace: where they were; `None`: anywhere.

        Raises:
            OSError: the files cannot be read.
        """
        return {
            _node(entry): entry
            for entry in self.entries()
            if entry.event == REMOVED
            and namespace in {None, entry.namespace}
            and entry.is_meant(reference)
        }

    def _append(self, lines: bytes) -> None:
        directory = self._path.parent
        if not directory.is_dir():
            directory.mkdir(exist_ok=True)
            directory.chmod(_DIRECTORY_MODE)
        descriptor = self._open()
        try:
            size = os.fstat(descriptor).st_size
            if size and size + len(lines) > self._size_max // 2:
                os.close(descriptor)
                self._path.replace(self._older)
                descriptor, size = self._open(), 0
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                lines = b"\n" + lines  # somebody died in the middle of a line
            while lines:
                lines = lines[os.write(descriptor, lines) :]
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        descriptor = os.open(self._path, _APPEND, _FILE_MODE)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "not a regular file", str(self._path))
        return descriptor

    def _files(self) -> list[list[bytes]]:
        """Return the lines of both files, the newer first: it may become the older meanwhile."""
        found, seen = [], set()
        for path in (self._path, self._older):
            try:
                with os.fdopen(os.open(path, _READ), "rb") as file:
                    status = os.fstat(file.fileno())
                    if stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) not in seen:
                        seen.add((status.st_dev, status.st_ino))
                        found.append(file.read().splitlines())
            except (FileNotFoundError, IsADirectoryError):
                continue
        return found


def _parsed(lines: Iterable[bytes]) -> Iterator[Entry]:
    for line in lines:
        try:
            fields = json.loads(line)
            yield Entry(**{**fields, "at": parse_rfc3339(fields["at"])})
        except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
            _logger.debug("a line of the journal is passed over: %s", error)


def _encoded(digest: str) -> str:
    return digest.partition(":")[2]


def _node(entry: Entry) -> Node:
    return Node(entry.type, entry.namespace, entry.key)
