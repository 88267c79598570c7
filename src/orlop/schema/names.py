"""The names of buckets and keys in `meta.db`, and the way from text to bytes and back.

Source: containerd, core/metadata/buckets.go.
"""

from __future__ import annotations

from typing import Final

from orlop.model.errors import InvalidArgumentError

KEY_BYTES_MAX: Final = 32_768
"""The longest key that the file format takes, in bytes."""

SCHEMA: Final = b"v1"
VERSION: Final = b"version"

# Objects of a namespace.
LABELS: Final = b"labels"
IMAGES: Final = b"images"
CONTAINERS: Final = b"containers"
SNAPSHOTS: Final[bytes] = b"snapshots"
CONTENT: Final[bytes] = b"content"
BLOBS: Final = b"blob"
INGESTS: Final = b"ingests"
SANDBOXES: Final = b"sandboxes"
LEASES: Final = b"leases"

# What older daemons wrote, and migrations remove.
FLAT_INGESTS: Final = b"ingest"

# Fields of objects.
CREATED_AT: Final = b"createdat"
UPDATED_AT: Final = b"updatedat"
EXPIRE_AT: Final = b"expireat"
ANNOTATIONS: Final = b"annotations"
TARGET: Final = b"target"
DIGEST: Final = b"digest"
MEDIA_TYPE: Final = b"mediatype"
SIZE: Final = b"size"
IMAGE: Final = b"image"
SNAPSHOTTER: Final = b"snapshotter"
SNAPSHOT_KEY: Final = b"snapshotKey"
SANDBOX_ID: Final = b"sandboxid"
SANDBOXER: Final = b"sandboxer"
SPEC: Final = b"spec"
RUNTIME: Final = b"runtime"
NAME: Final = b"name"
OPTIONS: Final = b"options"
EXTENSIONS: Final = b"extensions"
PARENT: Final = b"parent"
CHILDREN: Final = b"children"
REF: Final = b"ref"
EXPECTED: Final = b"expected"


def to_bytes(text: str) -> bytes:
    """Return `text` as it is stored: UTF-8, foreign bytes as `to_text` passed them on.

    Raises:
        InvalidArgumentError: the text holds half of a surrogate pair.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"text {text!r} cannot be written as UTF-8") from error


def to_text(data: bytes) -> str:
    """Return stored bytes as text; what is no UTF-8 survives as lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def check_key(text: str, what: str) -> None:
    """Refuse what cannot be the name of a key or a bucket, before anything is written.

    Raises:
        InvalidArgumentError: the text is empty or longer than the file format takes.
    """
    if not text:
        raise InvalidArgumentError(f"{what} must not be empty")
    size_bytes = len(to_bytes(text))
    if size_bytes > KEY_BYTES_MAX:
        raise InvalidArgumentError(
            f"{what} is {size_bytes} bytes long, {KEY_BYTES_MAX} are allowed: {text[:64]!r}..."
        )
