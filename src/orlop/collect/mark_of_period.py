"""The mark of a period of writing, in the directory `orlop` beside `meta.db`.

While a handle writes, the mark says so: on which start of the machine, and which version of
each database was acknowledged last. That is written over in place after each commit and not
synced: it serves after the death of a process, and a power loss shows in the start of the
machine. At the close the mark says which versions were left.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.backends import files
from orlop.collect.dirt import CONTENT_BACKEND

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

METADATA: Final = CONTENT_BACKEND
"""Stands for `meta.db`, among the names of snapshotters; content has no database of its own."""

FILE: Final = "period.json"
ANY_BOOT: Final = "?"
"""What stands for the start of the machine where the system does not tell."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FOLDER_MODE: Final = 0o700
_MODE: Final = 0o600
_DIGITS: Final = 20
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mark:
    """What is noted of a period.

    Attributes:
        versions: by the name of the database the last version that was acknowledged, or left.
        stamps: when the files were modified last, at the close: another file may have the
            same version. In nanoseconds since 1970.
        boot: of which start of the machine the writer is; empty: it has closed.
        doubts: by backend, why what is unnamed there was not to be deleted in that period.
        listed: the backends among them of which all that was unnamed has been set aside.
    """

    versions: Mapping[str, int]
    stamps: Mapping[str, int] = field(default_factory=dict)
    boot: str = ""
    doubts: Mapping[str, str] = field(default_factory=dict)
    listed: frozenset[str] = frozenset()

    def encode(self) -> tuple[bytes, dict[str, int]]:
        """Return its text, and at which byte the digits of each version are."""
        text, places = "{", {}
        for name, version in self.versions.items():
            text += f"{json.dumps(name)}: "
            places[name] = len(text)
            text += f"{version:{_DIGITS}}, "
        rest = {
            "boot": self.boot,
            "modified": dict(self.stamps),
            "doubts": dict(self.doubts),
            "listed": sorted(self.listed),
        }
        return f'{text}"period": {json.dumps(rest)}}}\n'.encode(), places

    @classmethod
    def read(cls, folder: Path) -> Mark | None:
        """Return the mark in a directory, `None` where there is none that makes sense."""
        try:
            found = json.loads((folder / FILE).read_bytes())
            rest = found.pop("period")
            return cls(
                versions={str(name): int(version) for name, version in found.items()},
                stamps={str(name): int(stamp) for name, stamp in rest["modified"].items()},
                boot=str(rest["boot"]),
                doubts={str(name): str(why) for name, why in rest["doubts"].items()},
                listed=frozenset(map(str, rest["listed"])),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _logger.warning("%s counts as missing: %s", folder / FILE, error)
            return None

    def write(self, folder: Path) -> None:
        """Put it in place of what is there, durably.

        On a full disk it is written over what is there, which needs no space: whoever wants to
        make some must not be in doubt. A mark that a power loss tears then counts as none.

        Raises:
            OSError: it cannot be written.
        """
        files.make_directories(folder, _FOLDER_MODE)
        data = self.encode()[0]
        with files.directory(folder) as descriptor:
            try:
                files.write_atomically(FILE, data, dir_fd=descriptor, mode=_MODE)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                _write_over(descriptor, data)
            os.fsync(descriptor)


def _write_over(directory: int, data: bytes) -> None:
    mark = os.open(FILE, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        if os.pwrite(mark, data, 0) < len(data):
            raise OSError(errno.ENOSPC, "no space for the mark", FILE)
        os.ftruncate(mark, len(data))
        os.fsync(mark)
    finally:
        os.close(mark)


class State(NamedTuple):
    """A database as it is found.

    Attributes:
        version: the newest one; 0: there is no file; `None`: it cannot be read.
        modified: when the file was modified last, in nanoseconds since 1970; 0: never.
    """

    version: int | None
    modified: int


@dataclass(frozen=True, slots=True)
class Files:
    """The databases of a root.

    Attributes:
        folder: where the mark is.
        paths: their files, by name.
        version_of: returns the version of one, as in a `State`.
    """

    folder: Path
    paths: Mapping[str, Path]
    version_of: Callable[[Path], int | None]

    def state(self, name: str) -> State:
        """Return how a database is found."""
        path = self.paths[name]
        return State(self.version_of(path), stamp(path))


def digits(version: int) -> bytes:
    """Return a version as a mark has it, always as wide."""
    return b"%*d" % (_DIGITS, version)


def stamp(path: Path) -> int:
    """Return when a file was modified last, in nanoseconds since 1970; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def boot_id() -> str:
    """Return what tells this start of the machine from all others; never empty."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip() or ANY_BOOT
    except (OSError, ValueError):
        return ANY_BOOT
