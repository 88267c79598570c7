"""Snapshots that the metadata names and their backend does not have, in words of the user.

A backend knows a snapshot by a name that no user has seen. Its data may be gone: a process
died in a commit and a collection followed, or somebody deleted files.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from orlop.model.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.model.backends import SnapshotBackend
    from orlop.model.records import SnapshotInfo


@contextmanager
def explained(
    backend: SnapshotBackend, backend_name: str, key: str, snapshotter: str
) -> Iterator[None]:
    """Let an error of the backend that means the data of a snapshot is gone say so by its key.

    Raises:
        NotFoundError: something was not found in the block; where it is not that data, as it is.
    """
    try:
        yield
    except NotFoundError as error:
        if not backend_name or found(backend, backend_name) is not None:
            raise
        raise NotFoundError(
            f'snapshot "{key}" of {snapshotter}: its data is gone from the backend '
            f"({error.context}); remove it and make it again"
        ) from error


def found(backend: SnapshotBackend, backend_name: str) -> SnapshotInfo | None:
    """Return what the backend knows of a snapshot, `None` where it does not have it."""
    try:
        return backend.stat(backend_name)
    except NotFoundError:
        return None
