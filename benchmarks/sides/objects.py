"""The objects that both sides make: the peer's dataset.go has the same names."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from orlop import Container, Descriptor, Image
from orlop.records import ProtoAny, Runtime

METADATA: Final = "meta.db"
NAMESPACE: Final = "default"
SNAPSHOTTER: Final = "native"
OBJECTS_A_GROUP: Final = 10
_SPEC: Final = ProtoAny("types.containerd.io/spec", bytes(2048))
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"


def image_name(group: int) -> str:
    """Return the name of an image."""
    return f"docker.io/library/image-{group:07d}:v1"


def blob_digest(group: int, number: int) -> str:
    """Return the digest of a blob; the manifest is number 0."""
    return f"sha256:{sha256(b'blob %d %d' % (group, number)).hexdigest()}"


def snapshot_key(group: int, number: int) -> str:
    """Return the key of a committed snapshot."""
    return f"sha256:{sha256(b'layer %d %d' % (group, number)).hexdigest()}"


def groups_of(objects: int) -> int:
    """Return how many groups, and so images, that many objects are."""
    return -(-objects // OBJECTS_A_GROUP)


def team(number: int) -> str:
    """Return what the only label of an image says."""
    return "ab"[number % 2]


def image(number: int, group: int | None = None) -> Image:
    """Return an image of the manifest of a group: of its own, if no other is named."""
    digest = blob_digest(number if group is None else group, 0)
    return Image(
        name=image_name(number),
        target=Descriptor(media_type=_MANIFEST, digest=digest, size=1000),
        labels={"team": team(number)},
    )


def container(number: int) -> Container:
    """Return a container whose spec is as long as most are."""
    return Container(
        id=f"container-{number}",
        image=image_name(number),
        labels={"team": team(number)},
        runtime=Runtime(name="io.containerd.runc.v2"),
        spec=_SPEC,
        snapshot_key=snapshot_key(number, 0),
        snapshotter=SNAPSHOTTER,
    )
