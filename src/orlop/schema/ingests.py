"""Ingests, the blobs in writing: `v1/<namespace>/content/ingests/<ref>`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orlop.schema import buckets, fields, names
from orlop.schema.tables import Table

if TYPE_CHECKING:
    from whenever import Instant

    from orlop.kv import Bucket, ReadableBucket


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """A blob in writing.

    Attributes:
        ref: how the user calls it.
        backend_ref: how the content backend calls it; empty in damaged records.
        expire_at: until when it is kept without a lease; `None`: only a lease keeps it.
        expected: the digest that it will have, if it shares another namespace's blob.
    """

    ref: str
    backend_ref: str
    expire_at: Instant | None = None
    expected: str = ""


def read(ingests: Bucket | None, ref: str) -> Ingest | None:
    """Return an ingest; `None` if it does not exist.

    Raises:
        DataLossError: the stored time cannot be read.
    """
    ingest = buckets.child(ingests, ref)
    if ingest is None:
        return None
    return Ingest(
        ref=ref,
        backend_ref=fields.read_text(ingest, names.REF),
        expire_at=fields.read_time(ingest, names.EXPIRE_AT),
        expected=fields.read_text(ingest, names.EXPECTED),
    )


def expected(ingests: ReadableBucket | None, ref: str) -> str:
    """Return the digest of the blob that an ingest shares, without the rest of it."""
    ingest = buckets.child(ingests, ref)
    return "" if ingest is None else fields.read_text(ingest, names.EXPECTED)


def expire_at(ingests: ReadableBucket | None, ref: str) -> Instant | None:
    """Return until when an ingest is kept without a lease, without the rest of it.

    Raises:
        DataLossError: the stored time cannot be read.
    """
    ingest = buckets.child(ingests, ref)
    return None if ingest is None else fields.read_time(ingest, names.EXPIRE_AT)


def backend_ref(ingests: Bucket | None, namespace: str, ref: str) -> str:
    """Return how the backend calls an ingest, or will call one that is still to be opened."""
    ingest = buckets.child(ingests, ref)
    if ingest is None:
        return _backend_ref(namespace, 1, ref)
    stored = fields.read_text(ingest, names.REF)
    return stored or _backend_ref(namespace, ingest.sequence + 1, ref)


def next_backend_ref(backend_ref: str) -> str:
    """Return the backend reference with the next number, for an ingest that is not open yet."""
    namespace, number, ref = backend_ref.split("/", 2)
    return _backend_ref(namespace, int(number) + 1, ref)


def open_ingest(ingests: Bucket, namespace: str, ref: str, backend_ref: str) -> None:
    """Make an ingest if it is missing, with a backend reference that was chosen for it."""
    ingest = ingests.create_bucket_if_absent(names.to_bytes(ref))
    if not fields.read_text(ingest, names.REF):
        number = int(backend_ref.split("/", 2)[1])
        if ingest.sequence != number - 1:
            ingest.set_sequence(number - 1)
        number = ingest.next_sequence()
        fields.write_text(ingest, names.REF, _backend_ref(namespace, number, ref))


def set_expiry(ingests: Bucket, ref: str, expire_at: Instant) -> None:
    """Keep an ingest until `expire_at`, without a lease."""
    ingest = ingests.create_bucket_if_absent(names.to_bytes(ref))
    fields.write_time(ingest, names.EXPIRE_AT, expire_at)


def set_expected(ingests: Bucket, ref: str, digest: str) -> None:
    """Make an ingest share the blob `digest` of another namespace."""
    ingest = ingests.create_bucket_if_absent(names.to_bytes(ref))
    fields.write_text(ingest, names.EXPECTED, digest)


def _backend_ref(namespace: str, number: int, ref: str) -> str:
    return f"{namespace}/{number}/{ref}"


TABLE: Final = Table(names.CONTENT, names.INGESTS)

find, create, exists = TABLE.find, TABLE.create, TABLE.exists
all_names, delete = TABLE.all_names, TABLE.delete
