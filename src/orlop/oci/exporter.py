"""Writes images from a namespace to an OCI archive, which `docker load` reads, too.

The archive depends on the images alone: the same images give the same bytes.

Source: OCI image spec, image-layout.md; behaviour of containerd's export.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from orlop import digests
from orlop.concurrency.ownership import TemporaryName
from orlop.errors import REPLACE_BLOBS, DataLossError, InvalidArgumentError, NotFoundError
from orlop.oci import documents, images, layout, mediatypes, references
from orlop.oci.export_target import refuse_own_file
from orlop.oci.mediatypes import IMAGE_NAME, REFERENCE_NAME
from orlop.oci.platforms import chooser, this_platform
from orlop.oci.progress import Progress, Silent, Stage, Work
from orlop.oci.selection import Selection
from orlop.oci.tar_stream import CHUNK
from orlop.oci.tar_writer import TarWriter
from orlop.storage.files import naming

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orlop.namespace import Namespace
    from orlop.oci.documents import Manifest
    from orlop.oci.platforms import Platform
    from orlop.records import Descriptor, Image
    from orlop.stores.content import ContentStore

_BLOB_MODE = 0o444
_LAYOUT_MODE = 0o444
_DOCUMENT_MODE = 0o644
_DIRECTORY_MODE = 0o755
_SAVED = "manifest.json"


def export_image(
    namespace: Namespace,
    names: Sequence[str],
    path: str | os.PathLike[str] | BinaryIO,
    *,
    platform: Platform | None = None,
    all_platforms: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write images to an OCI archive.

    Args:
        namespace: where the images are.
        names: the images.
        path: the archive to make or replace, which is complete or not there at all; or an
            open file, which may be a pipe.
        platform: whose image to take of several; `None` for this machine's.
        all_platforms: take all of them.
        progress: is told how far it is.

    Raises:
        NotFoundError: an image, a blob, or an image for the platform is missing.
        InvalidArgumentError: no name is given, or a name stands for no image; or the archive would
            be written over a file of the root.
        DataLossError: a blob is not what its digest says.
        OSError: the system refused (space, permission, input and output).
    """
    if not names:
        raise InvalidArgumentError("export needs the name of an image")
    target = Path(path) if isinstance(path, str | os.PathLike) else path
    refuse_own_file(namespace.environment.root, target)
    found = [namespace.images.get(name) for name in dict.fromkeys(names)]
    wanted = platform or this_platform()
    selection = Selection(
        size=lambda digest: _size(namespace.content, digest),
        opener=namespace.content.open,
        chooser=chooser(platform, all_platforms=all_platforms),
        label=f"namespace {namespace.name}",
    )
    for image in found:
        if not documents.is_followed(image.target.media_type):
            raise InvalidArgumentError(f"{image.name}: {image.target.media_type} is no image")
        selection.add(image.target)
    blobs = [member.descriptor for member in selection.members()]
    export = _Export(namespace.content, found, blobs, wanted, progress or Silent())
    if isinstance(target, Path):
        _replace(target, export)
    else:
        export.write(target)


def _size(content: ContentStore, digest: str) -> int | None:
    try:
        return content.info(digest).size
    except NotFoundError:
        return None


def _replace(path: Path, export: _Export) -> None:
    """Write beside `path`, durably, then put it in place: a reader sees all of it or nothing.

    What is no plain file, a pipe or a device, stays and is written to.
    """
    if path.exists() and not path.is_file():
        with naming(str(path)), path.open("wb") as stream:
            export.write(stream)
        return
    path = path.resolve()  # a symbolic link stays one
    with TemporaryName(path) as temporary:
        with naming(str(path)), temporary.open("wb") as file:
            export.write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


