"""Small images of several platforms, with some shared layers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from oci.builder import OCI_INDEX, Built, Json, digest_of, entry, layer, pack, write_archive

if TYPE_CHECKING:
    from pathlib import Path

PLATFORMS: Final = ("amd64", "arm64", "s390x", "riscv64")
IMAGES: Final = 3


@dataclass
class Manifest:
    """An image of one platform: digests of its parts, and its layers with their files."""

    digest: str
    config: str
    layers: list[str] = field(default_factory=list)
    chain: list[str] = field(default_factory=list)
    markers: list[tuple[str, bytes]] = field(default_factory=list)


@dataclass
class Archive:
    """An archive of an index with a manifest for each platform."""

    path: Path
    name: str
    index: str
    manifests: dict[str, Manifest]
    blobs: dict[str, bytes]


def make_archives(folder: Path) -> list[Archive]:
    """Write the archives into a folder."""
    return [_make(folder, number) for number in range(IMAGES)]


def _make(folder: Path, number: int) -> Archive:
    built = Built()
    manifests = {}
    for position, architecture in enumerate(PLATFORMS):
        # The first layer is the same for two images, and for all platforms.
        names = [f"base-{number // 2}", f"top-{number}-{architecture}"][: 1 + (position + 1) % 3]
        markers = [(f"layer-{name}", f"file of {name}".encode()) for name in names]
        layers = [layer(entry(name, data=data)) for name, data in markers]
        platform: Json = {"os": "linux", "architecture": architecture}
        descriptor = built.image(layers, name=None, platform=platform, architecture=architecture)
        document = json.loads(built.blobs[str(descriptor["digest"])])
        chain = [digest_of(layers[0])]
        for data in layers[1:]:
            chain.append(digest_of(f"{chain[-1]} {digest_of(data)}".encode()))
        manifests[architecture] = Manifest(
            digest=str(descriptor["digest"]),
            config=str(document["config"]["digest"]),
            layers=[digest_of(pack(data)) for data in layers],
            chain=chain,
            markers=markers,
        )
    name = f"example.com/image-{number}:v1"
    index = json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": built.entries}
    ).encode()
    named = {"annotations": {"io.containerd.image.name": name}}
    built.entries = [built.blob(index, OCI_INDEX, **named)]
    path = write_archive(folder / f"image-{number}.tar", built.files())
    return Archive(path, name, digest_of(index), manifests, built.blobs)
