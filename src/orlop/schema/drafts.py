"""Drafts: records created in a fifth of the time of their constructors, for lists of them.

To set a field of a frozen dataclass costs many times what it costs elsewhere. So a record begins as
a draft, an object with the same slots that is not frozen, and is given the record's class when all
fields are set. A draft is never visible outside the function that creates it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from orlop.records import Container, ContentInfo, Descriptor, Image, ProtoAny, Runtime, SnapshotInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whenever import Instant

    from orlop.records import SnapshotKind


Times: TypeAlias = "tuple[Instant | None, Instant | None]"
"""When a record was created and updated."""


def draft_of(record: type) -> type[Any]:
    """Return a class with the slots of a dataclass, and nothing else."""
    return type("Draft", (), {"__slots__": record.__slots__})  # type: ignore[attr-defined]


_ProtoAny: Final = draft_of(ProtoAny)
_Descriptor: Final = draft_of(Descriptor)
_Image: Final = draft_of(Image)
_Runtime: Final = draft_of(Runtime)
_Container: Final = draft_of(Container)
_ContentInfo: Final = draft_of(ContentInfo)
_SnapshotInfo: Final = draft_of(SnapshotInfo)


def envelope(type_url: str, value: bytes, unknown: bytes) -> ProtoAny:
    """Return an Any."""
    draft: Any = _ProtoAny()
    draft.type_url = type_url
    draft.value = value
    draft.unknown = unknown
    draft.__class__ = ProtoAny
    return draft  # type: ignore[no-any-return]


def descriptor(
    media_type: str, digest: str, size: int, annotations: Mapping[str, str]
) -> Descriptor:
    """Return a descriptor."""
    draft: Any = _Descriptor()
    draft.media_type = media_type
    draft.digest = digest
    draft.size = size
    draft.annotations = annotations
    draft.__class__ = Descriptor
    return draft  # type: ignore[no-any-return]


def image(
    name: str,
    target: Descriptor,
    labels: Mapping[str, str],
    times: Times,
) -> Image:
    """Return an image."""
    draft: Any = _Image()
    draft.name = name
    draft.target = target
    draft.labels = labels
    draft.created_at, draft.updated_at = times
    draft.__class__ = Image
    return draft  # type: ignore[no-any-return]


def runtime(name: str, options: ProtoAny | None) -> Runtime:
    """Return the runtime of a container or sandbox."""
    draft: Any = _Runtime()
    draft.name = name
    draft.options = options
    draft.__class__ = Runtime
    return draft  # type: ignore[no-any-return]


def container(
    container_id: str,
    *,
    labels: Mapping[str, str],
    image_name: str,
    runtime_used: Runtime,
    spec: ProtoAny | None,
    snapshot: tuple[str, str],
    sandbox_id: str,
    extensions: Mapping[str, ProtoAny],
    times: Times,
) -> Container:
    """Return a container; its snapshot is snapshotter and key."""
    draft: Any = _Container()
    draft.id = container_id
    draft.labels = labels
    draft.image = image_name
    draft.runtime = runtime_used
    draft.spec = spec
    draft.snapshotter, draft.snapshot_key = snapshot
    draft.sandbox_id = sandbox_id
    draft.extensions = extensions
    draft.created_at, draft.updated_at = times
    draft.__class__ = Container
    return draft  # type: ignore[no-any-return]


def content_info(
    digest: str,
    size: int,
    labels: Mapping[str, str],
    times: Times,
) -> ContentInfo:
    """Return the record of a blob."""
    draft: Any = _ContentInfo()
    draft.digest = digest
    draft.size = size
    draft.labels = labels
    draft.created_at, draft.updated_at = times
    draft.__class__ = ContentInfo
    return draft  # type: ignore[no-any-return]


def snapshot_info(
    kind: SnapshotKind,
    name: str,
    parent: str,
    labels: Mapping[str, str],
    times: Times,
) -> SnapshotInfo:
    """Return a snapshot."""
    draft: Any = _SnapshotInfo()
    draft.kind = kind
    draft.name = name
    draft.parent = parent
    draft.labels = labels
    draft.created_at, draft.updated_at = times
    draft.__class__ = SnapshotInfo
    return draft  # type: ignore[no-any-return]
