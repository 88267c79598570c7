"""What a leaf that nothing reaches may be: by its keys, and by the records in it.

The names are those of containerd's `meta.db`: the files that need this are mostly that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop.bolt.node import BUCKET_FLAG, Leaf
from orlop.bolt.page import decode_bucket
from orlop.inspect.bolt.place import NAMES_MAX
from orlop.kv.errors import CorruptError
from orlop.model.encoding import decode_time
from orlop.model.errors import DataLossError
from orlop.schema import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orlop.inspect.bolt.place import Place
    from orlop.inspect.bolt.salvage.reading import Reader
    from orlop.inspect.bolt.salvage.report import Loss

GAPS_MAX: Final = 1000
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
        """Begin with what is lost."""
        self._by_path: dict[tuple[bytes, ...], list[Loss]] = {}
        for loss in losses:
            if not loss.is_of_record:
                self._by_path.setdefault(loss.bucket_path, []).append(loss)

    def holds(self, place: Place | None, key: bytes) -> bool:
        """Whether a key of the bucket at `place` may have been on a lost page."""
        path = () if place is None else place.path()
        return any(_may_have(loss, key) for loss in self._by_path.get(path, ())[:GAPS_MAX])

    def fitting(self, leaf: Leaf) -> Iterator[Loss]:
        """Iterate over the gaps that all keys of a leaf lie in."""
        tried = 0
        for losses in self._by_path.values():
            for loss in losses:
                tried += 1
                if tried > GAPS_MAX:
                    return
                if _may_have(loss, leaf.keys[0]) and _may_have(loss, leaf.keys[-1]):
                    yield loss


def _may_have(loss: Loss, key: bytes) -> bool:
    return (loss.least is None or key >= loss.least) and (loss.below is None or key < loss.below)


class Recognition:
    """Finds the bucket of a leaf."""

    def __init__(self, reader: Reader) -> None:
        """Look at records with `reader`."""
        self._reader = reader

    def home(self, leaf: Leaf, gaps: Gaps) -> tuple[bytes, ...] | None:
        """Return the bucket in which the damage left a gap that the leaf fits into."""
        for loss in gaps.fitting(leaf):
            path = loss.bucket_path
            is_bounded = loss.least is not None or loss.below is not None
            # A path of so many names may be the end of a longer one.
            if len(path) < NAMES_MAX and self._looks_like(leaf, path, is_bounded=is_bounded):
                return path
        return None

    def kind_in(self, leaf: Leaf, lost: Iterable[tuple[bytes, ...]]) -> tuple[bytes, ...] | None:
        """Return the bucket of records, in the one namespace that is lost, that a leaf is of.

        Its kind is known by its content; of which namespace it is, only where one is lost.
        """
        namespaces = {
            path for path in lost if len(path) == _NAMESPACE_DEPTH and path[0] == names.SCHEMA
        }
        if len(namespaces) != 1:
            return None
        inside = self._records(leaf)
        for kind, mark in _MARKS.items():
            if inside and all(mark in keys for keys in inside):
                return (*namespaces.pop(), *kind)
        return None

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
        if not all(flag & BUCKET_FLAG for flag in leaf.flags):
            return [[]]
        return [record.keys for record in self._leaves_inside(leaf)]

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
