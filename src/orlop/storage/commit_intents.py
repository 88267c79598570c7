"""Commits of snapshots that the metadata may not know of yet: a file for each, until it does.

A commit changes two databases, first the snapshotter's and then `meta.db`, and a process can
die between the two. The file is durable before the first one changes. It holds the record of
the active snapshot, so that the commit can be undone to the byte, and what the commit was asked
for, so that it can be done again.

They lie in `<root>/.orlop/commits/<id>.json`, beside what containerd knows.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from orlop.concurrency.ownership import Mutex
from orlop.errors import DataLossError
from orlop.storage.contract import ORLOP_DIRECTORY, PendingCommit
from orlop.storage.small_files import DamagedFileError, read_document, write_small

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orlop.kv import Tree

_COMMITS: Final = "commits"
_SUFFIX: Final = ".json"


@dataclass(frozen=True, slots=True)
class CommitIntent:
    """A commit of a snapshot, with the data to undo it or to do it again.

    Attributes:
        pending: which one.
        active: what was stored of the active snapshot.
        labels: those of the committed snapshot.
        parent: what the snapshot was to be moved onto; empty: nothing.
    """

    pending: PendingCommit
    active: Tree
    labels: Mapping[str, str]
    parent: str = ""


class CommitIntents:
    """The commits of one snapshotter that are noted. Every thread may use it."""

    def __init__(self, root: Path) -> None:
        self._folder = root / ORLOP_DIRECTORY / _COMMITS
        self._mutex = Mutex()

    def write(self, intent: CommitIntent) -> None:
        """Note a commit, durably; an earlier note on the same snapshot is replaced.

        Raises:
            OSError: it could not be stored.
        """
        stored = {
            "key": intent.pending.key,
            "name": intent.pending.name,
            "active": _to_json(intent.active),
            "labels": dict(intent.labels),
            "parent": intent.parent,
        }
        name = f"{intent.pending.number}{_SUFFIX}"
        with self._mutex:
            write_small(self._folder, name, json.dumps(stored, indent=1).encode())

    def read(self, number: str) -> CommitIntent | None:
        """Return the intent for the snapshot with that id, `None` if there is none.

        Raises:
            DataLossError: the note is damaged.
        """
        path = self._folder / f"{number}{_SUFFIX}"
        try:
            return read_document(path, lambda stored: _parse(number, stored))
        except FileNotFoundError:
            return None
        except DamagedFileError as error:
            raise DataLossError(
                f"{error}: it says how to undo the commit of a snapshot that was "
                "interrupted. Once `snapshot ls` misses none, delete it"
            ) from error

    def numbers(self) -> list[str]:
        """Return the ids of the snapshots that have an intent, in order."""
        numbers = [one.removesuffix(_SUFFIX) for one in self._names() if one.endswith(_SUFFIX)]
        return sorted((one for one in numbers if one.isdecimal()), key=int)

    def delete_unfinished(self) -> None:
        """Delete files that a process left half written when it died: that commit never began."""
        with self._mutex:
            for name in self._names():
                if not name.endswith(_SUFFIX):
                    (self._folder / name).unlink(missing_ok=True)

    def delete(self, number: str) -> None:
        """Delete the note on a snapshot. It need not be durable: a note too many does no harm."""
        with contextlib.suppress(FileNotFoundError):
            (self._folder / f"{number}{_SUFFIX}").unlink()

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._folder)  # noqa: PTH208 -- no Path for each of many names
        except (FileNotFoundError, NotADirectoryError):
            return []


def _parse(number: str, stored: Any) -> CommitIntent:
    return CommitIntent(
        PendingCommit(number, key=str(stored["key"]), name=str(stored["name"])),
        _to_tree(stored["active"]),
        {str(label): str(value) for label, value in stored["labels"].items()},
        str(stored["parent"]),
    )


def _to_json(tree: Tree) -> dict[str, object]:
    return {
        name.decode("latin-1"): (
            value.decode("latin-1") if isinstance(value, bytes) else _to_json(value)
        )
        for name, value in tree.items()
    }


def _to_tree(stored: dict[str, object]) -> Tree:
    tree: Tree = {}
    for name, value in stored.items():
        if isinstance(value, str):
            tree[name.encode("latin-1")] = value.encode("latin-1")
        elif isinstance(value, dict):
            tree[name.encode("latin-1")] = _to_tree(value)
        else:
            raise TypeError(f"{value!r} is stored in no bucket")
    return tree
