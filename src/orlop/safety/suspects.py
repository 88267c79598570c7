"""The suspects of a backend: all that was in it when the metadata was in doubt.

A newer version of the metadata may have named any of it. So it is deleted only when a person
says so, whatever an older version says, now or later.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, Final

from orlop.concurrency.interrupts import reraise_interrupt
from orlop.errors import DataLossError
from orlop.storage import files
from orlop.storage.contract import ORLOP_DIRECTORY
from orlop.storage.small_files import DamagedFileError, read_document, read_small, write_small

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SUSPECTS: Final = "suspects.json"

Suspect = tuple[str, str]
"""The kind and the name of something in a backend."""


def read_suspects(
    backend: Path, *, must_exist: bool, expected: str | None = None
) -> frozenset[Suspect]:
    """Return the suspects of a backend.

    Args:
        backend: its directory.
        must_exist: whether a missing list is damage, instead of an empty one.
        expected: the digest that the list must have; `None`: any.

    Raises:
        DataLossError: the list is missing, damaged, another one, or cannot be read.
    """
    path = backend / ORLOP_DIRECTORY / SUSPECTS
    try:
        found = read_document(path, _parse)
    except FileNotFoundError as error:
        if not must_exist:
            return frozenset()
        raise _unusable(f"{path} is missing") from error
    except DamagedFileError as error:
        raise _unusable(str(error)) from error
    if expected is not None and digest_of_suspects(backend) != expected:
        raise _unusable(f"{path} is not the list that Orlop wrote last")
    return found


def digest_of_suspects(backend: Path) -> str | None:
    """Return the digest of the list of suspects of a backend; `None` if it cannot be read."""
    try:
        return _digest(read_small(backend / ORLOP_DIRECTORY / SUSPECTS))
    except OSError as error:
        reraise_interrupt(error)
        return None


def read_reason(backend: Path) -> str:
    """Return why the suspects of a backend were listed; empty if that is not known."""
    with contextlib.suppress(FileNotFoundError, DamagedFileError):
        return read_document(backend / ORLOP_DIRECTORY / SUSPECTS, lambda one: str(one["why"]))
    return ""


def write_suspects(backend: Path, suspects: Iterable[Suspect], *, why: str, since: str) -> str:
    """Replace the list of suspects of a backend, durably; return its digest.

    Raises:
        OSError: it cannot be written.
    """
    document = {"why": why, "since": since, "suspects": sorted(suspects)}
    data = f"{json.dumps(document)}\n".encode()
    write_small(backend / ORLOP_DIRECTORY, SUSPECTS, data)
    return _digest(data)


def remove_suspects(backend: Path) -> None:
    """Delete the list of suspects of a backend, durably; it may be missing.

    Raises:
        OSError: it cannot be deleted.
    """
    with (
        contextlib.suppress(FileNotFoundError),
        files.directory(backend / ORLOP_DIRECTORY) as directory,
    ):
        os.unlink(SUSPECTS, dir_fd=directory)
        os.fsync(directory)


def _parse(document: Any) -> frozenset[Suspect]:
    return frozenset((str(kind), str(name)) for kind, name in document["suspects"])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _unusable(state: str) -> DataLossError:
    return DataLossError(
        f"{state}: it lists what must not be deleted without a person's word",
        hint="once nothing unnamed is needed any more, orlop gc run --release deletes it",
    )
