"""Filter fields of each record type: from a field path to its value, and whether it is present.

Most types are matched as they are stored, so that only matching records are decoded. Snapshots
and ingests are matched as records, since a part of them comes from the backend; leases too, since
a lease with many resources is not read whole.

Source: containerd, core/metadata/adaptors.go; spec/metadata.md 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop import filters
from orlop.records import SnapshotKind
from orlop.schema import names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from orlop.filters.selector import Selector
    from orlop.kv import Tree
    from orlop.records import IngestStatus, Lease, SnapshotInfo
    from orlop.schema.fields import Wanted

    Adaptor: TypeAlias = Callable[[Sequence[str]], tuple[str, bool]]

_ABSENT: Final = ("", False)
_NAME: Final[tuple[bytes, ...]] = ()
# No key is empty.
_NOWHERE: Final = (b"",)


class FilterFields:
    """The filter fields of one record type, read from its stored form."""

    def __init__(
        self, texts: Mapping[tuple[str, ...], tuple[bytes, ...]], maps: Mapping[str, bytes]
    ) -> None:
        """Describe a record type.

        Args:
            texts: the field paths, each with the path of its value in the record; an empty
                value counts as absent. An empty path stands for the record's name.
            maps: the fields that are maps, each with its key in the record; the rest of a field
                path is a key in the map.
        """
        self._texts = texts
        self._maps = maps
        self._depths = {path[0]: len(path) for path in texts}

    def wanted(self, expressions: Sequence[str]) -> Wanted | None:
        """Compile a filter into a predicate over stored records; `None` if it matches all.

        Args:
            expressions: of which one must match; see `orlop.filters`.

        Raises:
            InvalidArgumentError: an expression cannot be parsed.
        """
        if not expressions:
            return None  # without loading the parser and RE2
        wanted = filters.parse(expressions)
        if wanted.matches_all:
            return None
        return _Alternatives(
            [[self._condition(one) for one in selectors] for selectors in wanted.alternatives]
        ).match

    def _condition(self, selector: Selector) -> _Condition:
        path = selector.path
        entries = self._maps.get(path[0])
        if entries is not None:
            key = names.to_bytes(".".join(path[1:]))
            return _Condition(selector, (entries, key), takes_empty=True)
        # What follows a field that has no fields of its own does not count, as in containerd.
        field = path[: self._depths.get(path[0], 0)]
        return _Condition(selector, self._texts.get(field, _NOWHERE))


IMAGE: Final = FilterFields(
    {
        ("name",): _NAME,
        ("target", "digest"): (names.TARGET, names.DIGEST),
        ("target", "mediatype"): (names.TARGET, names.MEDIA_TYPE),
    },
    {"labels": names.LABELS, "annotations": names.ANNOTATIONS},
)
"""Fields: `name`, `target.digest`, `target.mediatype`, `labels.<k>`, `annotations.<k>`."""

CONTAINER: Final = FilterFields(
    {
        ("id",): _NAME,
        ("runtime", "name"): (names.RUNTIME, names.NAME),
        ("image",): (names.IMAGE,),
    },
    {"labels": names.LABELS},
)
"""Fields: `id`, `runtime.name`, `image`, `labels.<k>`."""

SANDBOX: Final = FilterFields({("id",): _NAME}, {"labels": names.LABELS})
"""Fields: `id`, `labels.<k>`."""

CONTENT: Final = FilterFields({("digest",): _NAME}, {"labels": names.LABELS})
"""Fields: `digest`, `labels.<k>`."""


class _Alternatives:
    """A filter on stored records: all conditions of at least one list must be true."""

    __slots__ = ("_alternatives",)

    def __init__(self, alternatives: list[list[_Condition]]) -> None:
        self._alternatives = alternatives

    def match(self, name: str, record: Tree) -> bool:
        """Return whether a record matches."""
        for conditions in self._alternatives:
            for condition in conditions:
                if not condition.holds(name, record):
                    break
            else:
                return True
        return False


class _Condition:
    """A selector with the path of its field in a stored record."""

    __slots__ = ("_is_name", "_key", "_outer", "_selector", "_takes_empty")

    def __init__(
        self, selector: Selector, place: tuple[bytes, ...], *, takes_empty: bool = False
    ) -> None:
        self._selector = selector
        self._is_name = place == _NAME
        self._outer = place[0] if len(place) > 1 else None
        self._key = place[-1] if place else b""
        self._takes_empty = takes_empty

    def holds(self, name: str, record: Tree) -> bool:
        """Return whether the condition is true for a record."""
        if self._is_name:
            return self._selector.holds(name, present=True)
        bucket = record if self._outer is None else record.get(self._outer)
        value = bucket.get(self._key) if isinstance(bucket, dict) else None
        if isinstance(value, bytes) and (value or self._takes_empty):
            return self._selector.holds(names.to_text(value), present=True)
        return self._selector.holds("", present=False)


def lease(record: Lease) -> Adaptor:
    """Fields: `id`, `labels.<k>`."""
    return _adaptor({"id": (record.id, True)}, record.labels)


def ingest(record: IngestStatus) -> Adaptor:
    """Fields: `ref`."""
    return _adaptor({"ref": (record.ref, True)}, None)


def snapshot(record: SnapshotInfo) -> Adaptor:
    """Fields: `kind`, `name`, `parent`, `labels.<k>`."""
    known = record.kind is not SnapshotKind.UNKNOWN
    return _adaptor(
        {
            "kind": (record.kind.name.lower(), True) if known else _ABSENT,
            "name": (record.name, True),
            "parent": (record.parent, True),
        },
        record.labels,
    )


def _adaptor(texts: Mapping[str, tuple[str, bool]], labels: Mapping[str, str] | None) -> Adaptor:
    def look_up(path: Sequence[str]) -> tuple[str, bool]:
        if labels is None or path[0] != "labels":
            # What follows a field that has no fields of its own does not count, as in containerd.
            return texts.get(path[0], _ABSENT)
        value = labels.get(".".join(path[1:]))
        return _ABSENT if value is None else (value, True)

    return look_up
