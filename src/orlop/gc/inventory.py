"""Inventories of backends: their blobs, ingests, snapshots and leftovers, in one form.

`list_backend` lists one backend for its cleanup, `list_backends` all of them for a plan;
`owners` looks up the records that name an item.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from orlop.errors import FailedPreconditionError, NotFoundError, OrlopError
from orlop.gc.dirty_backends import shown
from orlop.gc.items import (
    BLOB_ITEM,
    INGEST_ITEM,
    LEFTOVER_ITEM,
    SNAPSHOT_ITEM,
    BackendItem,
    read_named_in_content,
    read_named_snapshots,
    suspect_of,
)
from orlop.gc.missing import Uncertain, find_uncertain
from orlop.gc.record_types import read_items
from orlop.gc.resources import reason_of
from orlop.storage.capabilities import clean_content, clean_snapshots, leftovers_of
from orlop.storage.contract import (
    CONTENT_BACKEND,
    DiscardableLeftovers,
    MountedData,
    ingest_directory,
    name_before_deletion,
    snapshot_number,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from orlop.gc.context import CollectionContext
    from orlop.gc.node import Node
    from orlop.kv import Transaction
    from orlop.records import SnapshotInfo
    from orlop.safety.suspects import Suspect
    from orlop.storage.contract import ContentBackend, SnapshotBackend
    from orlop.stores.backend_claims import BackendClaims


_logger = logging.getLogger(__name__)


class BackendInventory(Protocol):
    """The data in one backend at one moment."""

    @property
    def claims(self) -> BackendClaims:
        """The claims on data that is being created or referenced in this backend."""

    def data(self) -> Iterable[BackendItem]:
        """Return all data, in a lasting order."""

    def entries(self, item: BackendItem) -> Collection[Suspect]:
        """Return the entries by which an item is found in a list of suspects."""

    def named(self, transaction: Transaction) -> set[BackendItem]:
        """Return the data that the metadata of all namespaces names here."""

    def uncertain(
        self,
        transaction: Transaction,
        unnamed: Collection[BackendItem],
        known: Collection[BackendItem] = (),
    ) -> Uncertain:
        """Return unnamed data that may belong to records under another name.

        Args:
            transaction: where the metadata is read.
            unnamed: data here that no metadata names.
            known: data of records that are deleted first, or whose data is known.
        """

    def mounted(self, garbage: Collection[BackendItem]) -> dict[BackendItem, str]:
        """Return the garbage that something is mounted in, with the path of the mount."""

    def removable(self, garbage: Collection[BackendItem]) -> list[BackendItem]:
        """Return the garbage that can be deleted, in the order of deletion."""

    def left(self, discarded: Collection[BackendItem]) -> int:
        """Return how many bytes of discarded data a cleanup that failed has left on disk."""

    def size(self, item: BackendItem) -> int:
        """Return how many bytes an item takes; 0 where it is gone."""

    def discard(self, data: Sequence[BackendItem]) -> Iterable[BackendItem]:
        """Rename data for later deletion; yield the items that were renamed."""

    def cleanup(self, keep: Collection[BackendItem], advance: Callable[[], None]) -> None:
        """Delete discarded data, and all leftovers except those in `keep`.

        Args:
            keep: leftovers to keep.
            advance: is called before each deletion; it raises to stop the cleanup.
        """


class ContentInventory:
    """Blobs, ingests, and leftovers that were ingests.

    Attributes:
        claims: what somebody is making or naming here.
        blob_sizes: of the files of all blobs in bytes, by their digests.
    """

    def __init__(self, backend: ContentBackend, claims: BackendClaims) -> None:
        """Look into the backend.

        Raises:
            OrlopError, OSError: it cannot be read.
        """
        self.claims = claims
        self._backend = backend
        self.blob_sizes = {blob.digest: blob.size for blob in backend.walk()}
        self._ingests = [BackendItem(INGEST_ITEM, ingest.ref) for ingest in backend.statuses()]
        found = leftovers_of(backend) if isinstance(backend, DiscardableLeftovers) else {}
        self._leftovers = {BackendItem(LEFTOVER_ITEM, one): size for one, size in found.items()}

    def data(self) -> Iterator[BackendItem]:
        """Return all data, blobs first."""
        for digest in self.blob_sizes:
            yield BackendItem(BLOB_ITEM, digest)
        yield from self._ingests
        yield from self._leftovers

    def entries(self, item: BackendItem) -> Collection[Suspect]:
        """Return the entries of an item in a list of suspects: an ingest has its directory, too.

        An ingest that was a leftover is written on to, and one can become a leftover.
        """
        own = suspect_of(item)
        if item.kind == INGEST_ITEM:
            return (own, (LEFTOVER_ITEM, ingest_directory(item.name)))
        return (own,)

    def named(self, transaction: Transaction) -> set[BackendItem]:
        """Return the blobs and ingests that the metadata of all namespaces names."""
        return read_named_in_content(transaction)

    def uncertain(
        self,
        transaction: Transaction,  # noqa: ARG002 -- as the protocol has it
        unnamed: Collection[BackendItem],  # noqa: ARG002
        known: Collection[BackendItem] = (),  # noqa: ARG002
    ) -> Uncertain:
        """Return nothing: blobs and ingests have one name."""
        return Uncertain()

    def mounted(self, garbage: Collection[BackendItem]) -> dict[BackendItem, str]:
        """Return the garbage that something is mounted in, with the path of the mount."""
        return _mounted(self._backend, garbage)

    def left(self, discarded: Collection[BackendItem]) -> int:  # noqa: ARG002 -- as the protocol has it
        """Return 0: it is not known which data a discarded file was."""
        return 0

    def removable(self, garbage: Collection[BackendItem]) -> list[BackendItem]:
        """Return the garbage: no item here depends on another one."""
        return [item for item in self.data() if item in garbage]

    def size(self, item: BackendItem) -> int:
        """Return the sizes of the files of an item, in bytes."""
        if item.kind == BLOB_ITEM:
            return self.blob_sizes.get(item.name, 0)
        if item.kind == LEFTOVER_ITEM:
            return self._leftovers.get(item, 0)
        try:
            return self._backend.ingest_size(item.name)
        except NotFoundError:
            return 0

    def discard(self, data: Sequence[BackendItem]) -> Iterator[BackendItem]:
        """Rename data for later deletion, one by one; yield the items that were renamed."""
        for item in data:
            if _is_gone(self._discarding(item), item):
                yield item

    def cleanup(
        self,
        keep: Collection[BackendItem],  # noqa: ARG002 -- all is discarded first
        advance: Callable[[], None],
    ) -> None:
        """Delete discarded data."""
        clean_content(self._backend, advance)

    def _discarding(self, item: BackendItem) -> Callable[[str], None]:
        if item.kind == LEFTOVER_ITEM and isinstance(self._backend, DiscardableLeftovers):
            return self._backend.discard_leftover
        return self._backend.discard if item.kind == BLOB_ITEM else self._backend.discard_ingest


class SnapshotInventory:
    """The snapshots of one snapshotter."""

    def __init__(self, name: str, backend: SnapshotBackend, claims: BackendClaims) -> None:
        """Look into the backend of the snapshotter `name`.

        Raises:
            OrlopError, OSError: it cannot be read.
        """
        self.claims = claims
        self._name = name
        self._backend = backend
        self._leftovers = {
            BackendItem(LEFTOVER_ITEM, one, name): size
            for one, size in leftovers_of(backend).items()
        }
        self._snapshots = list(backend.walk())
        # Plug-ins may have no directories.
        self._numbers: dict[str, str] = getattr(backend, "numbers", dict)()

    def data(self) -> list[BackendItem]:
        """Return all snapshots, in byte order of their keys, then leftovers."""
        return [*(self._item(one.name) for one in self._snapshots), *self._leftovers]

    def entries(self, item: BackendItem) -> Collection[Suspect]:
        """Return the entries of a snapshot in a list of suspects: its key, and its directory.

        A snapshot changes its key when it is committed, and its directory is renamed when it is
        removed.
        """
        if item.kind == LEFTOVER_ITEM:
            directory = snapshot_number(item.name) or item.name
        else:
            directory = self._numbers.get(item.name, "")
        own = suspect_of(item)
        return (own, (LEFTOVER_ITEM, directory)) if directory else (own,)

    def named(self, transaction: Transaction) -> set[BackendItem]:
        """Return the snapshots that the metadata of all namespaces names."""
        return read_named_snapshots(transaction, self._name)

    def uncertain(
        self,
        transaction: Transaction,
        unnamed: Collection[BackendItem],
        known: Collection[BackendItem] = (),
    ) -> Uncertain:
        """Return unnamed data that may belong to snapshots missing from the backend."""
        present = {one.name: one for one in self._snapshots}
        return find_uncertain(transaction, self._name, present, unnamed, self._is_missing, known)

    def mounted(self, garbage: Collection[BackendItem]) -> dict[BackendItem, str]:
        """Return the garbage that something is mounted in, with the path of the mount."""
        return _mounted(self._backend, garbage)

    def left(self, discarded: Collection[BackendItem]) -> int:
        """Return how many bytes of discarded data a cleanup that failed has left on disk."""
        names = {
            _name_at_first(one.name)
            if one.kind == LEFTOVER_ITEM
            else self._numbers.get(one.name, "")
            for one in discarded
        }
        return sum(
            size
            for name, size in leftovers_of(self._backend).items()
            if _name_at_first(name) in names
        )

    def removable(self, garbage: Collection[BackendItem]) -> list[BackendItem]:
        """Return the garbage that can be deleted, children first."""
        names = {item.name for item in garbage if item.kind == SNAPSHOT_ITEM}
        free = [self._item(name) for name in leaves_first(self._snapshots, names)]
        return free + [one for one in self._leftovers if one in garbage]

    def size(self, item: BackendItem) -> int:
        """Return how many bytes of the disk the removal of a snapshot gives back."""
        if item.kind == LEFTOVER_ITEM:
            return self._leftovers.get(item, 0)
        try:
            return self._backend.size_on_disk(item.name)
        except NotFoundError:
            return 0

    def discard(self, data: Sequence[BackendItem]) -> list[BackendItem]:
        """Remove snapshots, all at once; return which this removed. Leftovers need no removal."""
        names = [one.name for one in data if one.kind == SNAPSHOT_ITEM]
        removed = [self._item(name) for name in self._backend.discard(names)] if names else []
        return removed + [one for one in data if one.kind == LEFTOVER_ITEM]

    def cleanup(self, keep: Collection[BackendItem], advance: Callable[[], None]) -> None:
        """Delete the files of removed snapshots, and leftovers but for those to `keep`."""
        leftovers = {one.name for one in keep if one.kind == LEFTOVER_ITEM}
        clean_snapshots(self._backend, leftovers, advance)

    def _is_missing(self, name: str) -> bool:
        try:
            self._backend.stat(name)
        except NotFoundError:
            return True
        return False

    def _item(self, name: str) -> BackendItem:
        return BackendItem(SNAPSHOT_ITEM, name, self._name)


def _name_at_first(directory: str) -> str:
    """Return a leftover's name before it was renamed for deletion."""
    return name_before_deletion(directory) or snapshot_number(directory) or directory


