"""Images from layouts and archives: names, labels, leases, and what is left after a fault."""

from __future__ import annotations

import json
import threading
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from oci.builder import (
    OCI_INDEX,
    Built,
    digest_of,
    directory,
    docker_archive,
    entry,
    hardlink,
    layer,
    pack,
    symlink,
    write_archive,
)
from orlop import oci
from orlop.model.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    OrlopError,
)
from orlop.model.records import SnapshotKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop.database import Database
    from orlop.namespace import Namespace
    from orlop.oci import Work

NAME = "example.com/built:v1"
FIRST = layer(directory("d"), entry("d/one", data=b"1" * 3000), entry("two"))
SECOND = layer(entry("d/.wh.one"), entry("three"), hardlink("four", "three"))


def build(**options: object) -> Built:
    built = Built()
    built.image([FIRST, SECOND], **options)  # type: ignore[arg-type]
    return built


def everything(namespace: Namespace) -> dict[str, object]:
    """Return all that is in a namespace, but for times of change."""
    return {
        "images": {image.name: image for image in namespace.images.list()},
        "content": {info.digest: dict(info.labels) for info in namespace.content.walk()},
        "snapshots": [
            (info.name, info.parent, info.kind)
            for name in ("native", "overlayfs")
            for info in namespace.snapshots(name).walk()
        ],
        "leases": namespace.leases.list(),
        "ingests": namespace.content.statuses(),
    }


def files_on_disk(database: Database) -> list[str]:
    """Return the names of blobs, ingests and snapshots on disk."""
    assert database.root is not None
    patterns = ("*content*/blobs/*/*", "*content*/ingest/*", "*snapshotter*/snapshots/*")
    return sorted(str(path) for pattern in patterns for path in database.root.glob(pattern))


def assert_nothing_is_left(database: Database, namespace: Namespace) -> None:
    database.gc.run()
    found = everything(namespace)
    assert not any(found.values()), found
    assert files_on_disk(database) == []


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
    date = namespace.database.clock.now().format_iso()[:10]
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


