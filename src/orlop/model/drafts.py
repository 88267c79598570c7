"""Records made in bulk: of all their fields, in less than half of the time.

To set the field of a frozen dataclass costs many times what it costs elsewhere, and a list is
made of nothing else. So a record begins as a draft, which has the same fields but is open, and
is closed by becoming of the record's class. Nobody sees it before that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from orlop.model.records import ContentInfo, Descriptor, Image

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whenever import Instant


def _draft_of(record: type) -> type[Any]:
    return type("Draft", (), {"__slots__": record.__slots__})  # type: ignore[attr-defined]


_Descriptor: Final = _draft_of(Descriptor)
_Image: Final = _draft_of(Image)
_ContentInfo: Final = _draft_of(ContentInfo)


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
    created_at: Instant | None,
    updated_at: Instant | None,
) -> Image:
    """Return an image."""
    draft: Any = _Image()
    draft.name = name
    draft.target = target
    draft.labels = labels
    draft.created_at = created_at
    draft.updated_at = updated_at
    draft.__class__ = Image
    return draft  # type: ignore[no-any-return]


def content_info(
    digest: str,
    size: int,
    labels: Mapping[str, str],
    created_at: Instant | None,
    updated_at: Instant | None,
) -> ContentInfo:
    """Return what is known of a blob."""
    draft: Any = _ContentInfo()
    draft.digest = digest
    draft.size = size
    draft.labels = labels
    draft.created_at = created_at
    draft.updated_at = updated_at
    draft.__class__ = ContentInfo
    return draft  # type: ignore[no-any-return]
