"""Unpacks the layers of an image into a chain of snapshots.

Each layer becomes a committed snapshot, named by the chain of digests up to it, so that images
with the same first layers share them. A layer is decompressed, hashed and counted as it is read;
its files are written below the directory that the mounts of the prepared snapshot name, without
mounting. The hash is compared with the config, and the files are synced, before the commit. A
lease holds all of it until the config has a label that does.

Source: behaviour of containerd's rootfs and diff/apply packages; OCI image spec, config.md,
"Layer ChainID"; mount(8).
"""

from __future__ import annotations

import base64
import contextlib
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orlop import digests
from orlop.errors import (
    REPLACE_BLOBS,
    AlreadyExistsError,
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    OrlopError,
    UnimplementedError,
)
from orlop.labels import GC_REF_SNAPSHOT, UNCOMPRESSED
from orlop.oci import documents, images, mediatypes
from orlop.oci.apply import apply_layer
from orlop.oci.compression import decompress
from orlop.oci.ingest import add_labels, import_lease
from orlop.oci.platforms import this_platform
from orlop.oci.progress import Progress, Silent, Stage, Work
from orlop.oci.safe_path import SnapshotTree
from orlop.oci.tar_stream import CHUNK
from orlop.records import LeaseResource
from orlop.storage.files import sync_file_system
from orlop.storage.overlay import directory_of, lowers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

    from orlop.namespace import Namespace
    from orlop.oci.documents import Manifest
    from orlop.oci.platforms import Platform
    from orlop.records import Descriptor, Image, Mount
    from orlop.stores.content import ContentStore


_RANDOM_BYTES = 3
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer, the digest that it has uncompressed, and its place in the chain."""

    blob: Descriptor
    diff_id: str
    parent: str
    chain_id: str


def require_snapshotter(namespace: Namespace, name: str) -> None:
    """Refuse a snapshotter that is not there, before anything is copied.

    Raises:
        FailedPreconditionError: it is not there.
    """
    available = namespace.environment.snapshot_backends
    if name not in available:
        raise FailedPreconditionError(
            f'the snapshotter "{name}" is not available: unpack with {" or ".join(available)}'
        )


def is_runnable(namespace: Namespace, image: Image, *, platform: Platform | None = None) -> bool:
    """Whether an image has a root file system for a platform: a signature or a chart has none.

    Args:
        namespace: where the image is.
        image: what to look at.
        platform: whose image to take of several; `None` for this machine's.

    Raises:
        NotFoundError: a document is missing.
        InvalidArgumentError: a document is faulty.
    """
    if not documents.is_followed(image.target.media_type):
        return False
    content = namespace.content
    manifest = images.find_manifest(content, image.target, platform or this_platform())
    return manifest is not None and _reason_not_to_run(content, manifest) is None


def _reason_not_to_run(content: ContentStore, manifest: Manifest) -> str | None:
    """Return the part of a manifest that no image has; `None` where it is an image's."""
    if not images.has_image_config(content, manifest):
        return f"config {manifest.config.digest} ({manifest.config.media_type})"
    for layer in manifest.layers:
        if not mediatypes.is_layer(layer.media_type):
            return f"layer {layer.digest} ({layer.media_type})"
    return None