class _Export:
    """Images on their way into one archive."""

    def __init__(
        self,
        content: ContentStore,
        exported: Sequence[Image],
        blobs: Sequence[Descriptor],
        platform: Platform,
        progress: Progress,
    ) -> None:
        self._content = content
        self._blobs = {layout.blob_name(blob.digest): blob for blob in blobs}
        self._progress = progress
        entries = [_index_entry(image) for image in exported]
        self._documents: dict[str, tuple[int, bytes]] = {
            layout.MARK: (_LAYOUT_MODE, documents.encode({"imageLayoutVersion": layout.VERSION})),
            layout.INDEX: (
                _DOCUMENT_MODE,
                documents.encode({"schemaVersion": 2, "manifests": entries}),
            ),
        }
        saved = self._saved(exported, platform)
        if saved:
            self._documents[_SAVED] = (_DOCUMENT_MODE, documents.encode(saved))

    def write(self, file: BinaryIO) -> None:
        """Write the archive, names in order."""
        writer = TarWriter(file)
        folders = {f"{name.rpartition('/')[0]}/" for name in self._blobs} | {"blobs/"}
        for name in sorted({*self._blobs, *self._documents, *folders}):
            if name in self._blobs:
                self._write_blob(writer, name, self._blobs[name])
            elif name in self._documents:
                mode, data = self._documents[name]
                writer.file(name, mode, len(data))
                writer.write(data)
            else:
                writer.directory(name, _DIRECTORY_MODE)
        writer.finish()

    def _write_blob(self, writer: TarWriter, name: str, blob: Descriptor) -> None:
        """Copy a blob, and check it once more on the way."""
        work = Work(
            stage=Stage.EXPORT, digest=blob.digest, media_type=blob.media_type, total=blob.size
        )
        self._progress.started(work)
        writer.file(name, _BLOB_MODE, blob.size)
        running = digests.new_hash(digests.algorithm(blob.digest))
        done = 0
        with self._content.open(blob.digest) as data:
            while chunk := data.read(CHUNK):
                done += len(chunk)
                running.update(chunk)
                if done <= blob.size:
                    writer.write(chunk)
                self._progress.advanced(work, done)
        if done != blob.size or digests.of_hash(running) != blob.digest:
            raise DataLossError(
                f"blob {blob.digest} is damaged: {done} bytes, {digests.of_hash(running)}",
                hint=REPLACE_BLOBS,
            )
        self._progress.finished(work, reused=False)

    def _saved(self, exported: Sequence[Image], platform: Platform) -> list[dict[str, object]]:
        """Return `manifest.json` for `docker load`: one manifest an image, with its names."""
        manifests: dict[str, Manifest] = {}
        tags: dict[str, list[str]] = {}
        for image in exported:
            try:
                manifest = images.manifest_for(self._content, image.target, platform)
            except NotFoundError:
                # All that is exported is for other platforms: Docker could not run it.
                continue
            key = manifest.config.digest
            manifests.setdefault(key, manifest)
            tags.setdefault(key, []).extend(_familiar(image.name))
        return [
            {
                "Config": layout.blob_name(manifest.config.digest),
                "RepoTags": tags[key] or None,
                "Layers": [layout.blob_name(layer.digest) for layer in manifest.layers] or None,
            }
            for key, manifest in manifests.items()
            if mediatypes.is_image_config(manifest.config.media_type)
        ]


def _familiar(name: str) -> list[str]:
    """Return the name as Docker has it; nothing where Docker could have no such name.

    Docker loads no archive with a tag that has a digest behind it.
    """
    try:
        reference = references.parse_reference(name)
    except InvalidArgumentError:
        return []
    if reference.digest and not reference.tag:
        return []
    return [references.familiar(str(replace(reference, digest="")))]


def _index_entry(image: Image) -> dict[str, object]:
    target = image.target
    named: Mapping[str, str] = {
        **{key: text for key, text in target.annotations.items() if key != REFERENCE_NAME},
        IMAGE_NAME: image.name,
    }
    reference = references.object_of(image.name)
    if references.is_reference_name(reference):
        named = {**named, REFERENCE_NAME: reference}
    return {
        "mediaType": target.media_type,
        "digest": target.digest,
        "size": target.size,
        "annotations": dict(sorted(named.items())),
    }
