"""Brings images from a file or a directory into a namespace.

All is found and checked first; then blobs are copied, children before those that point at
them, each document with the labels that hold its children; the images come last. A lease
holds everything meanwhile, so that a collection may run between any two steps.

Source: behaviour of containerd's import.
"""

from __future__ import annotations

import contextlib
import io
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from orlop import digests
from orlop.errors import DataLossError, NotFoundError
from orlop.labels import UNCOMPRESSED
from orlop.oci import documents, mediatypes
from orlop.oci.docker_archive import layer_type
from orlop.oci.ingest import import_lease, ingest, labels_for
from orlop.oci.naming import name_images
from orlop.oci.platforms import chooser, this_platform
from orlop.oci.progress import Silent
from orlop.oci.selection import ALL_PLATFORMS, Selection
from orlop.oci.source import Source, open_source
from orlop.oci.unpacker import is_runnable, require_snapshotter, unpack_image
from orlop.records import Descriptor, Image, LeaseResource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import BinaryIO

    from orlop.namespace import Namespace
    from orlop.oci.naming import NamedImage
    from orlop.oci.platforms import Platform
    from orlop.oci.progress import Progress
    from orlop.oci.selection import Member
    from orlop.stores.content import ContentStore

_HEAD = 10


def import_image(
    namespace: Namespace,
    path: str | os.PathLike[str] | BinaryIO,
    *,
    name: str | None = None,
    unpack: str | Sequence[str] | None = None,
    platform: Platform | None = None,
    all_platforms: bool = False,
    by_digest: bool = False,
    index_name: str | None = None,
    verify: bool = False,
    progress: Progress | None = None,
) -> list[Image]:
    """Import the images of an OCI layout, an OCI archive or an archive of `docker save`.

    To import again changes nothing, but puts back what is missing: a blob whose file is gone or
    has another size, and with `unpack` a snapshot whose directory is gone. Do not call it inside
    `Database.update`: it would hold up all other writers while it copies.

    Args:
        namespace: where to.
        path: the layout directory or the archive, which may be a named pipe; or an open file, which
            is read to its end. What comes through a pipe is copied into the root first.
        name: with a tag or digest, the name of the only image; without, what goes before
            the tags that the archive knows (and images of other names are left out);
            `None` for `import-<date>`.
        unpack: the snapshotter to unpack with, or several; without one the layers stay packed,
            and so does what is no image that could run: a signature, a chart.
        platform: whose images to take where there are several; `None` for this machine's, or
            what else could run here where they are missing.
        all_platforms: take all of them; only that for `platform` is unpacked.
        by_digest: also name each image `<name>@<digest>`.
        index_name: keep the index of the archive itself as an image of this name.
        verify: read blobs that are there, and replace those that are damaged, too.
        progress: is told how far it is.

    Returns:
        The images, as they are stored.

    Raises:
        NotFoundError: the file, a blob, or an image for the platform is missing.
        InvalidArgumentError: it is nothing of this kind, or a document or a layer is faulty.
        FailedPreconditionError: a layer is not what the config says, or the snapshotter is
            not there.
        DataLossError: the archive is cut off or damaged, a blob is not what its digest or
            size says, or one of the namespace that the archive does not have is damaged.
        OSError: the system refused (space, permission, input and output).
    """
    wanted = platform or this_platform()
    snapshotters = (unpack,) if isinstance(unpack, str) else tuple(dict.fromkeys(unpack or ()))
    for snapshotter in snapshotters:
        require_snapshotter(namespace, snapshotter)
    with (
        import_lease(namespace) as lease,
        open_source(
            Path(path) if isinstance(path, str | os.PathLike) else path,
            partial(_compressed, namespace, lease, verify=verify),
            root=namespace.environment.root,
        ) as source,
    ):
        run = _Import(namespace.content, source, progress or Silent(), verify=verify)
        selection = Selection(
            size=run.size,
            opener=run.open,
            chooser=chooser(platform, all_platforms=all_platforms),
            label=source.label,
        )
        entries = documents.parse_index(source.index, f"{source.label}: index").manifests
        chosen = selection.choose(entries)
        if entries and not chosen:
            raise NotFoundError(f"{source.label}: an image for {wanted}", hint=ALL_PLATFORMS)
        named = name_images(
            chosen, name, now=namespace.environment.clock.now(), by_digest=by_digest
        )
        for one in named:
            selection.add(one.child.descriptor)
        for member in selection.members():
            run.import_blob(member)
        images = [_store(namespace, _image(one)) for one in named]
        if index_name is not None:
            children = [one.child.descriptor for one in named]
            images.append(_store(namespace, run.bring_index(index_name, children)))
        if snapshotters:
            for image in {image.target.digest: image for image in images}.values():
                if not is_runnable(namespace, image, platform=wanted):
                    continue
                for snapshotter in snapshotters:
                    unpack_image(namespace, image, snapshotter, platform=wanted, progress=progress)
    return images


