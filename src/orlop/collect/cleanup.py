"""The cleanup: data in the backends that no metadata names is deleted.

It runs after the sweep, when updates go on again. Under the lock of a store what is about to
go is checked against the metadata once more: whoever makes data holds a share of that lock
from before the data exists until it is named.

Source: containerd, core/metadata/content.go and snapshot.go (garbageCollect); spec/metadata.md
3.8.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orlop.collect.named import BLOB, FILES, UNFINISHED, Datum, read_named
from orlop.model.errors import FailedPreconditionError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from orlop.collect.domain import Domain
    from orlop.model.backends import ContentBackend, SnapshotBackend
    from orlop.model.records import SnapshotInfo

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What a cleanup did.

    Attributes:
        deleted: how many blobs, ingests or snapshots it deleted.
        freed_bytes: what they took on disk.
    """

    deleted: int = 0
    freed_bytes: int = 0


def clean_content(
    domain: Domain, backend: ContentBackend, only: Collection[Datum] | None
) -> Cleaned:
    """Delete blobs and ingests that no namespace names.

    Args:
        domain: the database.
        backend: its content.
        only: what may be deleted at most; `None`: all that nothing names.

    Raises:
        OrlopError, OSError: something could not be read or deleted.
    """
    deleted, freed = 0, 0
    with domain.content_lock.exclusive():
        named = domain.transactor.read(read_named)

        def is_garbage(datum: Datum) -> bool:
            return datum not in named and (only is None or datum in only)

        for blob in backend.walk():
            if is_garbage(Datum(BLOB, blob.digest)) and _is_gone(backend.delete, blob.digest):
                deleted, freed = deleted + 1, freed + blob.size
        for ingest in list(backend.statuses()):
            if is_garbage(Datum(UNFINISHED, ingest.ref)) and _is_gone(backend.abort, ingest.ref):
                deleted, freed = deleted + 1, freed + ingest.offset
        backend.cleanup()
    return Cleaned(deleted, freed)


def clean_snapshots(
    domain: Domain, name: str, backend: SnapshotBackend, only: Collection[Datum] | None
) -> Cleaned:
    """Remove snapshots that no namespace names, then what removed ones left on disk.

    Args:
        domain: the database.
        name: the snapshotter.
        backend: what keeps its snapshots.
        only: what may be removed at most; `None`: all that nothing names.

    Raises:
        OrlopError, OSError: something could not be read or removed.
    """
    sizes = _sizes(domain, name, backend, only)
    deleted, freed = 0, 0
    with domain.snapshot_lock(name).exclusive():
        for key in _garbage(domain, name, backend, only):
            if _is_gone(backend.remove, key):
                deleted, freed = deleted + 1, freed + sizes.get(key, 0)
    backend.cleanup()
    return Cleaned(deleted, freed)


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


def _garbage(
    domain: Domain, name: str, backend: SnapshotBackend, only: Collection[Datum] | None
) -> list[str]:
    """Return the backend names of what can be removed, children first."""
    snapshots = list(backend.walk())
    if not snapshots:
        return []
    named = domain.transactor.read(read_named)
    data = {one.name: Datum(FILES, one.name, name) for one in snapshots}
    garbage = {
        key for key, datum in data.items() if datum not in named and (only is None or datum in only)
    }
    removable = leaves_first(snapshots, garbage)
    for key in sorted(garbage.difference(removable)):
        _logger.info("snapshot %r of %s stays: others stand on it", key, name)
    return removable


def _sizes(
    domain: Domain, name: str, backend: SnapshotBackend, only: Collection[Datum] | None
) -> dict[str, int]:
    """Return what the garbage takes on disk, in bytes. To count may take long: it needs no lock."""
    sizes = {}
    for key in _garbage(domain, name, backend, only):
        try:
            sizes[key] = backend.usage(key).size
        except (NotFoundError, OSError) as error:
            _logger.info("what snapshot %r of %s takes is not known: %s", key, name, error)
    return sizes


def _is_gone(remove: Callable[[str], None], key: str) -> bool:
    """Remove something; tell whether this did it."""
    try:
        remove(key)
    except NotFoundError:
        return False  # somebody else was faster, which is as good
    except FailedPreconditionError as error:
        _logger.info("%r stays: %s", key, error)
        return False
    return True
