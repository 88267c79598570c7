"""Fallbacks for backends that lack a capability: plug-ins, or those of an earlier version.

None of its data is deleted for that: data that it cannot list is left to it, and a backend that
does not accept a list of data to keep is not cleaned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.errors import FailedPreconditionError
from orlop.storage.contract import Leftovers, takes_argument

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from orlop.storage.contract import ContentBackend, SnapshotBackend


def leftovers_of(backend: ContentBackend | SnapshotBackend) -> Mapping[str, int]:
    """Return the data that a backend has no name for, with its bytes; nothing if it never tells."""
    return backend.leftovers() if isinstance(backend, Leftovers) else {}


def clean_content(backend: ContentBackend, advance: Callable[[], None]) -> None:
    """Call a content backend's cleanup, which deletes discarded data.

    Args:
        backend: the backend.
        advance: is called before each deletion, or once before all of them where the backend
            takes no such argument; it raises where nothing may go any more.
    """
    _call_cleanup(backend.cleanup, {"advance": advance})


def clean_snapshots(
    backend: SnapshotBackend, keep: Collection[str], advance: Callable[[], None]
) -> None:
    """Call a snapshot backend's cleanup, which deletes removed snapshots.

    Args:
        backend: the backend.
        keep: leftovers that stay.
        advance: as for `clean_content`.

    Raises:
        FailedPreconditionError: the backend has something to keep, and cannot be told so.
    """
    if keep and not takes_argument(backend.cleanup, "keep"):
        raise FailedPreconditionError(
            f"the cleanup of {type(backend).__name__} takes no argument keep, and would delete "
            "what is set aside or unsettled: it was not called"
        )
    _call_cleanup(backend.cleanup, {"keep": keep, "advance": advance})


def _call_cleanup(cleanup: Callable[..., None], arguments: Mapping[str, object]) -> None:
    """Call a cleanup with those of the arguments that it takes."""
    taken = {name: value for name, value in arguments.items() if takes_argument(cleanup, name)}
    if "advance" not in taken and callable(advance := arguments["advance"]):
        advance()
    cleanup(**taken)
