"""Blobs and snapshots, made as a user makes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from orlop import Descriptor, Image, digests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orlop import Database, Namespace


def make_blob(
    namespace: Namespace, data: bytes, labels: Mapping[str, str] | None = None, *, ref: str = "r"
) -> str:
    """Write a blob; where another namespace has it, it is shared."""
    digest = digests.from_bytes(data)
    with namespace.content.writer(ref, size=len(data), expected=digest) as writer:
        if writer.status().offset == 0:
            writer.write(data)
        writer.commit(size=len(data), expected=digest, labels=labels)
    return digest


def make_image(namespace: Namespace, name: str, digest: str, **labels: str) -> None:
    target = Descriptor(media_type="irrelevant", digest=digest, size=256)
    namespace.images.create(Image(name=name, target=target, labels=labels))


def make_snapshot(
    namespace: Namespace,
    name: str,
    parent: str = "",
    labels: Mapping[str, str] | None = None,
    *,
    files: Mapping[str, bytes] | None = None,
) -> str:
    """Make a committed snapshot of the native snapshotter."""
    store = namespace.snapshots("native")
    (mount,) = store.prepare(f"{name}-active", parent)
    for path, data in (files or {name: name.encode()}).items():
        Path(mount.source, path).write_bytes(data)
    store.commit(name, f"{name}-active", labels)
    return name


def blobs_on_disk(database: Database) -> dict[str, int]:
    """Return the sizes of blobs by digest."""
    return {blob.digest: blob.size for blob in database.content_backend.walk()}


def ingests_on_disk(database: Database) -> set[str]:
    return {ingest.ref for ingest in database.content_backend.statuses()}


def snapshots_on_disk(database: Database, snapshotter: str = "native") -> set[str]:
    """Return the backend names of snapshots."""
    return {one.name for one in database.snapshot_backends[snapshotter].walk()}


def bytes_on_disk(database: Database) -> int:
    """Return the sizes of all files of the content store, in bytes."""
    assert database.root is not None
    folder = database.root / "io.containerd.content.v1.content"
    return sum(
        os.lstat(Path(place, name)).st_size for place, _, names in os.walk(folder) for name in names
    )
