"""Reads the documents of an image that is in a namespace: for a platform, from the index down.

Source: behaviour of containerd's images package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.errors import InvalidArgumentError, NotFoundError
from orlop.oci import documents, mediatypes
from orlop.oci.platforms import ranking
from orlop.oci.selection import read_document

if TYPE_CHECKING:
    from orlop.oci.documents import Child, Config, Manifest
    from orlop.oci.platforms import Platform
    from orlop.records import Descriptor
    from orlop.stores.content import ContentStore

_DEEPEST = 8


def read(content: ContentStore, descriptor: Descriptor) -> bytes:
    """Return a document of an image.

    Raises:
        NotFoundError: it is missing.
        InvalidArgumentError: it is too large.
        DataLossError: it is not what its digest says.
    """
    with content.open(descriptor.digest) as file:
        return read_document(file, descriptor, "content")


def manifest_for(content: ContentStore, target: Descriptor, platform: Platform) -> Manifest:
    """Return the manifest of an image that fits `platform` best.

    An image that is no index is taken as it is, whatever its platform.

    Raises:
        NotFoundError: a document is missing, or none fits.
        DataLossError: a document is not what its digest says.
        InvalidArgumentError: a document is faulty, or the target is no image.
    """
    found = find_manifest(content, target, platform)
    if found is None:
        raise NotFoundError(f"document {target.digest}: an image for {platform}")
    return found


def find_manifest(content: ContentStore, target: Descriptor, platform: Platform) -> Manifest | None:
    """Return the manifest for a platform; `None` where no image fits.

    Raises:
        NotFoundError: a document is missing.
        DataLossError: a document is not what its digest says.
        InvalidArgumentError: a document is faulty, or the target is no image.
    """
    for _ in range(_DEEPEST):
        where = f"document {target.digest}"
        if mediatypes.is_manifest(target.media_type):
            return documents.parse_manifest(read(content, target), where)
        if not mediatypes.is_index(target.media_type):
            raise InvalidArgumentError(f"{where} ({target.media_type}): neither manifest nor index")
        entries = documents.parse_index(read(content, target), where).manifests
        best = _best(content, entries, platform)
        if best is None:
            return None
        target = best.descriptor
    raise InvalidArgumentError(f"{target.digest}: below indexes nested deeper than {_DEEPEST}")


def config_of(content: ContentStore, manifest: Manifest) -> Config:
    """Return the config of an image.

    Raises:
        NotFoundError: it is missing.
        DataLossError: it is not what its digest says.
        InvalidArgumentError: it is faulty, or that of something else than an image.
    """
    descriptor = manifest.config
    where = f"config {descriptor.digest}"
    if not has_image_config(content, manifest):
        raise InvalidArgumentError(f"{where} ({descriptor.media_type}): not that of an image")
    return documents.parse_config(read(content, descriptor), where)


def has_image_config(content: ContentStore, manifest: Manifest) -> bool:
    """Whether the config of a manifest is that of an image, by its media type or by its content.

    Under another media type it has to state the digest of every layer: tools write
    `application/json` and the like, and containerd does not look at it.

    Raises:
        NotFoundError: it is missing.
        DataLossError: it is not what its digest says.
    """
    descriptor = manifest.config
    if mediatypes.is_image_config(descriptor.media_type):
        return True
    if not manifest.layers or not all(
        mediatypes.is_layer(layer.media_type) for layer in manifest.layers
    ):
        return False
    try:
        config = documents.parse_config(read(content, descriptor), f"config {descriptor.digest}")
    except InvalidArgumentError:
        return False
    return len(config.diff_ids) == len(manifest.layers)


def _best(content: ContentStore, entries: tuple[Child, ...], platform: Platform) -> Child | None:
    """Return the entry that fits best, `None` for none; of equals the first, as in containerd."""
    rank = ranking(platform)
    best: tuple[int, Child] | None = None
    for entry in entries:
        found = rank(entry.platform)
        if found is None or not _states_it(content, entry, platform):
            continue
        if best is None or found < best[0]:
            best = (found, entry)
    return None if best is None else best[1]


def _states_it(content: ContentStore, entry: Child, platform: Platform) -> bool:
    """Whether an entry without a platform has a config for `platform`."""
    if entry.platform is not None or not mediatypes.is_manifest(entry.descriptor.media_type):
        return True
    manifest = documents.parse_manifest(
        read(content, entry.descriptor), f"document {entry.descriptor.digest}"
    )
    if not has_image_config(content, manifest):
        return False
    return ranking(platform)(config_of(content, manifest).platform) is not None