class Meddler:
    """Progress that does something else at every step."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        self.meddle = meddle
        self.steps: list[tuple[str, str, int]] = []

    def started(self, work: Work) -> None:
        self.steps.append(("started", work.stage.value, work.total))
        self.meddle()

    def advanced(self, work: Work, done: int) -> None:
        assert 0 <= done <= work.total
        self.meddle()

    def finished(self, work: Work, *, reused: bool) -> None:
        self.steps.append(("reused" if reused else "finished", work.stage.value, work.total))
        self.meddle()


@pytest.mark.parametrize("save", [False, True])
def test_a_collection_between_any_two_steps_takes_nothing(
    tmp_path: Path, database: Database, namespace: Namespace, *, save: bool
) -> None:
    archive = tmp_path / "a"
    archive = docker_archive(archive, [FIRST, SECOND]) if save else build().archive(archive)
    meddler = Meddler(database.gc.run)
    (image,) = oci.import_image(namespace, archive, unpack="native", progress=meddler)
    database.gc.run()
    assert oci.unpack(namespace, image, "overlayfs", progress=meddler)
    database.gc.run()
    assert [step for step, stage, _ in meddler.steps if stage == "import"] == 4 * [
        "started",
        "finished",
    ]
    namespace.images.delete(image.name)
    assert_nothing_is_left(database, namespace)


def test_steps_that_were_done_before_are_told(tmp_path: Path, namespace: Namespace) -> None:
    archive = build().archive(tmp_path / "a")
    oci.import_image(namespace, archive, unpack="native")
    meddler = Meddler(lambda: None)
    oci.import_image(namespace, archive, unpack="native", progress=meddler)
    assert [step for step, *_ in meddler.steps] == 6 * ["started", "reused"]


def test_a_lease_that_is_in_force_holds_it_all(
    tmp_path: Path, database: Database, namespace: Namespace
) -> None:
    archive = build().archive(tmp_path / "a")
    with namespace.lease() as lease:
        (image,) = oci.import_image(namespace, archive, unpack="native")
        kinds = [resource.type for resource in namespace.leases.resources(lease.id)]
        assert sorted(kinds) == 4 * ["content"] + 2 * ["snapshots/native"]
        namespace.images.delete(image.name)
        database.gc.run()
        assert len(list(namespace.content.walk())) == 4
        assert len(list(namespace.snapshots("native").walk())) == 2
    assert_nothing_is_left(database, namespace)


def test_two_at_once(tmp_path: Path, database: Database, namespace: Namespace) -> None:
    archive = build().archive(tmp_path / "a")
    failed: list[BaseException] = []

    def bring() -> None:
        try:
            oci.import_image(namespace, archive, unpack="native")
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failed.append(error)

    threads = [threading.Thread(target=bring) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    database.gc.run()
    assert len(list(namespace.content.walk())) == 4
    assert len(list(namespace.snapshots("native").walk())) == 2
    assert namespace.content.statuses() == []


def test_another_namespace_shares_the_blobs(tmp_path: Path, database: Database) -> None:
    archive = build().archive(tmp_path / "a")
    for name in ("one", "two"):
        oci.import_image(database.namespace(name), archive, unpack="native")
    database.namespace("one").images.delete(NAME)
    database.gc.run()
    assert list(database.namespace("one").content.walk()) == []
    image = database.namespace("two").images.get(NAME)
    assert oci.unpack(database.namespace("two"), image, "overlayfs")


def test_memory_is_bounded(tmp_path: Path, namespace: Namespace) -> None:
    big = layer(*(entry(f"big{number}", data=bytes(30 << 20)) for number in range(3)))
    built = Built()
    built.image([big], compress=False)
    archive = built.archive(tmp_path / "a")
    built.blobs.clear()
    del big
    tracemalloc.start()
    try:
        oci.import_image(namespace, archive, unpack="native")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


Fault = tuple[type[OrlopError], str, "Callable[[Built], dict[str, bytes]]"]


def _blob(built: Built, number: int) -> str:
    """Return the file of a layer: 0 and 1 from the lowest up."""
    manifest = json.loads(built.blobs[str(built.entries[0]["digest"])])
    return f"blobs/{manifest['layers'][number]['digest'].replace(':', '/')}"


def _missing_layer(built: Built) -> dict[str, bytes]:
    files = built.files()
    del files[_blob(built, 1)]
    return files


def _damaged_layer(built: Built) -> dict[str, bytes]:
    files = built.files()
    damaged = bytearray(files[_blob(built, 1)])
    damaged[-9] ^= 1
    return {**files, _blob(built, 1): bytes(damaged)}


def _longer_layer(built: Built) -> dict[str, bytes]:
    files = built.files()
    return {**files, _blob(built, 1): files[_blob(built, 1)] + b"x"}


def _damaged_manifest(built: Built) -> dict[str, bytes]:
    files = built.files()
    name = f"blobs/{str(built.entries[0]['digest']).replace(':', '/')}"
    return {**files, name: files[name].replace(b"layers", b"LAYERS")}


def _missing_manifest(built: Built) -> dict[str, bytes]:
    files = built.files()
    del files[f"blobs/{str(built.entries[0]['digest']).replace(':', '/')}"]
    return files


def _empty_index(built: Built) -> dict[str, bytes]:
    return {**built.files(), "index.json": b'{"manifests":[]}'}


def _no_index(built: Built) -> dict[str, bytes]:
    files = built.files()
    del files["index.json"]
    return files


def _index_of_text(built: Built) -> dict[str, bytes]:
    return {**built.files(), "index.json": b'{"manifests":"all"}'}


def _other_version(built: Built) -> dict[str, bytes]:
    return {**built.files(), "oci-layout": b'{"imageLayoutVersion":"2.0.0"}'}


def _wrong_diff_id(built: Built) -> dict[str, bytes]:
    other = Built()
    other.image([FIRST, layer(entry("other"))])
    manifest = json.loads(built.blobs[str(built.entries[0]["digest"])])
    replaced = json.loads(other.blobs[str(other.entries[0]["digest"])])
    manifest["config"] = replaced["config"]
    mixed = Built(blobs={**built.blobs, **other.blobs})
    descriptor = mixed.blob(json.dumps(manifest).encode(), str(built.entries[0]["mediaType"]))
    mixed.entries = [descriptor]
    return mixed.files()


def _of_layers(*layers: bytes) -> Callable[[Built], dict[str, bytes]]:
    def make(_: Built) -> dict[str, bytes]:
        built = Built()
        built.image(layers, compress=False)
        return built.files()

    return make


FAULTS: dict[str, Fault] = {
    "missing layer": (NotFoundError, "blob sha256", _missing_layer),
    "damaged layer": (FailedPreconditionError, "sha256", _damaged_layer),
    "longer layer": (FailedPreconditionError, "were announced", _longer_layer),
    "damaged manifest": (FailedPreconditionError, "has the digest", _damaged_manifest),
    "missing manifest": (NotFoundError, "blob sha256", _missing_manifest),
    "empty index": (NotFoundError, "an image in the archive", _empty_index),
    "no index": (InvalidArgumentError, "index.json", _no_index),
    "index of text": (InvalidArgumentError, "manifests is no list", _index_of_text),
    "other version": (InvalidArgumentError, "OCI layout '2.0.0'", _other_version),
    "wrong diff id": (FailedPreconditionError, "and the config says", _wrong_diff_id),
    "hostile layer": (
        InvalidArgumentError,
        "entry 'x': a hard link to /etc, which",
        _of_layers(FIRST, layer(hardlink("x", "/etc"))),
    ),
    "cut layer": (DataLossError, "cut off", _of_layers(FIRST, SECOND[:1600])),
    "layer of noise": (DataLossError, "octal", _of_layers(FIRST, b"noise" * 500)),
    "cut gzip": (DataLossError, "gzip", _of_layers(FIRST, pack(SECOND)[:-20])),
    "unknown type": (
        InvalidArgumentError,
        "unknown type",
        _of_layers(layer(entry("x", kind=b"V"))),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("snapshotter", ["native", "overlayfs"])
def test_a_fault_is_named_and_leaves_nothing(
    tmp_path: Path, database: Database, namespace: Namespace, fault: str, snapshotter: str
) -> None:
    kind, words, make = FAULTS[fault]
    archive = write_archive(tmp_path / "a", make(build()))
    with pytest.raises(kind, match=words) as caught:
        oci.import_image(namespace, archive, unpack=snapshotter)
    assert type(caught.value) is kind
    assert namespace.leases.list() == []
    assert namespace.content.statuses() == []
    assert all(
        info.kind is SnapshotKind.COMMITTED for info in namespace.snapshots(snapshotter).walk()
    )
    for image in namespace.images.list():
        # The image is there; it only could not be unpacked.
        namespace.images.delete(image.name)
    assert_nothing_is_left(database, namespace)


@pytest.mark.parametrize("save", [False, True])
def test_an_archive_cut_anywhere_is_an_error(
    tmp_path: Path, database: Database, namespace: Namespace, *, save: bool
) -> None:
    path = tmp_path / "a"
    whole = (docker_archive(path, [FIRST, SECOND]) if save else build().archive(path)).read_bytes()
    end = len(whole.rstrip(b"\0"))
    kinds = set()
    for length in [0, 100, *range(512, end - 512, 700)]:
        path.write_bytes(whole[:length])
        with pytest.raises(OrlopError) as caught:
            oci.import_image(namespace, path, unpack="native")
        kinds.add(type(caught.value))
    assert kinds <= {DataLossError, NotFoundError, InvalidArgumentError}
    assert DataLossError in kinds
    assert_nothing_is_left(database, namespace)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "too short"),
        (b"text" * 500, "not a tar archive"),
        (pack(FIRST), "compressed with gzip"),
        (FIRST, "neither an OCI archive"),
        (layer(entry("manifest.json", data=b"{}")), "list of images"),
        (layer(entry("manifest.json", data=b'[{"Layers":[]}]')), "without a config"),
    ],
)
def test_what_is_no_image_is_refused(
    tmp_path: Path, namespace: Namespace, data: bytes, words: str
) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(InvalidArgumentError, match=words):
        oci.import_image(namespace, tmp_path / "a")


def test_what_is_not_there(tmp_path: Path, namespace: Namespace) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        oci.import_image(namespace, tmp_path / "a")
    with pytest.raises(InvalidArgumentError, match="oci-layout is missing"):
        oci.import_image(namespace, tmp_path)
    saved = [{"Config": "c.json", "Layers": ["l.tar"]}]
    files = {"manifest.json": json.dumps(saved).encode()}
    with pytest.raises(NotFoundError, match=r"config 'c\.json'"):
        oci.import_image(namespace, write_archive(tmp_path / "b", files))
    files["c.json"] = b"{}"
    with pytest.raises(NotFoundError, match=r"layer 'l\.tar'"):
        oci.import_image(namespace, write_archive(tmp_path / "c", files))


def test_docker_links_in_a_circle(tmp_path: Path, namespace: Namespace) -> None:
    saved = [{"Config": "c.json", "Layers": ["a/l"]}]
    files = {"manifest.json": json.dumps(saved).encode(), "c.json": b"{}"}
    archive = write_archive(tmp_path / "a", files, {"a/l": "../b/l", "b/l": "../a/l"})
    with pytest.raises(NotFoundError, match="layer 'a/l'"):
        oci.import_image(namespace, archive)


@pytest.mark.parametrize("at", range(1, 20, 3))
def test_an_interrupt_leaves_nothing(
    tmp_path: Path, database: Database, namespace: Namespace, at: int
) -> None:
    steps = iter(range(1, 1000))

    def interrupt() -> None:
        if next(steps) == at:
            raise KeyboardInterrupt

    archive = build().archive(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        oci.import_image(namespace, archive, unpack="native", progress=Meddler(interrupt))
    assert namespace.leases.list() == []
    for image in namespace.images.list():
        namespace.images.delete(image.name)
    assert_nothing_is_left(database, namespace)


def test_a_hostile_image_writes_nowhere_else(
    tmp_path: Path, database: Database, namespace: Namespace
) -> None:
    hostile = layer(symlink("up", "../" * 20), entry("up/etc/hostile", data=b"x"), entry("../y"))
    built = Built()
    built.image([hostile])
    archive = built.archive(tmp_path / "a")
    oci.import_image(namespace, archive, unpack="native")
    assert database.root is not None
    found = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("hostile")}
    assert found == {"root"}
    assert not (database.root / "y").exists()
