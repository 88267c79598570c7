"""Snapshots missing from their backend, and the unnamed data that may be theirs.

containerd, too, commits a snapshot in its backend first, under a name of its own, and notes
nothing. Killed in between it leaves an active snapshot without data, and data without a name.
As long as that record exists, no cleanup deletes data that may be its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from orlop.gc.items import LEFTOVER_ITEM, SNAPSHOT_ITEM, BackendItem
from orlop.records import SnapshotKind
from orlop.schema import namespaces, snapshots
from orlop.storage.contract import snapshot_number
from orlop.stores import pending_commits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from orlop.gc.context import CollectionContext
    from orlop.kv import Transaction
    from orlop.records import SnapshotInfo

_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class MissingSnapshot:
    """A snapshot that the metadata names and its backend does not have.

    Attributes:
        namespace: whose it is.
        key: how the user calls it.
        backend_name: how the backend would call it.
        backend_parent: how the backend calls what it stands on; empty: nothing.
    """

    namespace: str
    key: str
    backend_name: str
    backend_parent: str

    def could_be(self, found: SnapshotInfo) -> bool:
        """Whether a snapshot in the backend may be this one under another name.

        It would have been committed later than this was made; or this is the committed one, and
        its commit was undone. Only a snapshot on nothing can get another parent.
        """
        ours, theirs = _split(self.backend_name), _split(found.name)
        if ours[0] != theirs[0]:
            return False
        if found.kind is SnapshotKind.COMMITTED:
            return ours[1] < theirs[1] and self.backend_parent in {"", found.parent}
        return (
            found.kind is SnapshotKind.ACTIVE
            and theirs[1] < ours[1]
            and found.parent in {"", self.backend_parent}
        )


@dataclass(frozen=True, slots=True)
class Uncertain:
    """Data that no metadata names, and that could be that of snapshots without data.

    Attributes:
        snapshotter: the backend.
        missing: the snapshots for which something is kept, in the order of their names.
        data: what is kept for them.
    """

    snapshotter: str = ""
    missing: list[MissingSnapshot] = field(default_factory=list)
    data: set[BackendItem] = field(default_factory=set)

    def describe(self) -> str:
        """Return a warning: the data kept, the snapshots that lack data, and the remedy."""
        shown = ", ".join(
            f'"{one.key}" of namespace "{one.namespace}"' for one in self.missing[:_SHOWN]
        )
        more = len(self.missing) - _SHOWN
        rest = f" and {more} more" if more > 0 else ""
        kept = ", ".join(item.key for item in sorted(self.data)[:_SHOWN])
        return (
            f"{self.snapshotter} does not have the data of snapshot {shown}{rest}, and what no "
            f"metadata names there may be it: {len(self.data)} kept ({kept}). Remove these "
            "snapshots (`snapshot rm`) and collect again, or release what is set aside"
        )


def find_uncertain(
    transaction: Transaction,
    snapshotter: str,
    present: Mapping[str, SnapshotInfo],
    unnamed: Iterable[BackendItem],
    is_missing: Callable[[str], bool],
    known: Collection[BackendItem] = (),
) -> Uncertain:
    """Return which of the unnamed data in a backend could be that of a snapshot without data.

    Args:
        transaction: where the metadata is read.
        snapshotter: the backend.
        present: what it has, by its names.
        unnamed: what of that, and of its directories, no metadata names.
        is_missing: asks the backend once more; a snapshot may have been made since `present`.
        known: what records name that are removed first, or whose data is known.
    """
    found = Uncertain(snapshotter)
    unnamed = list(unnamed)
    infos = [
        present[one.name] for one in unnamed if one.kind == SNAPSHOT_ITEM and one.name in present
    ]
    numbered = {one for one in unnamed if one.kind == LEFTOVER_ITEM and snapshot_number(one.name)}
    for missing in _missing(transaction, snapshotter, present):
        if BackendItem(SNAPSHOT_ITEM, missing.backend_name, snapshotter) in known:
            continue
        data = {
            BackendItem(SNAPSHOT_ITEM, one.name, snapshotter)
            for one in infos
            if missing.could_be(one)
        }
        data = data or numbered
        if data and is_missing(missing.backend_name):
            found.missing.append(missing)
            found.data.update(data)
    return found


def settle_commits(context: CollectionContext, name: str) -> set[BackendItem]:
    """Settle the commits that a backend has noted; return the data of those that remain.

    Raises:
        OrlopError, OSError: something could not be read or written.
    """
    backend = context.snapshotters.get(name)
    if backend is None:
        return set()
    left = pending_commits.settle_all(
        context.transactor,
        name,
        backend,
        context.claims(name),
        keeps_notes=context.quarantine.has_suspects(name) or context.quarantine.has_suspects(""),
    )
    return {BackendItem(SNAPSHOT_ITEM, one, name) for one in left}


def _missing(
    transaction: Transaction, snapshotter: str, present: Mapping[str, SnapshotInfo]
) -> Iterator[MissingSnapshot]:
    for namespace in namespaces.all_names(transaction):
        bucket = snapshots.find(transaction, namespace, snapshotter)
        for key in snapshots.all_names(bucket):
            backend_name = snapshots.backend_name(bucket, key)
            if backend_name and backend_name not in present:
                parent = snapshots.parent(bucket, key)
                backend_parent = snapshots.backend_name(bucket, parent) if parent else ""
                yield MissingSnapshot(namespace, key, backend_name, backend_parent)


def _split(backend_name: str) -> tuple[str, int]:
    """Return the namespace and the number in a backend name; 0 where there is none."""
    namespace, _, rest = backend_name.partition("/")
    number = rest.partition("/")[0]
    return namespace, int(number) if number.isdecimal() else 0
