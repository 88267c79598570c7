"""The quarantine: unnamed data that a newer version of the metadata may have named.

Where the metadata is in doubt, all data in a backend becomes a suspect
(`orlop.safety.suspects`). An unnamed suspect is set aside: it stays in its place, and is listed
in a file beside `meta.db`. It is removed from that list when a record names it again, and it is
deleted only when a person releases it; it never expires.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from whenever import Instant

from orlop.concurrency.ownership import Mutex
from orlop.errors import DataLossError
from orlop.gc.items import BackendItem
from orlop.safety.suspects import read_reason, remove_suspects, write_suspects
from orlop.safety.write_session import WriteSession
from orlop.storage.small_files import DamagedFileError, read_document, write_small

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path

    from orlop.clock import Clock
    from orlop.safety.assessment import RootFiles
    from orlop.safety.suspects import Suspect
    from orlop.safety.write_session import SessionTracker

_FILE: Final = "quarantine.json"


@dataclass(frozen=True, slots=True)
class SetAside:
    """Something that is set aside.

    Attributes:
        item: what it is.
        bytes: what it takes on disk.
        since: since when.
        why: why the metadata is in doubt.
    """

    item: BackendItem
    bytes: int
    since: Instant
    why: str

    def as_json(self) -> dict[str, object]:
        """Return it in the form of the list."""
        return {
            "kind": self.item.kind,
            "name": self.item.name,
            "snapshotter": self.item.snapshotter,
            "bytes": self.bytes,
            "since": self.since.format_iso(),
            "why": self.why,
        }


class Quarantine:
    """The data of a root that is set aside. Thread-safe."""

    def __init__(self, folder: Path | None, session: WriteSession | None, clock: Clock) -> None:
        """Make the quarantine of a root.

        Args:
            folder: the directory of the list; `None` for a bare database, which has no data.
            session: the session of writing, which has assessed the one before.
            clock: the source of time.
        """
        self._folder = folder
        self._session = session
        self._clock = clock
        self._mutex = Mutex()

    def doubt(self, backend: str) -> str | None:
        """Return why all data of a backend counts as suspect now; `None` if it does not."""
        return None if self._session is None else self._session.doubt(backend)

    def initial_doubt(self, backend: str) -> str | None:
        """Return the doubt about a backend when this handle was opened."""
        return None if self._session is None else self._session.initial_doubt(backend)

    @property
    def any_doubt(self) -> str | None:
        """The doubt about content when this handle was opened, else about any backend."""
        return None if self._session is None else self._session.any_doubt

    def require_unchanged(self) -> None:
        """Check that no file of the root was replaced since it was opened.

        Raises:
            FailedPreconditionError: one was; nothing may be deleted.
        """
        if self._session is not None:
            self._session.require_unchanged()

    def listed(self) -> dict[BackendItem, SetAside]:
        """Return the data that is set aside, in the order of kinds and names.

        Raises:
            DataLossError: the list is damaged.
        """
        if self._folder is None:
            return {}
        path = self._folder / _FILE
        try:
            found = read_document(path, lambda one: [_read(entry) for entry in one["set_aside"]])
        except FileNotFoundError:
            return {}
        except DamagedFileError as error:
            raise DataLossError(
                f"{error}: it lists what is set aside. Delete it, and the next "
                "collection writes it again"
            ) from error
        return {one.item: one for one in found}

    def suspects(self, backend: str) -> frozenset[Suspect]:
        """Return the kinds and names that no collection of a backend may delete.

        Raises:
            DataLossError: the list is missing, or damaged.
        """
        return frozenset() if self._session is None else self._session.suspects(backend)

    def has_suspects(self, backend: str) -> bool:
        """Whether data of a backend may have a name that this metadata does not know."""
        session = self._session
        return session is not None and (
            session.doubt(backend) is not None or session.has_suspects(backend)
        )

    def suspect_all(self, backend: str, inventory: Collection[Suspect]) -> None:
        """Add all that is in a backend to its suspects, durably, if it is in doubt.

        Raises:
            DataLossError: the list that is there is damaged.
            OSError: it cannot be written.
        """
        session, why = self._session, self.doubt(backend)
        directory = None if session is None else session.backend_directory(backend)
        if session is None or directory is None or why is None:
            return
        before = self.suspects(backend)
        since = self._clock.now().format_iso()
        digest = write_suspects(directory, before.union(inventory), why=why, since=since)
        session.suspects_listed(backend, digest)

    def release(self, backend: str) -> None:
        """End the suspicion of all that is in a backend: a person has said so.

        Raises:
            OSError: the list cannot be deleted.
        """
        session = self._session
        directory = None if session is None else session.backend_directory(backend)
        if session is None or directory is None:
            return
        session.suspects_released(backend)
        remove_suspects(directory)

    def keeper(self, entries: Callable[[BackendItem], Collection[Suspect]]) -> Keeper:
        """Return a predicate: whether unnamed data would be set aside instead of deleted.

        Args:
            entries: returns the entries by which data is found in a list of suspects.
        """
        return Keeper(self, entries)

    def settle(
        self, backend: str, data: Iterable[BackendItem], size: Callable[[BackendItem], int]
    ) -> int:
        """Replace a backend's entries in the list, durably.

        Args:
            backend: a snapshotter, or nothing for content.
            data: the data that is set aside there.
            size: counts the bytes of something that is not listed yet.

        Returns:
            How many bytes that takes.

        Raises:
            DataLossError: the list is damaged.
            OSError: it cannot be written.
        """
        why = self.reason(backend)
        with self._mutex:
            before = self.listed()
            after = {item: one for item, one in before.items() if item.snapshotter != backend}
            total = 0
            for item in data:
                one = before.get(item)
                if one is None:
                    one = SetAside(item, size(item), self._clock.now(), why)
                after[item] = one
                total += one.bytes
            if after != before:
                self._write(after)
        return total

    def reason(self, backend: str) -> str:
        """Return why data of a backend is set aside."""
        directory = None if self._session is None else self._session.backend_directory(backend)
        noted = "" if directory is None else read_reason(directory)
        return self.doubt(backend) or noted or "the metadata was in doubt"

    def _write(self, listed: dict[BackendItem, SetAside]) -> None:
        if self._folder is None:
            return
        entries = [listed[item].as_json() for item in sorted(listed)]
        text = json.dumps({"set_aside": entries}, indent=1) + "\n"
        # On a full disk, too: a release is to free space, and makes the list shorter.
        write_small(self._folder, _FILE, text.encode(), in_place=True)


class Keeper:
    """Whether unnamed data would be set aside instead of deleted. Reads each list once.

    Where the list of suspects is damaged, all data of that backend would be set aside.
    """

    def __init__(
        self, quarantine: Quarantine, entries: Callable[[BackendItem], Collection[Suspect]]
    ) -> None:
        """Read nothing yet; see `Quarantine.keeper`."""
        self._quarantine = quarantine
        self._entries = entries
        self._lists: dict[str, frozenset[Suspect] | DataLossError] = {}

    def __call__(self, item: BackendItem) -> bool:
        """Return whether an item that no metadata names would stay."""
        if self._quarantine.doubt(item.snapshotter) is not None:
            return True
        suspects = self._list(item.snapshotter)
        return isinstance(suspects, DataLossError) or not suspects.isdisjoint(self._entries(item))

    def fault(self, backend: str) -> str | None:
        """Return why the list of suspects of a backend cannot be read; `None` if it can."""
        suspects = self._list(backend)
        return str(suspects) if isinstance(suspects, DataLossError) else None

    def _list(self, backend: str) -> frozenset[Suspect] | DataLossError:
        if backend not in self._lists:
            try:
                self._lists[backend] = self._quarantine.suspects(backend)
            except DataLossError as error:
                self._lists[backend] = error
        return self._lists[backend]


def _read(entry: dict[str, object]) -> SetAside:
    size = entry["bytes"]
    if not isinstance(size, int):
        raise TypeError(f"{size!r} is no number of bytes")
    return SetAside(
        BackendItem(str(entry["kind"]), str(entry["name"]), str(entry["snapshotter"])),
        size,
        Instant.parse_iso(str(entry["since"])),
        str(entry["why"]),
    )


def open_quarantine(
    files: RootFiles | None, tracker: SessionTracker | None, clock: Clock
) -> Quarantine:
    """Return the quarantine of a root. Calling this marks the write session as used.

    Args:
        files: the files of the root; `None` for a bare database.
        tracker: has assessed the last session; `None` for a handle that only reads.
        clock: the source of time.
    """
    if files is None:
        return Quarantine(None, None, clock)
    if tracker is None:
        session: WriteSession | None = WriteSession(files, files.states(), read_only=True)
    else:
        session = tracker.session
        if session is not None:
            session.keep()
    return Quarantine(files.marker_directory, session, clock)
