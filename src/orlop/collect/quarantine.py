"""What is set aside: data that no metadata names, at a time when the metadata is in doubt.

It stays where it is, and is listed in a file beside `meta.db`. It leaves the list when it is
named again (the newer `meta.db` was put back), when a person says that it may go, or by a
collection a day later, in a period that began after a clean end.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from whenever import Instant, TimeDelta

from orlop.backends import files
from orlop.collect.named import Datum
from orlop.model.errors import DataLossError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from orlop.collect.period import Period
    from orlop.model.clock import Clock

_FILE: Final = "quarantine.json"
_FOLDER_MODE: Final = 0o700
_MODE: Final = 0o600
_KEPT: Final = TimeDelta(hours=24)


@dataclass(frozen=True, slots=True)
class SetAside:
    """Something that is set aside.

    Attributes:
        datum: what it is.
        bytes: what it takes on disk.
        since: since when.
        why: why the metadata is in doubt.
    """

    datum: Datum
    bytes: int
    since: Instant
    why: str

    def as_json(self) -> dict[str, object]:
        """Return it in the form of the list."""
        return {
            "kind": self.datum.kind,
            "name": self.datum.name,
            "snapshotter": self.datum.snapshotter,
            "bytes": self.bytes,
            "since": self.since.format_iso(),
            "why": self.why,
        }


class Quarantine:
    """What is set aside in a root. Every thread may use it."""

    def __init__(self, folder: Path | None, period: Period | None, clock: Clock) -> None:
        """Make the quarantine of a root.

        Args:
            folder: where the list is; `None`: this is a bare database, and has no data.
            period: how the last period of writing ended.
            clock: where the time comes from.
        """
        self._folder = folder
        self._period = period
        self._clock = clock
        self._began = clock.now()
        self._mutex = threading.Lock()

    def doubt(self, backend: str) -> str | None:
        """Say why nothing is deleted in a backend now, `None`: it is."""
        return None if self._period is None else self._period.doubt(backend)

    @property
    def any_doubt(self) -> str | None:
        """Why nothing is deleted in all backends, or else in one; `None`: it is in all."""
        return None if self._period is None else self._period.any_doubt

    def listed(self) -> dict[Datum, SetAside]:
        """Return what is set aside, in the order of kinds and names.

        Raises:
            DataLossError: the list is damaged.
        """
        if self._folder is None:
            return {}
        path = self._folder / _FILE
        try:
            found = [_read(one) for one in json.loads(path.read_bytes())["set_aside"]]
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError) as error:
            raise DataLossError(
                f"{path} is damaged: it lists what must not be deleted yet. Once nothing of that "
                "is needed any more, delete it"
            ) from error
        return {one.datum: one for one in found}

    def kept(self, backend: str) -> set[Datum]:
        """Return what is listed of a backend that no collection may delete yet.

        Raises:
            DataLossError: the list is damaged.
        """
        return {
            one.datum
            for one in self.listed().values()
            if one.datum.snapshotter == backend and not self._may_go(one)
        }

    def keeper(self) -> Callable[[Datum], bool]:
        """Return what tells whether data that nothing names is set aside instead of deleted.

        Raises:
            DataLossError: the list is damaged.
        """
        kept = {datum for datum, one in self.listed().items() if not self._may_go(one)}
        return lambda datum: datum in kept or self.doubt(datum.snapshotter) is not None

    def settle(self, backend: str, data: Iterable[Datum], size: Callable[[Datum], int]) -> int:
        """Let the list say of a backend what is kept there now, durably.

        Args:
            backend: a snapshotter, or nothing for content.
            data: what is kept: what nothing names, of that which is listed or in doubt.
            size: counts the bytes of something that is not listed yet.

        Returns:
            How many bytes that takes.

        Raises:
            DataLossError: the list is damaged.
            OSError: it cannot be written.
        """
        doubt = self.doubt(backend)
        with self._mutex:
            before = self.listed()
            after = {datum: one for datum, one in before.items() if datum.snapshotter != backend}
            total = 0
            for datum in data:
                one = before.get(datum)
                if one is None:
                    one = SetAside(datum, size(datum), self._clock.now(), doubt or "")
                elif doubt is not None and one.since < self._began:
                    # In doubt again: the time counts from this period on.
                    one = SetAside(datum, one.bytes, self._clock.now(), doubt)
                after[datum] = one
                total += one.bytes
            if after != before:
                self._write(after)
        if doubt is not None and self._period is not None:
            self._period.set_listed(backend)
        return total

    def _may_go(self, one: SetAside) -> bool:
        # What is listed is of an earlier period: this one lists something only in doubt.
        if self._period is None or not self._period.is_clean(one.datum.snapshotter):
            return False
        return self._clock.now() >= one.since + _KEPT

    def _write(self, listed: dict[Datum, SetAside]) -> None:
        if self._folder is None:
            return
        files.make_directories(self._folder, _FOLDER_MODE)
        entries = [listed[datum].as_json() for datum in sorted(listed)]
        text = json.dumps({"set_aside": entries}, indent=1) + "\n"
        with files.directory(self._folder) as descriptor:
            files.write_atomically(_FILE, text.encode(), dir_fd=descriptor, mode=_MODE)
            os.fsync(descriptor)


def _read(entry: dict[str, object]) -> SetAside:
    size = entry["bytes"]
    if not isinstance(size, int):
        raise TypeError(f"{size!r} is no number of bytes")
    return SetAside(
        Datum(str(entry["kind"]), str(entry["name"]), str(entry["snapshotter"])),
        size,
        Instant.parse_iso(str(entry["since"])),
        str(entry["why"]),
    )
