"""Media types of OCI and Docker, and the annotations that name an image.

Source: OCI image spec, media-types.md and annotations.md; github.com/containerd/containerd,
core/images.
"""

from __future__ import annotations

from typing import Final

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"

_OCI_LAYER: Final = "application/vnd.oci.image.layer."
_OCI_FOREIGN: Final = "application/vnd.oci.image.layer.nondistributable."
_DOCKER_FOREIGN: Final = "application/vnd.docker.image.rootfs.foreign."
_DOCKER_LAYERS: Final = frozenset(
    {
        DOCKER_LAYER,
        DOCKER_LAYER_GZIP,
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    }
)
_CONFIGS: Final = frozenset(
    {
        OCI_CONFIG,
        DOCKER_CONFIG,
        "application/vnd.containerd.container.criu.checkpoint.criu.tar",
        "application/vnd.containerd.container.checkpoint.config.v1+proto",
    }
)
_ENCRYPTED: Final = "encrypted"


def is_index(media_type: str) -> bool:
    """Whether it names several manifests."""
    return media_type in {OCI_INDEX, DOCKER_INDEX}


def is_manifest(media_type: str) -> bool:
    """Whether it names a config and layers."""
    return media_type in {OCI_MANIFEST, DOCKER_MANIFEST}


def is_config(media_type: str) -> bool:
    """Whether containerd knows it as a config; that of a checkpoint counts."""
    return media_type in _CONFIGS


def is_image_config(media_type: str) -> bool:
    """Whether it is the config of an image, with platform and layers."""
    return media_type in {OCI_CONFIG, DOCKER_CONFIG}


def is_layer(media_type: str) -> bool:
    """Whether it is a layer of a file system, compressed or not."""
    return media_type.startswith(_OCI_LAYER) or media_type.partition("+")[0] in _DOCKER_LAYERS


def is_encrypted(media_type: str) -> bool:
    """Whether it can be read with a key only."""
    return _ENCRYPTED in media_type.split("+")[1:]


def is_foreign(media_type: str) -> bool:
    """Whether it is a layer that archives leave out, because it may not be passed on."""
    return media_type.startswith((_OCI_FOREIGN, _DOCKER_FOREIGN))


IMAGE_NAME: Final = "io.containerd.image.name"
"""The full name of an image."""
REFERENCE_NAME: Final = "org.opencontainers.image.ref.name"
"""Usually the tag only; some tools put the full name here."""
