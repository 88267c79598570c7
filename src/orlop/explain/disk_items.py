"""From a path on disk to its data: a blob, an ingest, the files of a snapshot, or none of these.

Where stores lie is compared by what is there, not by name: a root that is reached through a
symbolic link is the same root. What lies below a snapshot is never looked at, so that a link in
a container leads nowhere.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orlop import digests
from orlop.database import Database
from orlop.errors import LostDatabaseError, NotFoundError
from orlop.gc.items import BLOB_ITEM, INGEST_ITEM, LEFTOVER_ITEM, SNAPSHOT_ITEM, BackendItem
from orlop.layout import CONTENT_DIRECTORY, FILE_NAME, METADATA_DIRECTORY, SNAPSHOTTER_DIRECTORY
from orlop.schema.metastore import SnapshotBuckets
from orlop.storage.contract import ORLOP_DIRECTORY, ingest_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.gc.node import Node
    from orlop.kv import Transaction

_METASTORE: Final = "metadata.db"

WASTE: Final = "waste"
"""The kind of what cleanups delete in a content store, and never had a name."""
STORE: Final = "store"
"""The kind of what belongs to a store itself, as its database does."""
STRANGER: Final = "stranger"
"""The kind of foreign files in a store's directory."""

_WASTE_PREFIXES: Final = (".gone-", ".new-", ".rm-")
_OWN_OF_CONTENT: Final = frozenset({"blobs", "ingest", ORLOP_DIRECTORY})
_OWN_OF_METADATA: Final = frozenset({FILE_NAME, "orlop"})
_OWN_OF_SNAPSHOTTERS: Final = frozenset({"snapshots", _METASTORE, ORLOP_DIRECTORY})
_DATA_KINDS: Final = frozenset({BLOB_ITEM, INGEST_ITEM, SNAPSHOT_ITEM})


@dataclass(frozen=True, slots=True)
class DiskItem:
    """An item of data on disk.

    Attributes:
        kind: `blob`, `ingest` or `snapshot`, as in `BackendItem`; `waste`, `store` or `stranger`.
        place: what it is called on disk: a digest, the hash of an ingest's reference, the number
            of a snapshot, or a path in the store.
        snapshotter: whose it is, for a snapshot; else empty.
        name: how its backend calls it; empty where the backend does not know it.
        path: where it is.
    """

    kind: str
    place: str
    snapshotter: str = ""
    name: str = ""
    path: str = ""

    @property
    def is_data(self) -> bool:
        """Whether records may name it."""
        return self.kind in _DATA_KINDS

    @property
    def key(self) -> str:
        """The key of the data in a plan, where no metadata names it."""
        if self.kind == INGEST_ITEM and not self.name:
            return BackendItem(LEFTOVER_ITEM, self.place).key
        name = self.name or self.place
        return f"{self.snapshotter}/{name}" if self.snapshotter else name

    def is_datum(self, item: BackendItem) -> bool:
        """Whether metadata names this data."""
        if item.kind != self.kind:
            return False
        if self.kind == INGEST_ITEM:
            return ingest_directory(item.name) == self.place
        return item == (self.kind, self.name, self.snapshotter)

    def is_unnamed_datum(self, item: BackendItem) -> bool:
        """Whether this is the given unnamed item of a backend."""
        return self.is_datum(item) or item == (LEFTOVER_ITEM, self.place, self.snapshotter)


def owned_at(database: Database, path: str) -> tuple[DiskItem, list[Node]] | None:
    """Return the data at a path, and the records of all namespaces that name it.

    Returns:
        `None` where there is nothing of ours.

    Raises: as `item_at`.
    """
    item = item_at(database, path)
    if item is None:
        return None
    if not item.is_data:
        return item, []
    nodes = database.gc.naming(item.is_datum)
    if nodes:
        return item, nodes
    # The files are not one version together: what is just being made has a name by now.
    item = item_at(database, path) or item
    return item, database.gc.naming(item.is_datum)


def item_at(database: Database, path: str) -> DiskItem | None:
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
                inside = whole.relative_to(folder).parts
                item = _item(folder, name, inside)
                return replace(item, path=str(folder.joinpath(*inside[: _depth(item)])))
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
    yield root / METADATA_DIRECTORY
    yield root / CONTENT_DIRECTORY
    yield from sorted(root.glob(f"{SNAPSHOTTER_DIRECTORY}*"))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one == other or one.samefile(other)
    except OSError:
        return False  # one of them is not there


def _depth(item: DiskItem) -> int | None:
    """Return how many names lead from the store to an item; `None`: all."""
    return {BLOB_ITEM: 3, INGEST_ITEM: 2, SNAPSHOT_ITEM: 2, WASTE: 1}.get(item.kind)


def _item(folder: Path, store: str, inside: tuple[str, ...]) -> DiskItem:
    if store == CONTENT_DIRECTORY:
        return _item_in_content(folder, inside)
    if store == METADATA_DIRECTORY:
        is_own = not inside or inside[0] in _OWN_OF_METADATA
        return DiskItem(STORE if is_own else STRANGER, "/".join(inside))
    snapshotter = store.removeprefix(SNAPSHOTTER_DIRECTORY)
    if len(inside) > 1 and inside[0] == "snapshots":
        name = _snapshot_name(folder / _METASTORE, inside[1])
        return DiskItem(SNAPSHOT_ITEM, inside[1], snapshotter, name)
    is_own = not inside or inside[0] in _OWN_OF_SNAPSHOTTERS
    return DiskItem(STORE if is_own else STRANGER, "/".join(inside), snapshotter)


def _item_in_content(folder: Path, inside: tuple[str, ...]) -> DiskItem:
    place = "/".join(inside)
    top, *below = inside or ("",)
    if top == "ingest" and below:
        return DiskItem(INGEST_ITEM, below[0], name=_ref(folder / "ingest" / below[0]))
    if top.startswith(_WASTE_PREFIXES):
        return DiskItem(WASTE, top)
    if top == "blobs" and below:
        algorithm, *names = below
        if algorithm not in digests.ALGORITHMS:
            return DiskItem(STRANGER, place)
        digest = f"{algorithm}:{names[0]}" if names else ""
        if digests.is_valid(digest):
            return DiskItem(BLOB_ITEM, digest, name=digest)
        return DiskItem(STRANGER if names else STORE, place)
    return DiskItem(STORE if top in {"", *_OWN_OF_CONTENT} else STRANGER, place)


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
    except (LostDatabaseError, NotFoundError):
        return ""


def _name_of(transaction: Transaction, number: int) -> str:
    found = SnapshotBuckets.find(transaction)
    links = ((name, found.link(name)) for name in found.all_names())
    return next((name for name, link in links if link and link[0] == number), "")
