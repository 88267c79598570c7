"""Blobs for tests."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from orlop.schema import ingests

if TYPE_CHECKING:
    from orlop import Namespace
    from orlop.schema.ingests import Ingest

DATA = b"some data"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def put(ns: Namespace, data: bytes = DATA, **labels: str) -> str:
    with ns.content.writer(f"put-{hashlib.md5(data).hexdigest()}") as writer:  # noqa: S324 -- a name
        writer.write(data)
        writer.commit(labels=labels)
        return writer.digest()


def ingest(ns: Namespace, ref: str) -> Ingest | None:
    with ns.environment.transactions.view() as transaction:
        return ingests.read(ingests.find(transaction, ns.name), ref)
