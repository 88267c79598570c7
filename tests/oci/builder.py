"""Builds layers, images and archives with the standard library, independently of Orlop."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MODIFIED = 1_600_000_000
"""The time of every entry: long ago, so that what is made now can be told from it."""

CAPABILITY = "\x01\x00\x00\x02\x00\x20" + 14 * "\x00"
"""A file capability (CAP_NET_RAW) as the kernel keeps it in `security.capability`."""

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"

Json = dict[str, object]


def entry(
    name: str,
    *,
    data: bytes = b"",
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
    mode: int | None = None,
    owner: tuple[int, int] = (0, 0),
    device: tuple[int, int] = (0, 0),
    attributes: Mapping[str, str] | None = None,
    modified: float = MODIFIED,
) -> tuple[tarfile.TarInfo, bytes]:
    """Make an entry of a layer."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    info.size = len(data)
    info.uid, info.gid = owner
    info.devmajor, info.devminor = device
    info.mtime = modified
    info.mode = (0o755 if kind == tarfile.DIRTYPE else 0o644) if mode is None else mode
    info.pax_headers = {f"SCHILY.xattr.{key}": text for key, text in (attributes or {}).items()}
    return info, data


def directory(name: str, **options: object) -> tuple[tarfile.TarInfo, bytes]:
    """Make a directory of a layer."""
    return entry(name, kind=tarfile.DIRTYPE, **options)  # type: ignore[arg-type]


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    """Make a symbolic link of a layer."""
    return entry(name, kind=tarfile.SYMTYPE, link=target, mode=0o777)


def hardlink(name: str, target: str, **options: object) -> tuple[tarfile.TarInfo, bytes]:
    """Make a hard link of a layer."""
    return entry(name, kind=tarfile.LNKTYPE, link=target, **options)  # type: ignore[arg-type]


def layer(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Make an uncompressed layer."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def digest_of(data: bytes) -> str:
    """Return the digest of a blob."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def pack(data: bytes) -> bytes:
    """Compress with gzip, always to the same bytes."""
    return gzip.compress(data, mtime=0)


@dataclass
class Built:
    """An image in the making: blobs by digest, and the entries of the index."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    entries: list[Json] = field(default_factory=list)

    def blob(self, data: bytes, media_type: str, **more: object) -> Json:
        """Add a blob and return its descriptor."""
        digest = digest_of(data)
        self.blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data), **more}

    def image(
        self,
        layers: Sequence[bytes],
        *,
        name: str | None = "example.com/built:v1",
        compress: bool = True,
        platform: Json | None = None,
        architecture: str = "amd64",
    ) -> Json:
        """Add an image of uncompressed `layers`; return the descriptor of its manifest."""
        suffix = "+gzip" if compress else ""
        packed = [
            self.blob(pack(data) if compress else data, OCI_LAYER + suffix) for data in layers
        ]
        config = {
            "architecture": architecture,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest_of(data) for data in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "config": self.blob(json.dumps(config).encode(), OCI_CONFIG),
            "layers": packed,
        }
        more: Json = {}
        if name is not None:
            more["annotations"] = {"org.opencontainers.image.ref.name": name}
        if platform is not None:
            more["platform"] = platform
        descriptor = self.blob(json.dumps(manifest).encode(), OCI_MANIFEST, **more)
        self.entries.append(descriptor)
        return descriptor

    def files(self) -> dict[str, bytes]:
        """Return the files of the layout."""
        index = {"schemaVersion": 2, "manifests": self.entries}
        return {
            "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
            "index.json": json.dumps(index).encode(),
            **{f"blobs/{key.replace(':', '/')}": data for key, data in self.blobs.items()},
        }

    def archive(self, path: Path) -> Path:
        """Write an OCI archive."""
        return write_archive(path, self.files())

    def layout(self, path: Path) -> Path:
        """Write a layout directory."""
        for name, data in self.files().items():
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return path


def write_archive(
    path: Path, files: Mapping[str, bytes], links: Mapping[str, str] | None = None
) -> Path:
    """Write files, and symbolic links, into a tar archive."""
    entries = [entry(name, data=data) for name, data in files.items()]
    entries += [symlink(name, target) for name, target in (links or {}).items()]
    path.write_bytes(layer(*entries, form=tarfile.USTAR_FORMAT))
    return path


def docker_archive(
    path: Path, layers: Sequence[bytes], names: Sequence[str] = ("built:v1",)
) -> Path:
    """Write an archive as old `docker save` did: layers in folders, a repeated one as a link."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest_of(data) for data in layers]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    files = {config_name: config}
    links: dict[str, str] = {}
    first: dict[bytes, str] = {}
    paths = []
    for number, data in enumerate(layers):
        folder = f"layer{number}"
        files[f"{folder}/VERSION"] = b"1.0"
        paths.append(f"{folder}/layer.tar")
        if data in first:
            links[paths[-1]] = f"../{first[data]}"
        else:
            files[paths[-1]] = data
            first[data] = paths[-1]
    manifest = [{"Config": config_name, "RepoTags": list(names), "Layers": paths}]
    files["manifest.json"] = json.dumps(manifest).encode()
    return write_archive(path, files, links)
