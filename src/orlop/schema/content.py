"""Blobs: `v1/<namespace>/content/blob/<digest>`. Ingests are beside them: `ingests.py`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from orlop.schema import buckets, drafts, fields, names
from orlop.schema.tables import RecordTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orlop.kv import Bucket, Tree
    from orlop.records import ContentInfo
    from orlop.schema.fields import Wanted


def size(blobs: Bucket | None, digest: str) -> int:
    """Return the size of a blob in bytes, without the rest of it; 0 where it is unknown."""
    blob = buckets.child(blobs, digest)
    return 0 if blob is None else fields.read_size(blob, names.SIZE)


def sizes(blobs: Bucket | None) -> Iterator[tuple[str, int]]:
    """Iterate over the names of all blobs with their sizes in bytes, in byte order."""
    for key, blob in () if blobs is None else blobs.trees():
        yield names.to_text(key), fields.size(blob, names.SIZE)


def read_all(
    blobs: Bucket | None, is_digest: Callable[[str], bool], wanted: Wanted | None = None
) -> list[ContentInfo]:
    """Return the blobs that are wanted, in byte order of their digests; `None`: all.

    What has another name than a digest is no blob.

    Raises: as `read`, for one that is not wanted, too.
    """
    found: list[ContentInfo] = []
    for key, blob in () if blobs is None else blobs.trees():
        digest = names.to_text(key)
        if not is_digest(digest):
            continue
        if wanted is None or wanted(digest, blob):
            found.append(_decode(digest, blob))
        else:
            fields.times(blob)
    return found


def write(blobs: Bucket, info: ContentInfo) -> ContentInfo:
    """Store the record of a blob; return it without empty labels, which are dropped."""
    with buckets.RecordWriter(blobs, info.digest) as blob:
        fields.write_time(blob, names.CREATED_AT, info.created_at)
        fields.write_time(blob, names.UPDATED_AT, info.updated_at)
        stored_labels = fields.write_map(blob, names.LABELS, info.labels)
        fields.write_size(blob, names.SIZE, info.size)
    return dataclasses.replace(info, labels=stored_labels)


def _decode(digest: str, blob: Tree) -> ContentInfo:
    return drafts.content_info(
        digest,
        fields.size(blob, names.SIZE),
        fields.texts(blob, names.LABELS),
        fields.times(blob),
    )


TABLE: Final = RecordTable((names.CONTENT, names.BLOBS), _decode, fields.check_times)

find, create, exists, labels = TABLE.find, TABLE.create, TABLE.exists, TABLE.labels
all_names, read, delete = TABLE.all_names, TABLE.read, TABLE.delete
