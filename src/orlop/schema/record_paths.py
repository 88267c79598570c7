"""Record paths: the record, or the set of records, that a bucket is part of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orlop.schema import names

if TYPE_CHECKING:
    from orlop.kv import Path

_STORES_WITH_PARTS: Final = frozenset({names.CONTENT, names.SNAPSHOTS})
"""Below these lie blobs and ingests, or one bucket for each snapshotter."""


@dataclass(frozen=True, slots=True)
class RecordPath:
    """The path of a record or of a set of records; empty fields match all.

    Attributes:
        namespace: the namespace; `None`: the whole schema.
        store: the names of the buckets that lead to records: one, or for content and
            snapshots two.
        key: the record: a name, an id, a digest, a reference, a snapshot's key.
    """

    namespace: str | None = None
    store: tuple[bytes, ...] = ()
    key: str | None = None


def record_path(path: Path) -> RecordPath | None:
    """Return the record path of the bucket at `path`; `None` if it is no part of a record."""
    if path and path[0] != names.SCHEMA:
        return None
    if len(path) < 2:  # noqa: PLR2004 -- the schema, then the namespace
        return RecordPath()
    namespace, within = names.to_text(path[1]), path[2:]
    if within[:1] == (names.LABELS,):
        return None
    depth = 2 if within[:1] and within[0] in _STORES_WITH_PARTS else 1
    key = names.to_text(within[depth]) if len(within) > depth else None
    return RecordPath(namespace, within[:depth], key)
