"""From a path on disk to its data: a blob, an ingest, or the files of a snapshot.

Where stores lie is compared by what is there, not by name: a root that is reached through a
symbolic link is the same root. What lies below a snapshot is never looked at, so that a link in
a container leads nowhere.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orlop.collect.named import BLOB, FILES, LEFTOVER, UNFINISHED, Datum
from orlop.database import Database
from orlop.layout import CONTENT_DIRECTORY, FILE_NAME, METADATA_DIRECTORY, SNAPSHOTTER_DIRECTORY
from orlop.model.backends import ingest_directory
from orlop.model.errors import NotFoundError
from orlop.schema.metastore import SnapshotBuckets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.collect.node import Node
    from orlop.kv import Transaction

_METASTORE: Final = "metadata.db"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of data on disk.

    Attributes:
        kind: `blob`, `ingest` or `snapshot`, as in `Datum`.
        place: what it is called on disk: a digest, the hash of an ingest's reference, or the
            number of a snapshot.
        snapshotter: whose it is, for a snapshot; else empty.
        name: how its backend calls it; empty where the backend does not know it.
    """

    kind: str
    place: str
    snapshotter: str = ""
    name: str = ""

    @property
    def key(self) -> str:
        """The key of the data in a plan, where no metadata names it."""
        if self.kind == UNFINISHED and not self.name:
            return Datum(LEFTOVER, self.place).key
        name = self.name or self.place
        return f"{self.snapshotter}/{name}" if self.snapshotter else name

    def is_datum(self, datum: Datum) -> bool:
        """Whether metadata names this data."""
        if datum.kind != self.kind:
            return False
        if self.kind == UNFINISHED:
            return ingest_directory(datum.name) == self.place
        return datum == (self.kind, self.name, self.snapshotter)


def owned_at(database: Database, path: str) -> tuple[Piece, list[Node]] | None:
    """Return the data at a path, and the records of all namespaces that name it.

    Returns:
        `None` where there is nothing of ours.

    Raises: as `piece_at`.
    """
    piece = piece_at(database, path)
    if piece is None:
        return None
    nodes = database.gc.naming(piece.is_datum)
    if nodes:
        return piece, nodes
    # The files are not one version together: what is just being made has a name by now.
    piece = piece_at(database, path) or piece
    return piece, database.gc.naming(piece.is_datum)


def piece_at(database: Database, path: str) -> Piece | None:
    """Return the data at or around a path; `None` where it is none of this root.

    Args:
        database: whose stores are meant. For a bare file that is not in its root, a store is
            known by the name of its directory.
        path: absolute, or relative to the working directory; it need not exist.

    Raises:
        UnavailableError: the snapshotter's database changes all the time.
        DataLossError: it is damaged.
    """
    root = _root(database)
    for form in dict.fromkeys((os.path.abspath(path), os.path.realpath(path))):  # noqa: PTH100 (links must stay)
        whole = Path(form)
        for folder in (whole, *whole.parents):
            name = _store(root, folder)
            if name is not None:
                return _piece(folder, name, whole.relative_to(folder).parts)
    return None


def _root(database: Database) -> Path | None:
    if database.root is not None:
        return database.root
    file = database.path.absolute()
    is_in_root = file.name == FILE_NAME and file.parent.name == METADATA_DIRECTORY
    return file.parent.parent if is_in_root else None


def _store(root: Path | None, folder: Path) -> str | None:
    """Return the name that a folder has as a store, `None` where it is none."""
    if root is None:
        is_store = folder.name == CONTENT_DIRECTORY or folder.name.startswith(SNAPSHOTTER_DIRECTORY)
        return folder.name if is_store else None
    return next((one.name for one in _stores(root) if _is_same(one, folder)), None)


def _stores(root: Path) -> Iterator[Path]:
    yield root / CONTENT_DIRECTORY
    yield from sorted(root.glob(f"{SNAPSHOTTER_DIRECTORY}*"))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one == other or one.samefile(other)
    except OSError:
        return False  # one of them is not there


def _piece(folder: Path, store: str, inside: tuple[str, ...]) -> Piece | None:
    if store == CONTENT_DIRECTORY:
        if len(inside) > 2 and inside[0] == "blobs":  # noqa: PLR2004 (blobs/<algorithm>/<hash>)
            digest = f"{inside[1]}:{inside[2]}"
            return Piece(BLOB, digest, name=digest)
        if len(inside) > 1 and inside[0] == "ingest":
            return Piece(UNFINISHED, inside[1], name=_ref(folder / "ingest" / inside[1]))
    elif len(inside) > 1 and inside[0] == "snapshots":
        name = _snapshot_name(folder / _METASTORE, inside[1])
        return Piece(FILES, inside[1], store.removeprefix(SNAPSHOTTER_DIRECTORY), name)
    return None


def _ref(ingest: Path) -> str:
    try:
        ref = (ingest / "ref").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    return ref if ingest_directory(ref) == ingest.name else ""


def _snapshot_name(metastore: Path, number: str) -> str:
    """Return the name of the snapshot with a number, empty where there is none."""
    if not number.isdecimal():
        return ""
    try:
        with Database.open_file(metastore, read_only=True) as store:
            return store.read(lambda transaction: _name_of(transaction, int(number)))
    except NotFoundError:
        return ""


def _name_of(transaction: Transaction, number: int) -> str:
    found = SnapshotBuckets.find(transaction)
    links = ((name, found.link(name)) for name in found.all_names())
    return next((name for name, link in links if link and link[0] == number), "")
