"""The JSON documents of an image: index, manifest and config, read with suspicion.

Source: OCI image spec, image-index.md, manifest.md, config.md; Docker image manifest
version 2, schema 2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from orlop.model import digest as digests
from orlop.model.errors import InvalidArgumentError
from orlop.model.records import Descriptor
from orlop.oci import mediatypes
from orlop.oci.platforms import Platform

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

LARGEST = 20 << 20
"""How many bytes a document may have: it is read into memory (containerd's limit)."""

_LARGEST_SIZE = (1 << 63) - 1
_MOST_ENTRIES = 10_000
_PIECE = 1 << 16

Json: TypeAlias = "dict[str, object]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """What a document points at, with the platform that an index states for it."""

    descriptor: Descriptor
    platform: Platform | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A list of manifests, one a platform or one an image."""

    manifests: tuple[Child, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A config, and layers from the lowest to the topmost."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What unpacking needs of an image's config: the platform and the digests of the layers."""

    platform: Platform
    diff_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedImage:
    """An image in the `manifest.json` of `docker save`: files of the archive, and names."""

    config: str
    layers: tuple[str, ...]
    names: tuple[str, ...] = field(default=())


def read_document(file: BinaryIO, where: str) -> bytes:
    """Return all of `file`, which is a document; `where` names it in errors.

    Raises:
        InvalidArgumentError: it is larger than a document may be.
    """
    pieces = []
    left = LARGEST
    while piece := file.read(_PIECE):
        pieces.append(piece)
        left -= len(piece)
        if left < 0:
            raise InvalidArgumentError(f"{where}: more than {LARGEST} bytes in a document")
    return b"".join(pieces)


def parse_index(data: bytes, where: str) -> Index:
    """Read an index, OCI's or Docker's; `where` names it in errors.

    Raises:
        InvalidArgumentError: it is none, or it is damaged.
    """
    document = _object(_load(data, where), where)
    stated = document.get("mediaType")
    if "config" in document or "layers" in document or mediatypes.is_manifest(str(stated)):
        raise InvalidArgumentError(f"{where}: a manifest where an index is expected")
    _require_current(document, where)
    entries = _list(document, "manifests", where)
    return Index(manifests=tuple(_child(entry, where) for entry in entries))


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Read a manifest, OCI's or Docker's; `where` names it in errors.

    Raises:
        InvalidArgumentError: it is none, or it is damaged.
    """
    document = _object(_load(data, where), where)
    if "manifests" in document or mediatypes.is_index(str(document.get("mediaType"))):
        raise InvalidArgumentError(f"{where}: an index where a manifest is expected")
    _require_current(document, where)
    config = _descriptor(document.get("config"), f"{where}: config")
    layers = _list(document, "layers", where)
    return Manifest(
        config=config, layers=tuple(_descriptor(layer, f"{where}: layer") for layer in layers)
    )


def parse_config(data: bytes, where: str) -> Config:
    """Read the config of an image; `where` names it in errors.

    Raises:
        InvalidArgumentError: it is none, or it is damaged.
    """
    document = _object(_load(data, where), where)
    root = _object(document.get("rootfs") or {}, f"{where}: rootfs")
    diff_ids = _texts(root, "diff_ids", where)
    for diff_id in diff_ids:
        digests.validate(diff_id)
    return Config(platform=_platform(document, where), diff_ids=diff_ids)


def parse_saved(data: bytes, where: str) -> tuple[SavedImage, ...]:
    """Read the `manifest.json` of `docker save`.

    Raises:
        InvalidArgumentError: it is none, or it is damaged.
    """
    document = _load(data, where)
    if not isinstance(document, list) or len(document) > _MOST_ENTRIES:
        raise InvalidArgumentError(f"{where}: a list of images is expected")
    found = []
    for entry in document:
        image = _object(entry, where)
        config = _text(image, "Config", where)
        if not config:
            raise InvalidArgumentError(f"{where}: an image without a config")
        layers = _texts(image, "Layers", where)
        found.append(
            SavedImage(config=config, layers=layers, names=_texts(image, "RepoTags", where))
        )
    return tuple(found)


def parse_layout(data: bytes, where: str) -> str:
    """Return the version of an `oci-layout` file.

    Raises:
        InvalidArgumentError: it is none, or it is damaged.
    """
    return _text(_object(_load(data, where), where), "imageLayoutVersion", where)


def children(media_type: str, data: bytes, where: str) -> tuple[Child, ...]:
    """Return what a document points at; nothing where it is none that containerd follows.

    Raises:
        InvalidArgumentError: it is damaged.
    """
    if mediatypes.is_index(media_type):
        return parse_index(data, where).manifests
    if mediatypes.is_manifest(media_type):
        manifest = parse_manifest(data, where)
        return tuple(Child(descriptor=item) for item in (manifest.config, *manifest.layers))
    return ()


def is_followed(media_type: str) -> bool:
    """Whether a document of this type points at others."""
    return mediatypes.is_index(media_type) or mediatypes.is_manifest(media_type)


def _load(data: bytes, where: str) -> object:
    try:
        loaded: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"{where}: not readable as JSON ({error})") from error
    return loaded


def _require_current(document: Json, where: str) -> None:
    if document.get("fsLayers"):
        raise InvalidArgumentError(f"{where}: Docker's schema 1 is not supported; convert it first")


def _object(value: object, where: str) -> Json:
    if not isinstance(value, dict):
        raise InvalidArgumentError(f"{where}: a JSON object is expected")
    return value


def _list(document: Json, key: str, where: str) -> list[object]:
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > _MOST_ENTRIES:
        raise InvalidArgumentError(
            f"{where}: {key} is no list, or one of more than {_MOST_ENTRIES} entries"
        )
    return value


def _text(document: Json, key: str, where: str) -> str:
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{where}: {key} is no text")
    return value


def _texts(document: Json, key: str, where: str) -> tuple[str, ...]:
    return tuple(_text({key: value}, key, where) for value in _list(document, key, where))


def _text_map(document: Json, key: str, where: str) -> Mapping[str, str]:
    value = document.get(key)
    entries = {} if value is None else _object(value, f"{where}: {key}")
    return {name: _text(entries, name, f"{where}: {key}") for name in entries}


def _platform(document: Json, where: str) -> Platform:
    return Platform(
        os=_text(document, "os", where),
        architecture=_text(document, "architecture", where),
        variant=_text(document, "variant", where),
    )


def _child(value: object, where: str) -> Child:
    entry = _object(value, where)
    platform = entry.get("platform")
    return Child(
        descriptor=_descriptor(entry, where),
        platform=None if platform is None else _platform(_object(platform, where), where),
    )


def _descriptor(value: object, where: str) -> Descriptor:
    entry = _object(value, where)
    size = entry.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _LARGEST_SIZE:
        raise InvalidArgumentError(f"{where}: a descriptor without a size")
    return Descriptor(
        media_type=_text(entry, "mediaType", where),
        digest=digests.validate(_text(entry, "digest", where)),
        size=size,
        annotations=_text_map(entry, "annotations", where),
    )
