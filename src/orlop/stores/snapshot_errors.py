"""Errors for snapshots that are in the metadata but not in their backend.

A backend knows a snapshot by a name that no user has seen; these errors name its key. The data
may be gone since a process died in a commit and a collection followed, or since files were
deleted by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.errors import NotFoundError
from orlop.storage.contract import RepairableSnapshots, ReversibleCommits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import TracebackType

    from orlop.records import SnapshotInfo
    from orlop.storage.contract import SnapshotBackend


class naming_missing_snapshot:  # noqa: N801 (it is used as a function; a generator costs three times as much)
    """Rewrites a NotFoundError of the backend so that it names the key of the snapshot.

    Raises:
        NotFoundError: the backend has no data of the snapshot; other NotFoundErrors pass unchanged.
    """

    __slots__ = ("_backend", "_backend_name", "_key", "_snapshotter")

    def __init__(
        self, backend: SnapshotBackend, backend_name: str, key: str, snapshotter: str
    ) -> None:
        self._backend = backend
        self._backend_name = backend_name
        self._key = key
        self._snapshotter = snapshotter

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not isinstance(error, NotFoundError) or not self._backend_name:
            return
        if stat_or_none(self._backend, self._backend_name) is None:
            if is_being_committed(self._backend, self._backend_name):
                raise NotFoundError(
                    f'snapshot "{self._key}" of {self._snapshotter}: a commit of it was '
                    "interrupted or still goes on; open the root for writing (`orlop gc run`), "
                    "and it is there"
                ) from error
            raise NotFoundError(
                f'snapshot "{self._key}" of {self._snapshotter}: its data is gone from the '
                f"backend ({error.context})",
                hint="remove it and make it again (orlop snapshot rm)",
            ) from error


def snapshot_fault(backend: SnapshotBackend, backend_name: str) -> str:
    """Return why the data of a snapshot is missing; empty if it is there, or unknown."""
    try:
        if isinstance(backend, RepairableSnapshots):
            return backend.fault(backend_name)
        backend.stat(backend_name)
    except NotFoundError:
        if is_being_committed(backend, backend_name):
            return "a commit of it was interrupted, or still goes on"
        return "its data is gone from the backend"
    return ""


def known_names(backend: SnapshotBackend) -> set[str]:
    """Return the names of all snapshots that a backend has."""
    # Ours list their numbers without reading the rest of each record.
    numbers: Callable[[], Collection[str]] | None = getattr(backend, "numbers", None)
    return {info.name for info in backend.walk()} if numbers is None else set(numbers())


def is_being_committed(backend: SnapshotBackend, backend_name: str) -> bool:
    """Return whether a commit from or to that name is pending in a backend."""
    return isinstance(backend, ReversibleCommits) and any(
        backend_name in {one.key, one.name} for one in backend.pending_commits()
    )


def stat_or_none(backend: SnapshotBackend, backend_name: str) -> SnapshotInfo | None:
    """Return the info of a snapshot in its backend; `None` if the backend does not have it."""
    try:
        return backend.stat(backend_name)
    except NotFoundError:
        return None
