"""Images from layouts and archives: names, labels, platforms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from oci.builder import OCI_INDEX, Built, digest_of, docker_archive, entry, layer, pack
from oci.stored import FIRST, NAME, SECOND, build, everything, files_on_disk
from orlop import oci
from orlop.errors import InvalidArgumentError, NotFoundError
from orlop.records import SnapshotKind

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.database import Database
    from orlop.namespace import Namespace


@pytest.mark.parametrize("form", ["layout", "archive"])
@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("snapshotter", ["native", "overlayfs"])
def test_an_image_comes_in_whole(
    tmp_path: Path, namespace: Namespace, form: str, snapshotter: str, *, compress: bool
) -> None:
    built = build(compress=compress)
    path = getattr(built, form)(tmp_path / form)
    (image,) = oci.import_image(namespace, path, unpack=snapshotter)
    manifest = json.loads(built.blobs[image.target.digest])
    config, layers = manifest["config"]["digest"], [each["digest"] for each in manifest["layers"]]
    chain = digest_of(f"{digest_of(FIRST)} {digest_of(SECOND)}".encode())
    assert image.name == NAME
    assert everything(namespace) == {
        "images": {NAME: namespace.images.get(NAME)},
        "content": {
            image.target.digest: {
                "containerd.io/gc.ref.content.config": config,
                "containerd.io/gc.ref.content.l.0": layers[0],
                "containerd.io/gc.ref.content.l.1": layers[1],
            },
            config: {f"containerd.io/gc.ref.snapshot.{snapshotter}": chain},
            layers[0]: {"containerd.io/uncompressed": digest_of(FIRST)},
            layers[1]: {"containerd.io/uncompressed": digest_of(SECOND)},
        },
        "snapshots": sorted(
            [
                (digest_of(FIRST), "", SnapshotKind.COMMITTED),
                (chain, digest_of(FIRST), SnapshotKind.COMMITTED),
            ]
        ),
        "leases": [],
        "ingests": [],
    }
    with namespace.content.open(layers[0]) as blob:
        assert blob.read() == built.blobs[layers[0]]


def test_zstd_layers(tmp_path: Path, namespace: Namespace) -> None:
    zstd = pytest.importorskip("backports.zstd")
    built = Built()
    descriptor = built.image([FIRST], compress=False)
    manifest = json.loads(built.blobs[str(descriptor["digest"])])
    media_type = "application/vnd.oci.image.layer.v1.tar+zstd"
    manifest["layers"] = [built.blob(zstd.compress(FIRST), media_type)]
    again = built.blob(json.dumps(manifest).encode(), str(descriptor["mediaType"]))
    built.entries = [{**again, "annotations": descriptor["annotations"]}]
    (image,) = oci.import_image(namespace, built.archive(tmp_path / "a"), unpack="native")
    assert oci.unpack(namespace, image, "native") == digest_of(FIRST)


def test_to_import_again_changes_nothing(
    tmp_path: Path, database: Database, namespace: Namespace
) -> None:
    archive = build().archive(tmp_path / "a")
    first = oci.import_image(namespace, archive, unpack="native")
    before = everything(namespace), files_on_disk(database)
    assert oci.import_image(namespace, archive, unpack="native") == first
    assert (everything(namespace), files_on_disk(database)) == before
    database.gc.run()
    assert (everything(namespace), files_on_disk(database)) == before


def test_labels_of_an_image_stay(tmp_path: Path, namespace: Namespace) -> None:
    (image,) = oci.import_image(namespace, build().archive(tmp_path / "a"))
    namespace.images.update(image, labels={"team": "a"})
    other = Built()
    other.image([SECOND])
    (image,) = oci.import_image(namespace, other.archive(tmp_path / "b"))
    assert image.labels == {"team": "a"}
    assert image.target.digest == other.entries[0]["digest"]


@pytest.mark.parametrize(
    ("stated", "name", "found"),
    [
        ("example.com/x:1", None, "example.com/x:1"),
        ("v1", None, "import-DATE:v1"),
        ("v1", "example.com/base", "example.com/base:v1"),
        ("example.com/base:v1", "example.com/base", "example.com/base:v1"),
        ("example.com/base/more:v1", "example.com/base", "example.com/base/more:v1"),
        ("example.com/x:1", "example.com/mine:2", "example.com/mine:2"),
        (None, "example.com/base", "example.com/base@DIGEST"),
        (None, None, "import-DATE@DIGEST"),
        ("example.com/other:v1", "example.com/base", None),
        ("example.com/basement:v1", "example.com/base", None),
    ],
)
def test_names(
    tmp_path: Path, namespace: Namespace, stated: str | None, name: str | None, found: str | None
) -> None:
    built = build(name=stated)
    archive = built.archive(tmp_path / "a")
    if found is None:
        with pytest.raises(NotFoundError, match=r"below 'example\.com/base'"):
            oci.import_image(namespace, archive, name=name)
        return
    (image,) = oci.import_image(namespace, archive, name=name)
    date = namespace.environment.clock.now().format_iso()[:10]
    digest = str(built.entries[0]["digest"])
    assert image.name == found.replace("DATE", date).replace("DIGEST", digest)


def test_several_images(tmp_path: Path, namespace: Namespace) -> None:
    built = build(name="example.com/a:1")
    built.image([FIRST], name="example.com/b:1")
    archive = built.archive(tmp_path / "a")
    with pytest.raises(InvalidArgumentError, match="for several images"):
        oci.import_image(namespace, archive, name="example.com/one:1")
    images = oci.import_image(namespace, archive, by_digest=True, name="example.com/a")
    digest = built.entries[0]["digest"]
    assert [image.name for image in images] == [
        "example.com/a:1",
        f"example.com/a@{digest}",
        f"example.com/a@{built.entries[1]['digest']}",
    ]


def test_the_index_itself_as_an_image(
    tmp_path: Path, database: Database, namespace: Namespace
) -> None:
    built = build()
    images = oci.import_image(namespace, built.archive(tmp_path / "a"), index_name="index:1")
    index = images[-1]
    assert index.target.media_type == OCI_INDEX
    assert namespace.content.info(index.target.digest).labels == {
        "containerd.io/gc.ref.content.m.0": built.entries[0]["digest"]
    }
    namespace.images.delete(images[0].name)
    database.gc.run()
    assert oci.unpack(namespace, index, "native")


def multi_platform() -> Built:
    built = Built()
    for architecture in ("amd64", "arm64"):
        platform: dict[str, object] = {"os": "linux", "architecture": architecture}
        data = layer(entry(architecture))
        built.image([data, FIRST], name=None, platform=platform, architecture=architecture)
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": built.entries}
    named = {"org.opencontainers.image.ref.name": NAME}
    built.entries = [built.blob(json.dumps(index).encode(), OCI_INDEX, annotations=named)]
    return built


def test_one_platform_of_several_and_then_the_other(
    tmp_path: Path, database: Database, namespace: Namespace
) -> None:
    archive = multi_platform().archive(tmp_path / "a")
    amd64, arm64 = map(oci.parse_platform, ("linux/amd64", "linux/arm64"))
    (image,) = oci.import_image(namespace, archive, platform=amd64, unpack="native")
    with pytest.raises(NotFoundError, match="content sha256"):
        oci.unpack(namespace, image, "native", platform=arm64)
    assert len(list(namespace.content.walk())) == 5
    oci.import_image(namespace, archive, platform=arm64, unpack="native")
    database.gc.run()
    assert len(list(namespace.content.walk())) == 8, "what was there first is still held"
    tops = {oci.unpack(namespace, image, "native", platform=each) for each in (amd64, arm64)}
    assert len(tops) == 2
    with pytest.raises(NotFoundError, match="import all platforms"):
        oci.import_image(namespace, archive, platform=oci.parse_platform("linux/s390x"))


def test_all_platforms(tmp_path: Path, database: Database, namespace: Namespace) -> None:
    archive = multi_platform().archive(tmp_path / "a")
    (image,) = oci.import_image(namespace, archive, all_platforms=True)
    database.gc.run()
    assert len(list(namespace.content.walk())) == 8
    labels = namespace.content.info(image.target.digest).labels
    assert sorted(labels) == [
        "containerd.io/gc.ref.content.m.0",
        "containerd.io/gc.ref.content.m.1",
    ]


def test_an_archive_of_docker_save(tmp_path: Path, namespace: Namespace) -> None:
    path = docker_archive(tmp_path / "a", [FIRST, SECOND, FIRST], ["built:v1", "example.com/x:2"])
    images = oci.import_image(namespace, path, unpack="native")
    assert [image.name for image in images] == ["docker.io/library/built:v1", "example.com/x:2"]
    assert images[0].target.annotations == {
        "io.containerd.image.name": "docker.io/library/built:v1",
        "org.opencontainers.image.ref.name": "v1",
    }
    stored = {info.digest for info in namespace.content.walk()}
    assert digest_of(FIRST) in stored, "layers stay as they are given"
    assert len(stored) == 4, "and nothing else is stored"


def test_docker_layers_that_are_there_compressed_are_used(
    tmp_path: Path, database: Database, namespace: Namespace
) -> None:
    oci.import_image(namespace, build().archive(tmp_path / "a"), unpack="native")
    path = docker_archive(tmp_path / "b", [FIRST, SECOND])
    (image,) = oci.import_image(namespace, path, unpack="native")
    labels = namespace.content.info(image.target.digest).labels
    assert labels["containerd.io/gc.ref.content.l.0"] == digest_of(pack(FIRST))
    database.gc.run()
    assert oci.unpack(namespace, image, "overlayfs")
