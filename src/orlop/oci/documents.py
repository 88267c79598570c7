"""The JSON documents of an image: index, manifest and config, checked while they are read.

Each field means what containerd reads (`json_reader`); a field that containerd could not use
later, such as a descriptor without a digest, is refused. `encode` writes JSON as Go's encoder
does, byte for byte: digests of documents depend on it.

Source: OCI image spec, image-index.md, manifest.md, config.md; Docker image manifest
version 2, schema 2; documentation of Go's encoding/json, Marshal.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from orlop import digests
from orlop.errors import InvalidArgumentError
from orlop.oci import mediatypes
from orlop.oci.json_reader import Json, ListOf, Raw, Scalar, Struct, decode
from orlop.oci.platforms import Platform
from orlop.records import Descriptor

if TYPE_CHECKING:
    from typing import BinaryIO

    from orlop.oci.json_reader import Kind

LARGEST = 20 << 20
"""How many bytes a document may have: it is read into memory (containerd's limit)."""

_MOST_ENTRIES = 10_000
_PIECE = 1 << 16

# The documents with their fields, as containerd declares them.
_TEXTS = ListOf(Scalar.TEXT)
_PLATFORM: dict[str, Kind] = {
    "architecture": Scalar.TEXT,
    "os": Scalar.TEXT,
    "os.version": Scalar.TEXT,
    "os.features": _TEXTS,
    "variant": Scalar.TEXT,
}
_DESCRIPTOR = Struct(
    {
        "mediaType": Scalar.TEXT,
        "digest": Scalar.TEXT,
        "size": Scalar.INTEGER,
        "urls": _TEXTS,
        "annotations": Scalar.TEXT_MAP,
        "platform": Struct(_PLATFORM, optional=True),
    }
)
_DOCUMENT: dict[str, Kind] = {
    "schemaVersion": Scalar.INTEGER,
    "mediaType": Scalar.TEXT,
    "annotations": Scalar.TEXT_MAP,
    "fsLayers": Scalar.RAW,
}
INDEX = Struct(
    {
        **_DOCUMENT,
        "manifests": ListOf(_DESCRIPTOR),
        "config": Scalar.RAW,
        "layers": Scalar.RAW,
    }
)
MANIFEST = Struct(
    {
        **_DOCUMENT,
        "config": _DESCRIPTOR,
        "layers": ListOf(_DESCRIPTOR),
        "manifests": Scalar.RAW,
    }
)
CONFIG = Struct(
    {
        "architecture": Scalar.TEXT,
        "os": Scalar.TEXT,
        "variant": Scalar.TEXT,
        "rootfs": Struct({"type": Scalar.TEXT, "diff_ids": _TEXTS}),
    }
)
SAVED = ListOf(Struct({"Config": Scalar.TEXT, "RepoTags": _TEXTS, "Layers": _TEXTS}))
LAYOUT = Struct({"imageLayoutVersion": Scalar.TEXT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A descriptor in a document, with the platform that an index states for it."""

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
    """The part of an image's config that unpacking needs: platform and digests of the layers."""

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
    document = _load(data, INDEX, where)
    holds_manifest = "config" in document or document.get("layers") is Raw.FILLED
    if holds_manifest or mediatypes.is_manifest(_text(document, "mediaType")):
        raise InvalidArgumentError(f"{where}: a manifest where an index is expected")
    _require_current(document, where)
    return Index(manifests=tuple(_child(one, where) for one in _list(document, "manifests", where)))


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Read a manifest, OCI's or Docker's; `where` names it in errors.

    Raises:
        InvalidArgumentError: it is none, or it is damaged.
    """
    document = _load(data, MANIFEST, where)
    manifests = document.get("manifests")
    holds_index = manifests is Raw.FILLED or (manifests and "config" not in document)
    if holds_index or mediatypes.is_index(_text(document, "mediaType")):
        raise InvalidArgumentError(f"{where}: an index where a manifest is expected")
    _require_current(document, where)
    config = _descriptor(_object(document, "config"), f"{where}: config")
    layers = _list(document, "layers", where)
    return Manifest(
        config=config, layers=tuple(_descriptor(layer, f"{where}: layer") for layer in layers)
    )


def parse_config(data: bytes, where: str) -> Config:
    """Read the config of an image; `where` names it in errors.

    Raises:
        InvalidArgumentError: it is none, or it is damaged.
    """
    document = _load(data, CONFIG, where)
    diff_ids = _texts(_object(document, "rootfs"), "diff_ids", where)
    for diff_id in diff_ids:
        digests.validate(diff_id)
    return Config(platform=_platform(document), diff_ids=diff_ids)


def parse_saved(data: bytes, where: str) -> tuple[SavedImage, ...]:
    """Read the `manifest.json` of `docker save`.

    Raises:
        InvalidArgumentError: it is none, or it is damaged.
    """
    # As in containerd, what follows this document and that of the layout does not count.
    entries = cast("list[Json]", decode(data, SAVED, where, whole=False) or [])
    if len(entries) > _MOST_ENTRIES:
        raise InvalidArgumentError(f"{where}: more than {_MOST_ENTRIES} images")
    found = []
    for image in entries:
        config = _text(image, "Config")
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
    return _text(_load(data, LAYOUT, where, whole=False), "imageLayoutVersion")


def children(media_type: str, data: bytes, where: str) -> tuple[Child, ...]:
    """Return the children of a document; none for types that containerd does not follow.

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
    """Whether a document of this type has children."""
    return mediatypes.is_index(media_type) or mediatypes.is_manifest(media_type)


def _load(data: bytes, kind: Struct, where: str, *, whole: bool = True) -> Json:
    # A document of null is an empty one.
    return cast("Json", decode(data, kind, where, whole=whole) or {})


def _require_current(document: Json, where: str) -> None:
    if document.get("fsLayers") is Raw.FILLED:
        raise InvalidArgumentError(f"{where}: Docker's schema 1 is not supported; convert it first")


def _object(document: Json, key: str) -> Json:
    return cast("Json", document.get(key, {}))


def _list(document: Json, key: str, where: str) -> list[Json]:
    found = cast("list[Json]", document.get(key, []))
    if len(found) > _MOST_ENTRIES:
        raise InvalidArgumentError(f"{where}: {key} has more than {_MOST_ENTRIES} entries")
    return found


def _text(document: Json, key: str) -> str:
    return cast("str", document.get(key, ""))


def _texts(document: Json, key: str, where: str) -> tuple[str, ...]:
    return tuple(cast("list[str]", _list(document, key, where)))


def _platform(document: Json) -> Platform:
    return Platform(
        os=_text(document, "os"),
        architecture=_text(document, "architecture"),
        variant=_text(document, "variant"),
    )


def _child(entry: Json, where: str) -> Child:
    platform = entry.get("platform")
    return Child(
        descriptor=_descriptor(entry, where),
        platform=None if platform is None else _platform(cast("Json", platform)),
    )


def _descriptor(entry: Json, where: str) -> Descriptor:
    size = cast("int", entry.get("size", -1))
    if size < 0:
        raise InvalidArgumentError(f"{where}: a descriptor without a size")
    return Descriptor(
        media_type=_text(entry, "mediaType"),
        digest=digests.validate(_text(entry, "digest")),
        size=size,
        annotations=cast("dict[str, str]", entry.get("annotations", {})),
    )


_SPECIAL = re.compile("\\\\.|[<>&\u2028\u2029\ud800-\udfff]", re.DOTALL)
_SHORT = {r"\b": r"\u0008", r"\f": r"\u000c"}


def encode(document: object) -> bytes:
    """Return `document` without white space, keys in their order, HTML's characters escaped."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _SPECIAL.sub(_escape, text).encode()


def _escape(match: re.Match[str]) -> str:
    found = match[0]
    if len(found) > 1:
        return _SHORT.get(found, found)
    if "\ud800" <= found <= "\udfff":
        # Half of a pair stands for no character; Go reads it as the replacement character.
        return "\ufffd"
    return f"\\u{ord(found):04x}"
