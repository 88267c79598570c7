"""The labels by which a document refers to its children.

The collector follows `containerd.io/gc.ref.content.*`; containerd numbers them by kind.

Source: github.com/containerd/containerd, core/images (ChildGCLabels).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.model.labels import GC_REF_CONTENT
from orlop.oci import mediatypes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orlop.model.records import Descriptor


def labels_for(
    children: Sequence[Descriptor], existing: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the labels that a document needs to hold `children`.

    Args:
        children: what it points at, in the document's order.
        existing: the labels that it has. None of them is given another value: it may hold
            what an earlier import of another platform has brought.
    """
    taken = existing or {}
    held = {value for key, value in taken.items() if key.startswith(GC_REF_CONTENT)}
    free: dict[str, Iterator[str]] = {}
    labels: dict[str, str] = {}
    for child in children:
        if child.digest in held:
            continue
        prefix = _prefix(child.media_type)
        names = free.setdefault(prefix, _numbered(prefix))
        name = next(name for name in names if name not in taken)
        labels[name] = child.digest
    return labels


def _prefix(media_type: str) -> str:
    if mediatypes.is_config(media_type):
        return f"{GC_REF_CONTENT}.config"
    if mediatypes.is_manifest(media_type):
        return f"{GC_REF_CONTENT}.m."
    if mediatypes.is_layer(media_type):
        return f"{GC_REF_CONTENT}.l."
    return f"{GC_REF_CONTENT}."


def _numbered(prefix: str) -> Iterator[str]:
    """Yield the names of one kind: a name that ends in a dot is always numbered."""
    number = 0
    while True:
        yield f"{prefix}{number}" if number or prefix.endswith(".") else prefix
        number += 1