def _mounted(
    backend: ContentBackend | SnapshotBackend, garbage: Collection[BackendItem]
) -> dict[BackendItem, str]:
    if not garbage or not isinstance(backend, MountedData):
        return {}
    places = backend.mounted()
    return {one: places[one.name] for one in garbage if one.name in places}


def list_backend(context: CollectionContext, name: str) -> BackendInventory:
    """Look into the backend of that name.

    Args:
        context: the database; it has that backend.
        name: a snapshotter, or `CONTENT_BACKEND`.

    Raises:
        OrlopError, OSError: it cannot be read.
    """
    if name == CONTENT_BACKEND and context.content is not None:
        return ContentInventory(context.content, context.content_claims)
    return SnapshotInventory(name, context.snapshotters[name], context.snapshot_claims(name))


def leaves_first(snapshots: Iterable[SnapshotInfo], garbage: Collection[str]) -> list[str]:
    """Return which of the snapshots that are garbage can be removed, children first.

    One on which another stands that stays cannot.
    """
    parents = {one.name: one.parent for one in snapshots}
    children: dict[str, int] = {}
    for parent in parents.values():
        children[parent] = children.get(parent, 0) + 1
    free = [name for name in parents if name in garbage and not children.get(name)]
    removable = []
    while free:
        name = free.pop()
        removable.append(name)
        parent = parents[name]
        children[parent] -= 1
        if not children[parent] and parent in garbage and parent in parents:
            free.append(parent)
    return removable