def unpack_image(
    namespace: Namespace,
    image: Image,
    snapshotter: str,
    *,
    platform: Platform | None = None,
    progress: Progress | None = None,
) -> str:
    """Unpack an image; layers with an existing snapshot are skipped.

    A layer whose snapshot is named and has lost its directory is unpacked again, into its place.

    Do not call it inside `Database.update`: it would hold up all other writers.

    Args:
        namespace: where the image is.
        image: what to unpack.
        snapshotter: what keeps the snapshots, `native` or `overlayfs`.
        platform: whose image to take of several; `None` for this machine's.
        progress: is told how far it is.

    Returns:
        The chain id: the name of the topmost snapshot; empty for an image without layers.

    Raises:
        NotFoundError: a blob is missing, or there is no image for the platform.
        InvalidArgumentError: a document or a layer is faulty, or this is no image.
        FailedPreconditionError: a layer is not what the config says.
        DataLossError: a blob is cut off or damaged.
        PermissionDeniedError: a layer needs rights that this process has not.
        UnimplementedError: the snapshotter or a layer needs what Orlop does not do.
        OSError: the system refused (space, input and output).
    """
    require_snapshotter(namespace, snapshotter)
    content = namespace.content
    manifest = images.manifest_for(content, image.target, platform or this_platform())
    if (reason := _reason_not_to_run(content, manifest)) is not None:
        raise InvalidArgumentError(f"{image.name}: {reason}: no image that could run")
    config = images.config_of(content, manifest)
    layers = chain(manifest.layers, config.diff_ids)
    run = _Unpacking(namespace, snapshotter, progress or Silent())
    with import_lease(namespace) as lease:
        for layer in layers:
            # First held, then looked for: so it cannot be collected between the two.
            namespace.leases.add_resource(
                lease, LeaseResource(id=layer.chain_id, type=f"snapshots/{snapshotter}")
            )
        for layer in layers:
            run.unpack(layer)
        top = layers[-1].chain_id if layers else ""
        if top:
            label = {f"{GC_REF_SNAPSHOT}{snapshotter}": top}
            add_labels(content, manifest.config.digest, lambda _: label)
    return top


def chain(blobs: Sequence[Descriptor], diff_ids: Sequence[str]) -> list[Layer]:
    """Put the layers of a manifest and the digests of a config together.

    Raises:
        FailedPreconditionError: there are more of one than of the other.
    """
    if len(blobs) != len(diff_ids):
        raise FailedPreconditionError(
            f"the manifest has {len(blobs)} layers and the config {len(diff_ids)}"
        )
    layers: list[Layer] = []
    parent = ""
    for blob, diff_id in zip(blobs, diff_ids, strict=True):
        below = f"{parent} {diff_id}".encode()
        chain_id = digests.from_bytes(below) if parent else diff_id
        layers.append(Layer(blob=blob, diff_id=diff_id, parent=parent, chain_id=chain_id))
        parent = chain_id
    return layers


class _Unpacking:
    """One image on its way into one snapshotter."""

    def __init__(self, namespace: Namespace, snapshotter: str, progress: Progress) -> None:
        self._content = namespace.content
        self._snapshots = namespace.snapshots(snapshotter)
        self._clock = namespace.environment.clock
        self._progress = progress

    def unpack(self, layer: Layer) -> None:
        """Make the snapshot of a layer, unless it is there."""
        work = Work(
            stage=Stage.UNPACK,
            digest=layer.blob.digest,
            media_type=layer.blob.media_type,
            total=layer.blob.size,
        )
        self._progress.started(work)
        reused = self._exists(layer.chain_id) or not self._make(layer, work)
        if not reused:
            add_labels(self._content, layer.blob.digest, lambda _: {UNCOMPRESSED: layer.diff_id})
        self._progress.finished(work, reused=reused)

    def _exists(self, name: str) -> bool:
        try:
            return not self._snapshots.fault(name)
        except NotFoundError:
            return False

    def _make(self, layer: Layer, work: Work) -> bool:
        """Prepare, fill and commit a snapshot; false where another unpacking was faster."""
        if mediatypes.is_encrypted(layer.blob.media_type):
            raise UnimplementedError(f"layer {layer.blob.digest} is encrypted")
        key, mounts = self._prepare(layer)
        try:
            self._fill(layer, mounts, work)
            self._snapshots.commit(layer.chain_id, key)
        except AlreadyExistsError:
            self._remove(key)
            return False
        except OrlopError as error:
            self._remove(key)
            self._require_sound(layer, error)
            raise
        except BaseException:
            self._remove(key)
            raise
        return True

    def _require_sound(self, layer: Layer, error: OrlopError) -> None:
        """Raise `DataLossError` where a layer cannot be unpacked because its blob is damaged."""
        with contextlib.suppress(NotFoundError), self._content.open(layer.blob.digest) as blob:
            actual = digests.of_file(blob, digests.algorithm(layer.blob.digest))
            if actual != layer.blob.digest:
                raise DataLossError(
                    f"layer {layer.blob.digest} is damaged, it has the digest {actual} "
                    f"({error.message})",
                    hint=REPLACE_BLOBS,
                ) from error

    def _prepare(self, layer: Layer) -> tuple[str, tuple[Mount, ...]]:
        """Prepare a snapshot under a unique key."""
        while True:
            nanosecond = self._clock.now().timestamp(unit="nanosecond") % _NANOSECONDS
            random = base64.urlsafe_b64encode(secrets.token_bytes(_RANDOM_BYTES)).decode()
            key = f"extract-{nanosecond}-{random} {layer.chain_id}"
            with contextlib.suppress(AlreadyExistsError):
                return key, self._snapshots.prepare(key, layer.parent)

    def _fill(self, layer: Layer, mounts: tuple[Mount, ...], work: Work) -> None:
        """Apply a layer to the directory of its snapshot, check it, and bring it to disk."""
        target = target_of(mounts)
        label = f"layer {layer.blob.digest}"
        with self._content.open(layer.blob.digest) as blob, target.open() as tree:
            stream = LayerStream(
                blob,
                label=label,
                algorithm=digests.algorithm(layer.diff_id),
                advanced=lambda done: self._progress.advanced(work, done),
            )
            apply_layer(stream, tree, label=label)
            actual = stream.finish()
        if actual != layer.diff_id:
            raise FailedPreconditionError(
                f"{label} has uncompressed the digest {actual}, and the config says {layer.diff_id}"
            )
        sync_file_system(target.root)

    def _remove(self, key: str) -> None:
        """Remove the unfinished snapshot; where that fails, a collection does it."""
        with contextlib.suppress(OrlopError):
            self._snapshots.remove(key)


