"""Layers and configs under media types that tools write beside the usual ones, as in containerd."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from oci.builder import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Built, digest_of, pack
from oci.stored import FIRST, NAME, SECOND
from orlop import oci
from orlop.errors import InvalidArgumentError
from orlop.oci import docker_archive, mediatypes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orlop.namespace import Namespace

DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar"
OCI_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar"
ROOTFS = {"type": "layers", "diff_ids": [digest_of(FIRST), digest_of(SECOND)]}
CONFIG: dict[str, object] = {"architecture": "amd64", "os": "linux", "rootfs": ROOTFS}
TOP = digest_of(f"{digest_of(FIRST)} {digest_of(SECOND)}".encode())


def build(
    path: Path,
    layers: Sequence[bytes] = (pack(FIRST), pack(SECOND)),
    *,
    layer_type: str = f"{OCI_LAYER}+gzip",
    config_type: str = OCI_CONFIG,
    config: bytes | None = None,
    below_index: bool = False,
) -> Path:
    """Write an archive of one image; `below_index` puts an index without platforms above it."""
    built = Built()
    data = json.dumps(CONFIG).encode() if config is None else config
    manifest = {
        "schemaVersion": 2,
        "config": built.blob(data, config_type),
        "layers": [built.blob(one, layer_type) for one in layers],
    }
    target = built.blob(json.dumps(manifest).encode(), OCI_MANIFEST)
    if below_index:
        index = {"schemaVersion": 2, "manifests": [target]}
        target = built.blob(json.dumps(index).encode(), mediatypes.OCI_INDEX)
    named = {"annotations": {"org.opencontainers.image.ref.name": NAME}}
    built.entries.append({**target, **named})
    return built.archive(path / "image.tar")


@pytest.mark.parametrize(
    "media_type",
    [
        *(f"{DOCKER_LAYER}{end}" for end in (".zstd", ".gzip", "+zstd", "+gzip", ".zstd+x")),
        *(f"{DOCKER_FOREIGN}{end}" for end in ("", ".gzip", "+zstd", "+gzip")),
        *(f"{OCI_FOREIGN}{end}" for end in ("", "+zstd", "+gzip")),
        f"{OCI_LAYER}+zstd",
    ],
)
def test_a_layer_is_unpacked_by_its_bytes_under_each_of_its_media_types(
    namespace: Namespace, tmp_path: Path, media_type: str
) -> None:
    zstd = pytest.importorskip("backports.zstd")
    path = build(tmp_path, [zstd.compress(FIRST), pack(SECOND)], layer_type=media_type)
    (image,) = oci.import_image(namespace, path, unpack="native")
    assert oci.unpack(namespace, image, "native") == TOP
    assert namespace.snapshots("native").stat(TOP).parent == digest_of(FIRST)
    held = namespace.content.info(image.target.digest).labels
    assert {f"containerd.io/gc.ref.content.l.{number}" for number in (0, 1)} <= set(held)


@pytest.mark.parametrize(
    "media_type", ["application/vnd.docker.image.rootfs.diff.tar.zst", "application/zstd", ""]
)
def test_other_media_types_are_no_layers(media_type: str) -> None:
    assert not mediatypes.is_layer(media_type)


def test_a_zstd_layer_of_docker_save_is_called_gzip_as_in_containerd() -> None:
    # The digest of the manifest depends on it.
    zstd = pytest.importorskip("backports.zstd")
    assert docker_archive.layer_type(zstd.compress(FIRST)) == f"{DOCKER_LAYER}.gzip"


UNUSUAL = [
    "application/json",
    "application/octet-stream",
    "application/vnd.oci.empty.v1+json",
    OCI_CONFIG.upper(),
    "",
]


@pytest.mark.parametrize("below_index", [False, True])
@pytest.mark.parametrize("config_type", UNUSUAL)
def test_a_config_that_states_each_layer_makes_an_image_whatever_its_media_type(
    namespace: Namespace, tmp_path: Path, config_type: str, *, below_index: bool
) -> None:
    path = build(tmp_path, config_type=config_type, below_index=below_index)
    wanted = oci.parse_platform("linux/amd64")
    (image,) = oci.import_image(namespace, path, unpack="native", platform=wanted)
    assert oci.is_runnable(namespace, image, platform=wanted)
    assert oci.unpack(namespace, image, "native", platform=wanted) == TOP


@pytest.mark.parametrize(
    "config",
    [
        b"{}",
        b"[]",
        b"no document",
        b"\xff" * 100,
        json.dumps({**CONFIG, "rootfs": {"diff_ids": [digest_of(FIRST)]}}).encode(),
        json.dumps({**CONFIG, "rootfs": {"diff_ids": [digest_of(FIRST), "x"]}}).encode(),
        json.dumps({**CONFIG, "rootfs": {"diff_ids": "x"}}).encode(),
    ],
)
def test_a_config_of_another_type_that_states_no_layers_is_no_image(
    namespace: Namespace, tmp_path: Path, config: bytes
) -> None:
    path = build(tmp_path, config_type="application/json", config=config)
    (image,) = oci.import_image(namespace, path, unpack="native")
    assert not oci.is_runnable(namespace, image)
    assert not list(namespace.snapshots("native").walk())
    with pytest.raises(InvalidArgumentError, match=r"application/json\): no image that could run"):
        oci.unpack(namespace, image, "native")


@pytest.mark.parametrize(
    ("config_type", "layer_type"),
    [
        (
            "application/vnd.cncf.helm.config.v1+json",
            "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        ),
        (OCI_CONFIG, "application/vnd.dev.cosign.simplesigning.v1+json"),
        ("application/vnd.wasm.config.v0+json", "application/wasm"),
        (OCI_CONFIG, "application/vnd.in-toto+json"),
        ("application/json", "application/octet-stream"),
    ],
)
def test_what_has_other_layers_is_no_image_even_where_its_config_states_them(
    namespace: Namespace, tmp_path: Path, config_type: str, layer_type: str
) -> None:
    path = build(tmp_path, config_type=config_type, layer_type=layer_type)
    (image,) = oci.import_image(namespace, path, unpack="native")
    assert not oci.is_runnable(namespace, image)
    assert not list(namespace.snapshots("native").walk())


def test_without_layers_only_the_media_type_makes_an_image(
    namespace: Namespace, tmp_path: Path
) -> None:
    config = json.dumps({**CONFIG, "rootfs": {"diff_ids": []}}).encode()
    path = build(tmp_path, [], config_type="application/json", config=config)
    (image,) = oci.import_image(namespace, path, unpack="native")
    assert not oci.is_runnable(namespace, image)
