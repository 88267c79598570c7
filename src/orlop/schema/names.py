"""The names of buckets and keys in `meta.db`, and the way from text to bytes and back.

Source: containerd, core/metadata/buckets.go.
"""

from __future__ import annotations

from typing import Final

from orlop.errors import InvalidArgumentError

KEY_BYTES_MAX: Final = 32_768
"""The longest key that the file format takes, in bytes."""

SCHEMA: Final[bytes] = b"v1"
VERSION: Final[bytes] = b"version"

# Objects of a namespace.
LABELS: Final[bytes] = b"labels"
IMAGES: Final[bytes] = b"images"
CONTAINERS: Final[bytes] = b"containers"
SNAPSHOTS: Final[bytes] = b"snapshots"
CONTENT: Final[bytes] = b"content"
BLOBS: Final[bytes] = b"blob"
INGESTS: Final[bytes] = b"ingests"
SANDBOXES: Final[bytes] = b"sandboxes"
LEASES: Final[bytes] = b"leases"

# What older daemons wrote, and migrations remove.
FLAT_INGESTS: Final[bytes] = b"ingest"

# Fields of objects.
CREATED_AT: Final[bytes] = b"createdat"
UPDATED_AT: Final[bytes] = b"updatedat"
EXPIRE_AT: Final[bytes] = b"expireat"
ANNOTATIONS: Final[bytes] = b"annotations"
TARGET: Final[bytes] = b"target"
DIGEST: Final[bytes] = b"digest"
MEDIA_TYPE: Final[bytes] = b"mediatype"
SIZE: Final[bytes] = b"size"
IMAGE: Final[bytes] = b"image"
SNAPSHOTTER: Final[bytes] = b"snapshotter"
SNAPSHOT_KEY: Final[bytes] = b"snapshotKey"
SANDBOX_ID: Final[bytes] = b"sandboxid"
SANDBOXER: Final[bytes] = b"sandboxer"
SPEC: Final[bytes] = b"spec"
RUNTIME: Final[bytes] = b"runtime"
NAME: Final[bytes] = b"name"
OPTIONS: Final[bytes] = b"options"
EXTENSIONS: Final[bytes] = b"extensions"
PARENT: Final[bytes] = b"parent"
CHILDREN: Final[bytes] = b"children"
REF: Final[bytes] = b"ref"
EXPECTED: Final[bytes] = b"expected"


def to_bytes(text: str) -> bytes:
    """Return `text` as it is stored: UTF-8, foreign bytes as `to_text` passed them on.

    Raises:
        InvalidArgumentError: the text holds half of a surrogate pair.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        message = f"text {text!r} cannot be written as UTF-8"
        refused = InvalidArgumentError(message).because(error)
    raise refused


def to_text(data: bytes) -> str:
    """Return stored bytes as text; bytes that are no UTF-8 survive as lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def check_key(text: str, what: str) -> None:
    """Refuse an invalid name of a key or a bucket, before anything is written.

    Raises:
        InvalidArgumentError: the text is empty or longer than the file format takes.
    """
    if 0 < len(text) <= KEY_BYTES_MAX and text.isascii():
        return
    if not text:
        raise InvalidArgumentError(f"{what} must not be empty")
    size_bytes = len(to_bytes(text))
    if size_bytes > KEY_BYTES_MAX:
        raise InvalidArgumentError(
            f"{what} is {size_bytes} bytes long, {KEY_BYTES_MAX} are allowed: {text[:64]!r}..."
        )
