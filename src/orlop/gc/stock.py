"""What lies in one backend: found, measured and discarded in the same way, whatever it is."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from orlop.gc.dirt import CONTENT_BACKEND
from orlop.gc.missing import Uncertain, find_uncertain
from orlop.gc.named import (
    BLOB,
    FILES,
    LEFTOVER,
    UNFINISHED,
    Datum,
    read_named_in_content,
    read_named_snapshots,
    suspect_of,
)
from orlop.model.backends import (
    MountedData,
    ingest_directory,
    name_before_deletion,
    snapshot_number,
)
from orlop.model.errors import FailedPreconditionError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from orlop.gc.domain import Domain
    from orlop.kv import Transaction
    from orlop.model.backends import ContentBackend, SnapshotBackend
    from orlop.model.records import SnapshotInfo
    from orlop.safety.suspects import Suspect
    from orlop.stores.claims import Claims

_logger = logging.getLogger(__name__)


class Stock(Protocol):
    """The data in one backend at one moment."""

    @property
    def claims(self) -> Claims:
        """What somebody is making or naming here."""

    def data(self) -> Iterable[Datum]:
        """Return all data, in a lasting order."""

    def entries(self, datum: Datum) -> Collection[Suspect]:
        """Return the entries by which a datum is found in a list of suspects."""

    def named(self, transaction: Transaction) -> set[Datum]:
        """Return the data that the metadata of all namespaces names here."""

    def uncertain(
        self, transaction: Transaction, unnamed: Collection[Datum], known: Collection[Datum] = ()
    ) -> Uncertain:
        """Return which of the unnamed data could be what the metadata names otherwise.

        Args:
            transaction: where the metadata is read.
            unnamed: data here that no metadata names.
            known: what records name that are removed first, or whose data is known.
        """

    def mounted(self, garbage: Collection[Datum]) -> dict[Datum, str]:
        """Return the garbage that something is mounted in, with the path of the mount."""

    def removable(self, garbage: Collection[Datum]) -> list[Datum]:
        """Return what of the garbage can go, in the order in which it must."""

    def left(self, discarded: Collection[Datum]) -> int:
        """Return how many bytes of discarded data a cleanup that failed has left on disk."""

    def size(self, datum: Datum) -> int:
        """Return how many bytes a datum takes; 0 where it is gone."""

    def discard(self, data: Sequence[Datum]) -> Iterable[Datum]:
        """Move data out of sight, without waiting for its deletion; yield what this has moved."""

    def cleanup(self, keep: Collection[Datum], advance: Callable[[], None]) -> None:
        """Delete what was discarded, and leftovers but for those to `keep`.

        Args:
            keep: what stays.
            advance: is called before each deletion; it raises where nothing may go any more.
        """


class ContentStock:
    """Blobs, ingests, and leftovers that were ingests.

    Attributes:
        claims: what somebody is making or naming here.
        blob_sizes: of the files of all blobs in bytes, by their digests.
    """

    def __init__(self, backend: ContentBackend, claims: Claims) -> None:
        """Look into the backend.

        Raises:
            OrlopError, OSError: it cannot be read.
        """
        self.claims = claims
        self._backend = backend
        self.blob_sizes = {blob.digest: blob.size for blob in backend.walk()}
        self._ingests = [Datum(UNFINISHED, ingest.ref) for ingest in backend.statuses()]
        self._leftovers = {Datum(LEFTOVER, one): size for one, size in backend.leftovers().items()}

    def data(self) -> Iterator[Datum]:
        """Return all data, blobs first."""
        for digest in self.blob_sizes:
            yield Datum(BLOB, digest)
        yield from self._ingests
        yield from self._leftovers

    def entries(self, datum: Datum) -> Collection[Suspect]:
        """Return the entries of a datum in a list of suspects: an ingest has its directory, too.

        An ingest that was a leftover is written on to, and one can become a leftover.
        """
        own = suspect_of(datum)
        if datum.kind == UNFINISHED:
            return (own, (LEFTOVER, ingest_directory(datum.name)))
        return (own,)

    def named(self, transaction: Transaction) -> set[Datum]:
        """Return the blobs and ingests that the metadata of all namespaces names."""
        return read_named_in_content(transaction)

    def uncertain(
        self,
        transaction: Transaction,  # noqa: ARG002 -- as the protocol has it
        unnamed: Collection[Datum],  # noqa: ARG002
        known: Collection[Datum] = (),  # noqa: ARG002
    ) -> Uncertain:
        """Return nothing: blobs and ingests have one name."""
        return Uncertain()

    def mounted(self, garbage: Collection[Datum]) -> dict[Datum, str]:
        """Return the garbage that something is mounted in, with the path of the mount."""
        return _mounted(self._backend, garbage)

    def left(self, discarded: Collection[Datum]) -> int:  # noqa: ARG002 -- as the protocol has it
        """Return 0: it is not known which data a discarded file was."""
        return 0

    def removable(self, garbage: Collection[Datum]) -> list[Datum]:
        """Return the garbage: nothing here stands on anything."""
        return [datum for datum in self.data() if datum in garbage]

    def size(self, datum: Datum) -> int:
        """Return the sizes of the files of a datum, in bytes."""
        if datum.kind == BLOB:
            return self.blob_sizes.get(datum.name, 0)
        if datum.kind == LEFTOVER:
            return self._leftovers.get(datum, 0)
        try:
            return self._backend.ingest_size(datum.name)
        except NotFoundError:
            return 0

    def discard(self, data: Sequence[Datum]) -> Iterator[Datum]:
        """Move data out of sight, one after the other; yield what this has moved."""
        for datum in data:
            if _is_gone(self._discarding(datum), datum):
                yield datum

    def cleanup(
        self,
        keep: Collection[Datum],  # noqa: ARG002 -- all is discarded first
        advance: Callable[[], None],
    ) -> None:
        """Delete what was discarded."""
        self._backend.cleanup(advance=advance)

    def _discarding(self, datum: Datum) -> Callable[[str], None]:
        discards = {BLOB: self._backend.discard, LEFTOVER: self._backend.discard_leftover}
        return discards.get(datum.kind, self._backend.discard_ingest)


class SnapshotStock:
    """The snapshots of one snapshotter."""

    def __init__(self, name: str, backend: SnapshotBackend, claims: Claims) -> None:
        """Look into the backend of the snapshotter `name`.

        Raises:
            OrlopError, OSError: it cannot be read.
        """
        self.claims = claims
        self._name = name
        self._backend = backend
        self._leftovers = {
            Datum(LEFTOVER, one, name): size for one, size in backend.leftovers().items()
        }
        self._snapshots = list(backend.walk())
        # Plug-ins may have no directories.
        self._numbers: dict[str, str] = getattr(backend, "numbers", dict)()

    def data(self) -> list[Datum]:
        """Return all snapshots, in byte order of their keys, then leftovers."""
        return [*(self._datum(one.name) for one in self._snapshots), *self._leftovers]

    def entries(self, datum: Datum) -> Collection[Suspect]:
        """Return the entries of a snapshot in a list of suspects: its key, and its directory.

        A snapshot changes its key when it is committed, and its directory is renamed when it is
        removed.
        """
        if datum.kind == LEFTOVER:
            directory = snapshot_number(datum.name) or datum.name
        else:
            directory = self._numbers.get(datum.name, "")
        own = suspect_of(datum)
        return (own, (LEFTOVER, directory)) if directory else (own,)

    def named(self, transaction: Transaction) -> set[Datum]:
        """Return the snapshots that the metadata of all namespaces names."""
        return read_named_snapshots(transaction, self._name)

    def uncertain(
        self, transaction: Transaction, unnamed: Collection[Datum], known: Collection[Datum] = ()
    ) -> Uncertain:
        """Return what could be the data of snapshots that the backend does not have."""
        present = {one.name: one for one in self._snapshots}
        return find_uncertain(transaction, self._name, present, unnamed, self._is_missing, known)

    def mounted(self, garbage: Collection[Datum]) -> dict[Datum, str]:
        """Return the garbage that something is mounted in, with the path of the mount."""
        return _mounted(self._backend, garbage)

    def left(self, discarded: Collection[Datum]) -> int:
        """Return how many bytes of discarded data a cleanup that failed has left on disk."""
        names = {
            _name_at_first(one.name) if one.kind == LEFTOVER else self._numbers.get(one.name, "")
            for one in discarded
        }
        return sum(
            size
            for name, size in self._backend.leftovers().items()
            if _name_at_first(name) in names
        )

    def removable(self, garbage: Collection[Datum]) -> list[Datum]:
        """Return what of the garbage can go, children first."""
        names = {datum.name for datum in garbage if datum.kind == FILES}
        free = [self._datum(name) for name in leaves_first(self._snapshots, names)]
        return free + [one for one in self._leftovers if one in garbage]

    def size(self, datum: Datum) -> int:
        """Return how many bytes of the disk the removal of a snapshot gives back."""
        if datum.kind == LEFTOVER:
            return self._leftovers.get(datum, 0)
        try:
            return self._backend.size_on_disk(datum.name)
        except NotFoundError:
            return 0

    def discard(self, data: Sequence[Datum]) -> list[Datum]:
        """Remove snapshots, all at once; return which this removed. Leftovers need no removal."""
        names = [one.name for one in data if one.kind == FILES]
        removed = [self._datum(name) for name in self._backend.discard(names)] if names else []
        return removed + [one for one in data if one.kind == LEFTOVER]

    def cleanup(self, keep: Collection[Datum], advance: Callable[[], None]) -> None:
        """Delete the files of removed snapshots, and leftovers but for those to `keep`."""
        leftovers = {one.name for one in keep if one.kind == LEFTOVER}
        self._backend.cleanup(leftovers, advance=advance)

    def _is_missing(self, name: str) -> bool:
        try:
            self._backend.stat(name)
        except NotFoundError:
            return True
        return False

    def _datum(self, name: str) -> Datum:
        return Datum(FILES, name, self._name)


def _name_at_first(directory: str) -> str:
    """Return what a leftover was called before it was removed, or its deletion began."""
    return name_before_deletion(directory) or snapshot_number(directory) or directory


def _mounted(
    backend: ContentBackend | SnapshotBackend, garbage: Collection[Datum]
) -> dict[Datum, str]:
    if not garbage or not isinstance(backend, MountedData):
        return {}
    places = backend.mounted()
    return {one: places[one.name] for one in garbage if one.name in places}


def take_stock(domain: Domain, name: str) -> Stock:
    """Look into the backend of that name.

    Args:
        domain: the database; it has that backend.
        name: a snapshotter, or `CONTENT_BACKEND`.

    Raises:
        OrlopError, OSError: it cannot be read.
    """
    if name == CONTENT_BACKEND and domain.content is not None:
        return ContentStock(domain.content, domain.content_claims)
    return SnapshotStock(name, domain.snapshotters[name], domain.snapshot_claims(name))


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
    """Return the names of all snapshots that stand on one of the ancestors."""
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


def _is_gone(discard: Callable[[str], None], datum: Datum) -> bool:
    """Discard something; tell whether this did it."""
    try:
        discard(datum.name)
    except NotFoundError:
        return False  # somebody else was faster, which is as good
    except FailedPreconditionError as error:
        _logger.info("%r stays: %s", datum.name, error)
        return False
    return True
