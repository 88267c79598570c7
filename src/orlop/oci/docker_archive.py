"""An archive of `docker save`, with the documents that containerd writes for it.

Such an archive names files, not digests. containerd makes a Docker manifest for each image
and an index of them; ours are the same, byte for byte, so that both know the image under
the same digest.

Source: behaviour of containerd's images/archive package.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, ClassVar

from orlop import digests
from orlop.errors import NotFoundError
from orlop.oci import compression, documents, mediatypes, references
from orlop.oci.mediatypes import IMAGE_NAME, REFERENCE_NAME
from orlop.oci.tar_stream import CHUNK
from orlop.records import Descriptor

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import BinaryIO, Self

    from orlop.oci.archive import Archive
    from orlop.oci.documents import SavedImage

MARK = "manifest.json"

_HEAD = 10


class DockerArchive:
    """An archive of `docker save` as a source of images; it closes the archive.

    Args:
        archive: the files.
        compressed: returns the compressed form of a layer that is there already, by the
            digest of the uncompressed one: it is used in its place, as in containerd.

    Raises:
        InvalidArgumentError: its `manifest.json` or a config cannot be understood.
        NotFoundError: a config or a layer is missing.
        DataLossError: the archive is damaged.
    """

    MARK: ClassVar = MARK

    def __init__(self, archive: Archive, compressed: Callable[[str], Descriptor | None]) -> None:
        self.label = archive.label
        self._archive = archive
        self._compressed = compressed
        self._names: dict[str, str] = {}
        self._documents: dict[str, bytes] = {}
        self._layers: dict[str, Descriptor] = {}
        images = documents.parse_saved(archive.read(MARK), f"{self.label}: {MARK}")
        entries = [entry for image in images for entry in self._entries(image)]
        self.index = documents.encode({"schemaVersion": 2, "manifests": entries})

    def size(self, digest: str) -> int | None:
        """Return the size of a blob in bytes; `None` where it is missing."""
        if digest in self._documents:
            return len(self._documents[digest])
        name = self._names.get(digest)
        return None if name is None else self._archive.size(name)

    def open(self, digest: str) -> BinaryIO:
        """Open a blob; NotFoundError where it is missing."""
        if digest in self._documents:
            return io.BytesIO(self._documents[digest])
        if digest not in self._names:
            raise NotFoundError(f"{self.label}: blob {digest}")
        return self._archive.open(self._names[digest])

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _entries(self, image: SavedImage) -> list[dict[str, object]]:
        """Return the entries of the index for an image: one a name."""
        config = self._file(image.config, "config")
        config_data = self._archive.read(image.config)
        platform = documents.parse_config(
            config_data, f"{self.label}: {image.config}"
        ).platform.normalized()
        manifest = documents.encode(
            {
                "schemaVersion": 2,
                "mediaType": mediatypes.DOCKER_MANIFEST,
                "config": _encoded(config, mediatypes.DOCKER_CONFIG),
                "layers": [
                    _encoded(layer, layer.media_type) for layer in map(self._layer, image.layers)
                ],
            }
        )
        digest = digests.from_bytes(manifest)
        self._documents[digest] = manifest
        stated = {"architecture": platform.architecture, "os": platform.os}
        if platform.variant:
            stated["variant"] = platform.variant
        entry = {
            "mediaType": mediatypes.DOCKER_MANIFEST,
            "digest": digest,
            "size": len(manifest),
        }
        if not image.names:
            return [{**entry, "platform": stated}]
        return [
            {**entry, "annotations": _annotations(name), "platform": stated} for name in image.names
        ]

    def _layer(self, name: str) -> Descriptor:
        """Return the layer in a file, or its compressed form where that is there already."""
        if name not in self._layers:
            layer = self._file(name, "layer")
            self._layers[name] = self._compressed(layer.digest) or layer
        return self._layers[name]

    def _file(self, name: str, kind: str) -> Descriptor:
        """Hash a file of the archive, and find its media type by its first bytes."""
        if not self._archive.has(name):
            raise NotFoundError(f"{self.label}: {kind} {name!r} in the archive")
        running = digests.new_hash()
        size = 0
        head = b""
        with self._archive.open(name) as file:
            while chunk := file.read(CHUNK):
                head = head or chunk[:_HEAD]
                running.update(chunk)
                size += len(chunk)
        digest = digests.of_hash(running)
        self._names[digest] = name
        return Descriptor(media_type=layer_type(head), digest=digest, size=size)


def layer_type(head: bytes) -> str:
    """Return the media type that containerd gives a layer of Docker's, by its first bytes.

    It calls every compressed layer gzip, a zstd one, too: the digest of the manifest depends on it.
    """
    plain = compression.detect(head) is compression.Compression.NONE
    return mediatypes.DOCKER_LAYER if plain else mediatypes.DOCKER_LAYER_GZIP


def _encoded(descriptor: Descriptor, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": descriptor.digest, "size": descriptor.size}


def _annotations(name: str) -> dict[str, str]:
    full = references.normalize(name)
    return {
        IMAGE_NAME: full,
        REFERENCE_NAME: references.object_of(full),
    }
