"""Labels: texts attached to a record, and the names that have a meaning.

Source: github.com/containerd/containerd, pkg/labels, core/metadata/gc.go, core/snapshots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, overload

from orlop.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

# What the collector reads. A name ending in "." is always followed by more; where a name may
# be followed by "." or "/" and anything, several labels with the same meaning can stand on
# one record.
GC_ROOT: Final = "containerd.io/gc.root"
"""Marks a root node: any name that begins so, on content and snapshots; the value is ignored."""
GC_REF: Final = "containerd.io/gc.ref."
"""Begins all references; the kind follows (a collector of other resources has its own)."""
GC_REF_CONTENT: Final = "containerd.io/gc.ref.content"
"""Refers to content; the value is its digest."""
GC_REF_IMAGE: Final = "containerd.io/gc.ref.image"
"""Refers to an image; the value is its name."""
GC_REF_SNAPSHOT: Final = "containerd.io/gc.ref.snapshot."
"""Refers to a snapshot; the snapshotter follows, the value is the snapshot's key."""
GC_BREF_CONTAINER: Final = "containerd.io/gc.bref.container"
"""The container whose id is the value refers to this record."""
GC_BREF_CONTENT: Final = "containerd.io/gc.bref.content"
"""The content whose digest is the value refers to this record."""
GC_BREF_IMAGE: Final = "containerd.io/gc.bref.image"
"""The image whose name is the value refers to this record."""
GC_BREF_SNAPSHOT: Final = "containerd.io/gc.bref.snapshot."
"""The snapshot whose key is the value refers to this record; the snapshotter follows."""
GC_EXPIRE: Final = "containerd.io/gc.expire"
"""When a lease or an image expires (RFC 3339); an expired one keeps nothing alive."""
GC_FLAT: Final = "containerd.io/gc.flat"
"""On a lease: it keeps its resources alive, but not their references. The value is ignored."""
GC_COND_SNAPSHOT: Final = "containerd.io/gc.cond.snapshot."
"""Refers to a snapshot while a condition is met; the snapshotter follows."""
GC_COND_VALUE_USED_AT: Final = "containerd.io/gc.cond.value-usedat"
"""When a snapshot was used last, as RFC 3339 has it: what conditions on `usedat` compare."""

UNCOMPRESSED: Final = "containerd.io/uncompressed"
"""On a compressed layer: the digest of the layer uncompressed (its diff id)."""
DISTRIBUTION_SOURCE: Final = "containerd.io/distribution.source"
"""On content, with "." and a registry's host behind it: the repositories that have it."""
SNAPSHOT_REF: Final = "containerd.io/snapshot.ref"
"""On a snapshot in preparation: the name under which a backend may know it already."""
SNAPSHOT_PREFIX: Final = "containerd.io/snapshot/"
"""Begins the names of labels that are meant for the snapshotter."""
SHAREABLE: Final = "containerd.io/namespace.shareable"
"""On a namespace, with the value `true`: others may use its content by digest."""

MAX_LENGTH: Final = 4096
"""The most that a label's name and value may have together, in bytes."""

_SHOWN: Final = 64


def validate(labels: Mapping[str, str], context: str = "labels") -> None:
    """Check the length of each label; `context` says in the message where they belong.

    Raises:
        InvalidArgumentError: name and value of a label have more than 4,096 bytes together.
    """
    for key, value in labels.items():
        encoded = _encode(key)
        total = len(encoded) + len(_encode(value))
        if total > MAX_LENGTH:
            shown = encoded[:_SHOWN].decode(errors="replace")
            raise InvalidArgumentError(
                f"{context}: name and value of a label have {total} bytes together, "
                f"but at most {MAX_LENGTH} are allowed; its name begins: {shown}"
            )


@overload
def inheritable(labels: None) -> None: ...
@overload
def inheritable(labels: Mapping[str, str]) -> dict[str, str]: ...
def inheritable(labels: Mapping[str, str] | None) -> dict[str, str] | None:
    """Return the labels of a snapshot that are passed to its backend; `None` for no mapping.

    A label with an empty value is removed: as in containerd, the backend does not get it.
    """
    if labels is None:
        return None
    return {
        key: value
        for key, value in labels.items()
        if value and (key == SNAPSHOT_REF or key.startswith(SNAPSHOT_PREFIX))
    }


def _encode(text: str) -> bytes:
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass")