def descendants(snapshots: Iterable[SnapshotInfo], ancestors: Collection[str]) -> set[str]:
    """Return the names of all snapshots that descend from one of the ancestors."""
    children: dict[str, list[str]] = {}
    for one in snapshots:
        children.setdefault(one.parent, []).append(one.name)
    found: set[str] = set()
    remaining = list(ancestors)
    while remaining:
        above = children.pop(remaining.pop(), [])
        found.update(above)
        remaining += above
    return found


def _is_gone(discard: Callable[[str], None], item: BackendItem) -> bool:
    """Discard an item; return whether this call did it."""
    try:
        discard(item.name)
    except NotFoundError:
        return False  # somebody else was faster, which is as good
    except FailedPreconditionError as error:
        _logger.info("%r stays: %s", item.name, error)
        return False
    return True


_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class StoredItems:
    """The data in the backends at one moment, each backend for itself.

    Attributes:
        inventories: what lies in each, by its name.
        failures: which backends could not be read, and why; their data is not in the plan.
        errors: the exceptions behind these failures.
        mounts: the garbage that something is mounted in, with the path of the mount: no cleanup
            deletes it.
    """

    inventories: dict[str, BackendInventory] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    mounts: dict[BackendItem, str] = field(default_factory=dict)

    def fail(self, name: str, error: Exception) -> None:
        """Record the first failure of a backend."""
        self.failures.setdefault(shown(name), reason_of(error))
        self.errors.setdefault(shown(name), error)

    def data(self) -> Iterator[BackendItem]:
        """Iterate over all data."""
        for inventory in self.inventories.values():
            yield from inventory.data()

    def blob_sizes(self) -> Mapping[str, int] | None:
        """Return the sizes of all blobs by their digests; `None` where they were not listed."""
        inventory = self.inventories.get(CONTENT_BACKEND)
        return inventory.blob_sizes if isinstance(inventory, ContentInventory) else None

    def deletable(self, named: Collection[BackendItem]) -> set[BackendItem]:
        """Return the items that a cleanup would delete if records named only `named`."""
        deletable: set[BackendItem] = set()
        for inventory in self.inventories.values():
            garbage = {one for one in inventory.data() if one not in named}
            mounts = inventory.mounted(garbage)
            self.mounts.update(mounts)
            deletable.update(inventory.removable(garbage.difference(mounts)))
        return deletable

    def entries(self, item: BackendItem) -> Collection[tuple[str, str]]:
        """Return the entries by which an item is found in a list of suspects."""
        inventory = self.inventories.get(item.snapshotter)
        return (suspect_of(item),) if inventory is None else inventory.entries(item)

    def total_bytes(self) -> int:
        """Return the size of all items on disk, in bytes."""
        return sum(self.size(item) for item in self.data())

    def size(self, item: BackendItem) -> int:
        """Return the size of an item on disk, in bytes; 0 if it does not exist."""
        inventory = self.inventories.get(item.snapshotter)
        if inventory is None:
            return 0
        try:
            return inventory.size(item)
        except Exception as error:  # noqa: BLE001 (a plug-in's may be any)
            self.fail(item.snapshotter, error)
            return 0


def list_backends(context: CollectionContext) -> StoredItems:
    """Look into all backends. One that cannot be read is noted, and left out."""
    found = StoredItems()
    names = [] if context.content is None else [CONTENT_BACKEND]
    for name in (*names, *context.snapshotters):
        try:
            found.inventories[name] = list_backend(context, name)
        except (OrlopError, OSError) as error:
            found.fail(name, error)
        except Exception as error:
            _logger.exception("%s could not be read", shown(name))
            found.fail(name, error)
    return found


def owners(transaction: Transaction, is_it: Callable[[BackendItem], bool]) -> list[Node]:
    """Return the records of all namespaces that name a piece of data.

    Args:
        transaction: the version to read.
        is_it: tells whether a piece of data is meant.
    """
    return [node for node, items in read_items(transaction) if any(map(is_it, items))]
