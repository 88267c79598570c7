"""What filters see of each record: a field path becomes a value, and whether it is there.

Source: containerd, core/metadata/adaptors.go; spec/metadata.md 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop.model.records import SnapshotKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from orlop.model.records import (
        Container,
        ContentInfo,
        Image,
        IngestStatus,
        Lease,
        Sandbox,
        SnapshotInfo,
    )

    Adaptor: TypeAlias = Callable[[Sequence[str]], tuple[str, bool]]

_ABSENT: Final = ("", False)


def image(record: Image) -> Adaptor:
    """Fields: `name`, `target.digest`, `target.mediatype`, `labels.<k>`, `annotations.<k>`."""
    return _adaptor(
        {
            ("name",): _text(record.name),
            ("target", "digest"): _text(record.target.digest),
            ("target", "mediatype"): _text(record.target.media_type),
        },
        {"labels": record.labels, "annotations": record.target.annotations},
    )


def container(record: Container) -> Adaptor:
    """Fields: `id`, `runtime.name`, `image`, `labels.<k>`."""
    return _adaptor(
        {
            ("id",): _text(record.id),
            ("runtime", "name"): _text(record.runtime.name),
            ("image",): _text(record.image),
        },
        {"labels": record.labels},
    )


def sandbox(record: Sandbox) -> Adaptor:
    """Fields: `id`, `labels.<k>`."""
    return _adaptor({("id",): _text(record.id)}, {"labels": record.labels})


def lease(record: Lease) -> Adaptor:
    """Fields: `id`, `labels.<k>`."""
    return _adaptor({("id",): _text(record.id)}, {"labels": record.labels})


def content(record: ContentInfo) -> Adaptor:
    """Fields: `digest`, `labels.<k>`."""
    return _adaptor({("digest",): (record.digest, True)}, {"labels": record.labels})


def ingest(record: IngestStatus) -> Adaptor:
    """Fields: `ref`."""
    return _adaptor({("ref",): (record.ref, True)}, {})


def snapshot(record: SnapshotInfo) -> Adaptor:
    """Fields: `kind`, `name`, `parent`, `labels.<k>`."""
    known = record.kind is not SnapshotKind.UNKNOWN
    return _adaptor(
        {
            ("kind",): (record.kind.name.lower(), True) if known else _ABSENT,
            ("name",): (record.name, True),
            ("parent",): (record.parent, True),
        },
        {"labels": record.labels},
    )


def _adaptor(
    fields: Mapping[tuple[str, ...], tuple[str, bool]], maps: Mapping[str, Mapping[str, str]]
) -> Adaptor:
    depth = {path[0]: len(path) for path in fields}

    def look_up(path: Sequence[str]) -> tuple[str, bool]:
        if not path:
            return _ABSENT
        entries = maps.get(path[0])
        if entries is None:
            # What follows a field that has no fields of its own does not count, as in containerd.
            return fields.get(tuple(path[: depth.get(path[0], 0)]), _ABSENT)
        value = entries.get(".".join(path[1:]))
        return _ABSENT if value is None else (value, True)

    return look_up


def _text(text: str) -> tuple[str, bool]:
    return text, bool(text)