class _Import:
    """One source on its way into one content store."""

    def __init__(
        self, content: ContentStore, source: Source, progress: Progress, *, verify: bool
    ) -> None:
        self._content = content
        self._source = source
        self._progress = progress
        self._verify = verify

    def size(self, digest: str) -> int | None:
        """Return the size of a blob in the source, else in the store.

        Raises:
            DataLossError: only the store has it, and it is missing there, or damaged.
        """
        size = self._source.size(digest)
        if size is not None:
            return size
        try:
            size = self._content.info(digest).size
            fault = self._content.fault(digest, verify=self._verify)
        except NotFoundError:
            return None
        if fault:
            raise DataLossError(
                f"{self._source.label} does not hold content {digest}, and that of namespace "
                f'"{self._content.scope.namespace}" is damaged ({fault}): import an archive that '
                "holds it"
            )
        return size

    def open(self, digest: str) -> BinaryIO:
        """Open a blob in the source, else in the store."""
        if self._source.size(digest) is not None:
            return self._source.open(digest)
        return self._content.open(digest)

    def import_blob(self, member: Member) -> None:
        """Bring a blob in."""
        digest = member.descriptor.digest
        ingest(
            self._content,
            member.descriptor,
            lambda: self.open(digest),
            labels=lambda existing: labels_for(member.children, existing),
            progress=self._progress,
            verify=self._verify,
        )

    def bring_index(self, name: str, children: list[Descriptor]) -> Image:
        """Bring in the index of the archive itself, as an image."""
        data = self._source.index
        target = Descriptor(
            media_type=mediatypes.OCI_INDEX, digest=digests.from_bytes(data), size=len(data)
        )
        distinct = list({child.digest: child for child in children}.values())

        def labels(existing: Mapping[str, str]) -> Mapping[str, str]:
            return labels_for(distinct, existing)

        ingest(
            self._content,
            target,
            lambda: io.BytesIO(data),
            labels=labels,
            progress=self._progress,
            verify=self._verify,
        )
        return Image(name=name, target=target)


def _image(named: NamedImage) -> Image:
    return Image(name=named.name, target=named.child.descriptor)


def _store(namespace: Namespace, image: Image) -> Image:
    """Create an image, or point the one of that name at its target; its labels stay."""
    images = namespace.images
    with contextlib.suppress(NotFoundError):
        stored = images.get(image.name)
        if stored.target == image.target:
            return stored
    with images.scope.transactor.update():
        try:
            stored = images.get(image.name)
        except NotFoundError:
            return images.create(image)
        return stored if stored.target == image.target else images.update(image, ["target"])


def _compressed(
    namespace: Namespace, lease: str, digest: str, *, verify: bool
) -> Descriptor | None:
    """Return the compressed form of a layer that is whole in the store, held by the lease.

    Of several it is the last, as in containerd, so that the manifests agree.
    """
    content = namespace.content
    for info in reversed(list(content.walk(f'labels."{UNCOMPRESSED}"=={digest}'))):
        namespace.leases.add_resource(lease, LeaseResource(id=info.digest, type="content"))
        with contextlib.suppress(NotFoundError):
            if content.fault(info.digest, verify=verify):
                continue  # the archive has the data
            with content.open(info.digest) as blob:
                head = blob.read(_HEAD)
            return Descriptor(media_type=layer_type(head), digest=info.digest, size=info.size)
    return None
