"""Recognition of unreachable leaves by their keys, and by the records in them.

The names are those of containerd's `meta.db`: the files that need this are mostly that.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from orlop.bolt.node import BUCKET_FLAG, Leaf
from orlop.bolt.page import decode_bucket
from orlop.bolt.tools.walk import MAX_NAMES, names_of
from orlop.errors import DataLossError
from orlop.kv.errors import CorruptError
from orlop.schema import names
from orlop.schema.codec.encoding import decode_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orlop.bolt.tools.walk import BucketPath
    from orlop.maintenance.salvage.reading import Reader
    from orlop.maintenance.salvage.report import Loss

MAX_GAPS: Final = 200
"""So many gaps are tried for each leaf; a file with more has no order left to rely on."""

_RECORDS_READ: Final = 64
_NAMESPACE_DEPTH: Final = 2
_SNAPSHOTTER_DEPTH: Final = 4

_MARKS: Final[dict[tuple[bytes, ...], bytes]] = {
    (names.CONTENT, names.BLOBS): names.SIZE,
    (names.CONTENT, names.INGESTS): names.REF,
    (names.IMAGES,): names.TARGET,
    (names.CONTAINERS,): names.SPEC,
    (names.SANDBOXES,): names.SANDBOXER,
    (names.LEASES,): names.CREATED_AT,
}
"""Where records lie in a namespace, and a key that each of them has; the plainest mark last."""

_SNAPSHOT_MARK: Final = names.NAME

_KINDS: Final = frozenset(
    {
        names.LABELS,
        names.IMAGES,
        names.CONTAINERS,
        names.SNAPSHOTS,
        names.CONTENT,
        names.SANDBOXES,
        names.LEASES,
    }
)


class Gaps:
    """Where pages of known buckets are lost."""

    def __init__(self, losses: Iterable[Loss]) -> None:
        """Begin with the losses."""
        self._by_path: dict[tuple[bytes, ...], list[Loss]] = {}
        for loss in losses:
            if loss.is_gap:
                self._by_path.setdefault(loss.bucket_path, []).append(loss)

    def holds(self, bucket: BucketPath | None, key: bytes) -> bool:
        """Whether a key of the bucket at `bucket` may have been on a lost page."""
        path = names_of(bucket)
        return any(_may_have(loss, key) for loss in self._by_path.get(path, ())[:MAX_GAPS])

    def all(self) -> Iterator[Loss]:
        """Iterate over the gaps: the first 200 of them."""
        return islice(chain.from_iterable(self._by_path.values()), MAX_GAPS)


def _may_have(loss: Loss, key: bytes) -> bool:
    return (loss.least is None or key >= loss.least) and (loss.below is None or key < loss.below)


class Recognition:
    """Finds the bucket of a leaf."""

    def __init__(self, reader: Reader) -> None:
        """Look at records with `reader`."""
        self._reader = reader
        self._known_records: list[list[bytes]] | None = None

    def home(self, leaf: Leaf, gaps: Gaps) -> tuple[bytes, ...] | None:
        """Return the bucket in which the damage left a gap that the leaf fits into.

        Either its keys lie in the gap, or the name of its bucket was lost with the page in
        whose place the gap is, and its contents tell the name.
        """
        self._known_records = None
        # A path of so many names may be the end of a longer one.
        known = [loss for loss in gaps.all() if len(loss.bucket_path) < MAX_NAMES]
        for loss in known:
            if _may_have(loss, leaf.keys[0]) and _may_have(loss, leaf.keys[-1]):
                is_bounded = loss.least is not None or loss.below is not None
                if self._looks_like(leaf, loss.bucket_path, is_bounded=is_bounded):
                    return loss.bucket_path
        for loss in known:
            name = self._name_in(leaf, loss.bucket_path)
            if name is not None and _may_have(loss, name):
                return (*loss.bucket_path, name)
        return None

    def _name_in(self, leaf: Leaf, path: tuple[bytes, ...]) -> bytes | None:
        """Return the name under which a leaf may be the root of a bucket in the bucket `path`."""
        if not path:
            return names.SCHEMA if names.VERSION in leaf.keys else None
        if path[0] != names.SCHEMA:
            return None
        if len(path) == 1:
            return self._namespace_of(leaf) if _KINDS.issuperset(leaf.keys) else None
        if path[2:] == () and {names.BLOBS, names.INGESTS}.issuperset(leaf.keys):
            return names.CONTENT
        inside = self._records(leaf)
        for kind, mark in _MARKS.items():
            is_here = kind[:-1] == path[2:] and inside
            if is_here and all(mark in keys for keys in inside):
                return kind[-1]
        return None

    def _namespace_of(self, leaf: Leaf) -> bytes | None:
        """Return the name of a namespace by the names of its snapshots in their backends."""
        for snapshotters in self._nested(leaf, names.SNAPSHOTS):
            for records in self._leaves_inside(snapshotters):
                for record in self._leaves_inside(records):
                    if names.NAME in record.keys:
                        value = record.values[record.keys.index(names.NAME)]
                        name, slash, _ = (value if isinstance(value, bytes) else b"").partition(
                            b"/"
                        )
                        return name if slash and name else None
        return None

    def _nested(self, leaf: Leaf, name: bytes) -> Iterator[Leaf]:
        if name in leaf.keys:
            index = leaf.keys.index(name)
            part = Leaf([name], [leaf.values[index]], [leaf.flags[index]], 0)
            yield from self._leaves_inside(part)

    def is_root(self, leaf: Leaf) -> bool:
        """Whether a leaf may be the outermost bucket of a `meta.db`, or of another file."""
        return names.SCHEMA in leaf.keys and all(flag & BUCKET_FLAG for flag in leaf.flags)

    def time_of(self, leaf: Leaf) -> int:
        """Return when the newest record of a leaf was written, in nanoseconds; 0: not known."""
        latest = 0
        for record in [leaf, *self._leaves_inside(leaf)]:
            for key in (names.UPDATED_AT, names.CREATED_AT):
                if key in record.keys:
                    value = record.values[record.keys.index(key)]
                    latest = max(latest, _nanoseconds(value if isinstance(value, bytes) else b""))
        return latest

    def _looks_like(self, leaf: Leaf, path: tuple[bytes, ...], *, is_bounded: bool) -> bool:
        """Whether a leaf may be of the bucket `path`: by its records, where they are known."""
        if not path:
            return self.is_root(leaf)
        if path == (names.SCHEMA,):
            return names.VERSION in leaf.keys
        if path[0] == names.SCHEMA and len(path) == _NAMESPACE_DEPTH:
            return _KINDS.issuperset(leaf.keys)
        mark = _MARKS.get(path[2:])
        if mark is None and len(path) == _SNAPSHOTTER_DEPTH and path[-2] == names.SNAPSHOTS:
            mark = _SNAPSHOT_MARK
        if mark is None or path[0] != names.SCHEMA:
            return is_bounded
        return all(mark in keys for keys in self._records(leaf))

    def _records(self, leaf: Leaf) -> list[list[bytes]]:
        """Return the keys of the first buckets in a leaf; a plain value counts as a misfit."""
        if self._known_records is None:
            is_plain = any(not flag & BUCKET_FLAG for flag in leaf.flags)
            found = [record.keys for record in self._leaves_inside(leaf)]
            self._known_records = [[]] if is_plain else found
        return self._known_records

    def _leaves_inside(self, leaf: Leaf) -> Iterator[Leaf]:
        """Iterate over the roots of the first buckets in a leaf, where those are leaves."""
        elements = list(zip(leaf.values, leaf.flags, strict=True))[:_RECORDS_READ]
        for value, flag in elements:
            if not flag & BUCKET_FLAG or not isinstance(value, bytes):
                continue
            try:
                header, inline = decode_bucket(value)
                node = inline if inline is not None else self._reader.peek(header.root)
            except CorruptError:
                continue  # that record is damaged itself, and tells nothing
            if isinstance(node, Leaf):
                yield node


def _nanoseconds(value: bytes) -> int:
    try:
        return int(decode_time(value).timestamp(unit="nanosecond"))
    except DataLossError:
        return 0
