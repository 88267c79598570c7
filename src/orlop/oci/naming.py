"""The names of the images of an archive.

An OCI archive often knows tags only. As with `ctr images import`, a base name goes before
them, `import-<date>` where none is given.

Source: behaviour of containerd's import and of ctr.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orlop.errors import InvalidArgumentError, NotFoundError
from orlop.oci import references
from orlop.oci.mediatypes import IMAGE_NAME, REFERENCE_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whenever import Instant

    from orlop.oci.documents import Child
    from orlop.records import Descriptor


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedImage:
    """A name, and the descriptor that it is for."""

    name: str
    child: Child


def name_images(
    entries: Sequence[Child], name: str | None, *, now: Instant, by_digest: bool = False
) -> list[NamedImage]:
    """Return the names for the entries of an archive's index.

    Args:
        entries: what the archive holds.
        name: with a tag or digest, the name of the only image; else the base for tags,
            and images that the archive calls otherwise are left out; `None` for
            `import-<date>` as the base and nothing left out.
        now: whose date that is.
        by_digest: whether each image also gets the name `<base>@<digest>`. An image that
            the archive gives no name gets this one anyway.

    Raises:
        InvalidArgumentError: one name for several images.
        NotFoundError: the archive holds no image, or none below the base name.
    """
    if not entries:
        raise NotFoundError("an image in the archive")
    if name is not None and references.has_object(name):
        if len({entry.descriptor.digest for entry in entries}) > 1:
            raise InvalidArgumentError(
                f"image name {name!r} for several images; give a name without a tag"
            )
        return [NamedImage(name=name, child=entries[0])]
    base = name if name is not None else f"import-{now.format_iso()[:10]}"
    found: dict[str, NamedImage] = {}
    for entry in entries:
        target = entry.descriptor
        full = _full_name(target, base, strict=name is not None)
        names = [] if full is None else [full]
        if full == "" or by_digest:
            names.append(f"{base}@{target.digest}")
        for one in filter(None, names):
            found[one] = NamedImage(name=one, child=entry)
    if not found:
        raise NotFoundError(f"an image below {base!r} in the archive")
    return list(found.values())


def _full_name(target: Descriptor, base: str, *, strict: bool) -> str | None:
    """Return the name of an image, empty where it has none; `None` where it is left out."""
    stated = target.annotations.get(IMAGE_NAME, "")
    if stated:
        return stated
    stated = target.annotations.get(REFERENCE_NAME, "")
    if not stated:
        return ""
    full = references.with_base(stated, base)
    return full if not strict or references.is_below(full, base) else None
