"""Faulty images: the fault is named, and nothing is left of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from oci.builder import Built, docker_archive, entry, hardlink, layer, pack, symlink, write_archive
from oci.stored import FIRST, SECOND, Meddler, assert_nothing_is_left, build
from orlop import oci
from orlop.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    OrlopError,
)
from orlop.records import SnapshotKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop.database import Database
    from orlop.namespace import Namespace


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
    "damaged layer": (DataLossError, "sha256", _damaged_layer),
    "longer layer": (DataLossError, "were announced", _longer_layer),
    "damaged manifest": (DataLossError, "has the digest", _damaged_manifest),
    "missing manifest": (NotFoundError, "blob sha256", _missing_manifest),
    "empty index": (NotFoundError, "an image in the archive", _empty_index),
    "no index": (InvalidArgumentError, "index.json", _no_index),
    "index of text": (InvalidArgumentError, "manifests: a list is expected", _index_of_text),
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
        (layer(entry("manifest.json", data=b"{}")), "a list is expected"),
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


@pytest.mark.parametrize("form", ["same size", "longer", "empty"])
@pytest.mark.parametrize("good_first", [True, False])
@pytest.mark.parametrize("part", ["layer", "manifest"])
def test_of_several_blobs_of_one_name_a_sound_one_is_taken(
    tmp_path: Path, namespace: Namespace, form: str, part: str, *, good_first: bool
) -> None:
    built = build()
    name = _blob(built, 1)
    if part == "manifest":
        name = f"blobs/{str(built.entries[0]['digest']).replace(':', '/')}"
    good = built.files()[name]
    bad = {"same size": good[:-9] + b"x" + good[-8:], "longer": good + b"x", "empty": b""}[form]
    files = [(key, data) for key, data in built.files().items() if key != name]
    copies = [(name, good), (name, bad)] if good_first else [(name, bad), (f"./{name}", good)]
    data = layer(*(entry(key, data=data) for key, data in [*copies, *files]))
    (tmp_path / "a.tar").write_bytes(data)
    (image,) = oci.import_image(namespace, tmp_path / "a.tar", unpack="native")
    assert oci.is_runnable(namespace, image)
    assert namespace.content.info(image.target.digest).size == image.target.size


def test_where_each_of_several_blobs_of_one_name_is_damaged_the_fault_is_named(
    tmp_path: Path, database: Database, namespace: Namespace
) -> None:
    built = build()
    good = built.files()[_blob(built, 1)]
    copies = [entry(_blob(built, 1), data=good[:-9] + end + good[-8:]) for end in (b"x", b"y")]
    others = [entry(key, data=data) for key, data in built.files().items() if data != good]
    (tmp_path / "a.tar").write_bytes(layer(*others, *copies))
    with pytest.raises(DataLossError):
        oci.import_image(namespace, tmp_path / "a.tar")
    assert_nothing_is_left(database, namespace)
