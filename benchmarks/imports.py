"""An image taken in and unpacked: by `ctr` with a daemon of its own, and by `orlop`."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import shutil
import sys
import tarfile
from contextlib import ExitStack
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks.programs import REPOSITORY, output

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from real.daemon import Daemon

_LAYERS: Final = 4
_FILE_BYTES: Final = 64 * 1024
_SNAPSHOTTER: Final = "overlayfs"
_NAME: Final = "example.com/benchmark:v1"
_CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
_MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
_LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+gzip"


class Daemons:
    """A containerd that runs, and the archive that both sides import."""

    def __init__(self, folder: Path, *, megabytes: int) -> None:
        """Work in `folder` with an image whose files have so many megabytes."""
        self._folder = folder
        self._archive = folder / f"image-{megabytes}.tar"
        self._megabytes = megabytes
        self._held = ExitStack()
        self._daemon: Daemon | None = None

    def __enter__(self) -> Self:
        if not self._archive.exists():
            make_archive(self._archive, self._megabytes)
        self._daemon = self._held.enter_context(_daemon_class()(self._folder / "containerd"))
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()
        shutil.rmtree(self._folder / "containerd", ignore_errors=True)

    def containerd(self) -> float:
        """Return the seconds that `ctr images import` takes; what it made is removed again."""
        assert self._daemon is not None
        begun = perf_counter()
        self._daemon.ctr("images", "import", "--snapshotter", _SNAPSHOTTER, self._archive)
        seconds = perf_counter() - begun
        self._daemon.ctr("images", "rm", "--sync", _NAME)
        return seconds

    def orlop(self, python: str | None = None) -> float:
        """Return the seconds that `orlop image import` takes, on a root of its own.

        Args:
            python: what runs it; `None`: what runs this.
        """
        root = self._folder / "orlop"
        command = [python or sys.executable, "-m", "orlop", "--root", str(root), "image", "import"]
        begun = perf_counter()
        output([*command, str(self._archive), "--unpack", _SNAPSHOTTER], cwd=REPOSITORY)
        seconds = perf_counter() - begun
        shutil.rmtree(root)
        return seconds


def _daemon_class() -> type[Daemon]:
    """Return what starts a containerd for the tests: they have the same need."""
    sys.path.insert(0, str(REPOSITORY / "tests"))
    from real.daemon import Daemon  # noqa: PLC0415 -- only found since the line before

    return Daemon


def make_archive(path: Path, megabytes: int) -> None:
    """Write an OCI archive: layers of files that can be compressed to about half."""
    source = random.Random(megabytes)  # noqa: S311 -- the same files in each run
    layers, diff_ids = [], []
    files = megabytes * 1_000_000 // _FILE_BYTES
    for layer in range(_LAYERS):
        plain = _layer(source, layer, max(files // _LAYERS, 1))
        diff_ids.append(_digest(plain))
        layers.append(gzip.compress(plain, compresslevel=6, mtime=0))
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST_TYPE,
            "config": _descriptor(_CONFIG_TYPE, config),
            "layers": [_descriptor(_LAYER_TYPE, layer) for layer in layers],
        }
    )
    named = _descriptor(_MANIFEST_TYPE, manifest)
    named["annotations"] = {"io.containerd.image.name": _NAME}
    with tarfile.open(path, "w") as archive:
        _add(archive, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(archive, "index.json", _json({"schemaVersion": 2, "manifests": [named]}))
        for blob in (manifest, config, *layers):
            _add(archive, f"blobs/sha256/{_digest(blob).partition(':')[2]}", blob)


def _layer(source: random.Random, layer: int, files: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for number in range(files):
            half = source.randbytes(_FILE_BYTES // 2)
            _add(archive, f"layer-{layer}/{number % 16}/file-{number}", half + bytes(len(half)))
    return stream.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def _json(document: dict[str, object]) -> bytes:
    return json.dumps(document).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}
