"""Faults in the data of a blob: missing, unreadable, of another size or digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop import digests
from orlop.errors import NotFoundError

if TYPE_CHECKING:
    from orlop.storage.contract import ContentBackend

MISSING: Final = "the data is missing"


def blob_fault(
    backend: ContentBackend, digest: str, size: int | None, *, verify: bool = False
) -> str:
    """Return why the data of a blob is not there as it should be; empty where it is.

    Args:
        backend: what keeps the data.
        digest: of the blob.
        size: its size in bytes; `None`: not known.
        verify: also read the data, and compare it with the digest.
    """
    try:
        found = backend.info(digest).size
    except NotFoundError as error:
        return fault_of(error, digest)
    except OSError as error:
        return f"the data cannot be read: {error.strerror}"
    if size is not None and found != size:
        return size_fault(found, size)
    return _digest_fault(backend, digest) if verify else ""


def fault_of(error: NotFoundError, digest: str) -> str:
    """Return the reason in a NotFoundError of a content backend."""
    reason = error.context.removeprefix(f"content {digest}").removeprefix(": ")
    return reason or MISSING


def size_fault(found: int, recorded: int) -> str:
    """Return the fault of a file of another size than the metadata says."""
    return f"{found} bytes instead of {recorded}"


def _digest_fault(backend: ContentBackend, digest: str) -> str:
    try:
        with backend.open(digest) as blob:
            actual = digests.of_file(blob, digests.algorithm(digest))
    except NotFoundError as error:
        return fault_of(error, digest)
    except OSError as error:
        return f"the data cannot be read: {error.strerror}"
    return "" if actual == digest else f"the data has the digest {actual}"
