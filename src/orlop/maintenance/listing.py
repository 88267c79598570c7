"""The buckets of a database as a tree, with values as people read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orlop.maintenance.decoding import decoded, readable
from orlop.schema.metastore import is_metastore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.kv import Bucket, Item, Transaction


MAX_NAMES: Final = 256
"""So many keys of a path are told: the last ones, where a damaged file has more."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A bucket or a value in it.

    Attributes:
        path: the keys that lead to it, its own last; the last 256, if there are more.
        count: how many entries a bucket has; `None` for a value.
        sequence: a bucket's counter; `None` for a value.
        value: a value as people read it; `None` for a bucket.
    """

    path: tuple[bytes, ...]
    count: int | None = None
    sequence: int | None = None
    value: str | None = None

    @property
    def name(self) -> str:
        """The entry's own key as text."""
        return readable(self.path[-1])


def entries(transaction: Transaction, *, depth: int | None = None) -> Iterator[Entry]:
    """Iterate over all buckets and values, each bucket before its contents.

    Args:
        transaction: the version to walk through.
        depth: how many levels to show; `None`: all.

    Raises: what the engine raises where the file is damaged.
    """
    is_of_snapshotter = is_metastore(transaction)
    # A stack of its own: buckets may nest deeper than Python's bears.
    path: list[bytes] = []
    walked: list[tuple[Bucket, Iterator[Item]]] = [(transaction.root, transaction.root.items())]
    while walked:
        bucket, items = walked[-1]
        key, value = next(items, (None, None))
        if key is None:
            walked.pop()
            del path[-1:]
            continue
        here = (*path[1 - MAX_NAMES :], key)
        nested = bucket.bucket(key) if value is None else None
        if nested is not None:
            yield Entry(here, count=sum(1 for _ in nested.items()), sequence=nested.sequence)
            if depth is None or len(walked) < depth:
                walked.append((nested, nested.items()))
                path.append(key)
        elif value is not None:
            yield Entry(here, value=decoded(here, value, is_metastore=is_of_snapshotter))