class LayerStream:
    """The uncompressed bytes of a layer.

    Args:
        blob: the layer as it is stored.
        label: what to call it in errors.
        algorithm: of the digest to compute.
        advanced: is told how many bytes of the blob have been read.
    """

    def __init__(
        self, blob: BinaryIO, *, label: str, algorithm: str, advanced: Callable[[int], None]
    ) -> None:
        self._counted = _Counted(blob, advanced)
        _, self._expanded = decompress(self._counted, label=label)
        self._hash = digests.new_hash(algorithm)

    def read(self, size: int, /) -> bytes:
        """Return `size` uncompressed bytes, fewer at the end."""
        data = self._expanded.read(size)
        self._hash.update(data)
        return data

    def finish(self) -> str:
        """Read to the end, and return the digest of the uncompressed layer."""
        while self.read(CHUNK):
            pass
        return digests.of_hash(self._hash)


class _Counted:
    """Counts the bytes that are read of a blob."""

    def __init__(self, blob: BinaryIO, advanced: Callable[[int], None]) -> None:
        self._blob = blob
        self._advanced = advanced
        self._done = 0

    def read(self, size: int, /) -> bytes:
        data = self._blob.read(size)
        self._done += len(data)
        self._advanced(self._done)
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The directory that is written, over those of the parents, nearest first.

    `user` is whether overlay keeps its marks in the attributes that any user may set.
    """

    root: Path
    lowers: tuple[Path, ...] = ()
    user: bool = False

    def open(self) -> SnapshotTree:
        """Open the directories; the caller closes them."""
        space = "user" if self.user else "trusted"
        return SnapshotTree(self.root, self.lowers, opaque=f"{space}.overlay.opaque")


def target_of(mounts: Sequence[Mount]) -> Target:
    """Return where to write, for mounts of the kinds `bind` and `overlay`.

    Raises:
        UnimplementedError: the snapshotter wants something else to be mounted.
    """
    if len(mounts) == 1 and mounts[0].type in {"bind", "rbind"}:
        return Target(root=Path(mounts[0].source))
    if len(mounts) == 1 and mounts[0].type == "overlay":
        options = dict(option.partition("=")[::2] for option in mounts[0].options)
        if "upperdir" in options:
            return Target(
                root=directory_of(options["upperdir"]),
                lowers=lowers_of(options.get("lowerdir", "")),
                user="userxattr" in options,
            )
    kinds = ", ".join(mount.type for mount in mounts) or "none"
    raise UnimplementedError(f"unpacking into mounts of the kind {kinds}: only bind and overlay")
