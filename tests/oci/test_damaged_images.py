"""Importing an image again restores its missing data, and never reports that as present."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from oci.builder import docker_archive
from oci.stored import FIRST, NAME, SECOND, Meddler, build, everything
from orlop import oci
from orlop.database import open_database
from orlop.errors import DataLossError, FailedPreconditionError, NotFoundError
from orlop.records import SnapshotKind
from stores import damaging
from stores.damaging import blob_file, files_of, snapshot_directory

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.database import Database
    from orlop.namespace import Namespace

DAMAGES = {
    "deleted": damaging.delete,
    "cut": damaging.cut,
    "lengthened": damaging.lengthen,
    "directory": damaging.replace_by_directory,
    "pipe": damaging.replace_by_pipe,
}


def assert_whole(namespace: Namespace) -> None:
    for info in namespace.content.walk():
        assert namespace.content.fault(info.digest, verify=True) == "", info.digest


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("number", range(4))
def test_an_import_puts_back_each_blob(
    tmp_path: Path, database: Database, namespace: Namespace, damage: str, number: int
) -> None:
    archive = build().archive(tmp_path / "a")
    oci.import_image(namespace, archive)
    before = everything(namespace)
    digest = [info.digest for info in namespace.content.walk()][number]
    DAMAGES[damage](blob_file(database, digest))
    progress = Meddler(lambda: None)

    oci.import_image(namespace, archive, progress=progress)

    assert_whole(namespace)
    assert everything(namespace) == before
    assert [step[0] for step in progress.steps].count("finished") == 1, "it says what it did"
    oci.export_image(namespace, [NAME], tmp_path / "b")


@pytest.mark.parametrize("damage", DAMAGES)
def test_it_is_put_back_for_every_namespace_that_names_it(
    tmp_path: Path, database: Database, namespace: Namespace, damage: str
) -> None:
    archive = build().archive(tmp_path / "a")
    other = database.namespace("other")
    oci.import_image(namespace, archive)
    for info in namespace.content.walk():
        DAMAGES[damage](blob_file(database, info.digest))

    oci.import_image(other, archive)

    assert_whole(other)
    assert_whole(namespace)


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_no_namespace_names_any_more_is_no_reason_to_drop_the_data(
    tmp_path: Path, database: Database, namespace: Namespace, damage: str
) -> None:
    archive = build().archive(tmp_path / "a")
    oci.import_image(namespace, archive)
    digests = [info.digest for info in namespace.content.walk()]
    namespace.images.delete(NAME)
    for digest in digests:
        namespace.content.delete(digest)
        DAMAGES[damage](blob_file(database, digest))

    oci.import_image(namespace, archive, unpack="native")

    assert_whole(namespace)


def test_bytes_that_differ_are_replaced_when_asked_for(
    tmp_path: Path, database: Database, namespace: Namespace
) -> None:
    archive = build().archive(tmp_path / "a")
    oci.import_image(namespace, archive)
    for info in namespace.content.walk():
        damaging.flip(blob_file(database, info.digest))

    with pytest.raises(Exception, match="digest"):
        oci.unpack(namespace, namespace.images.get(NAME), "native")
    oci.import_image(namespace, archive, verify=True, unpack="native")

    assert_whole(namespace)


@pytest.mark.parametrize("damage", [*DAMAGES, "flipped"])
def test_an_archive_of_docker_save_does_not_stand_on_a_damaged_layer(
    tmp_path: Path, database: Database, namespace: Namespace, damage: str
) -> None:
    oci.import_image(namespace, build().archive(tmp_path / "a"), unpack="native")
    archive = docker_archive(tmp_path / "docker", [FIRST, SECOND])
    for info in namespace.content.walk('labels."containerd.io/uncompressed"'):
        (DAMAGES | {"flipped": damaging.flip})[damage](blob_file(database, info.digest))

    (image,) = oci.import_image(namespace, archive, verify=damage == "flipped")

    oci.export_image(namespace, [image.name], tmp_path / "b")
    oci.import_image(database.namespace("other"), tmp_path / "b", unpack="native")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_layer_that_only_the_damaged_store_has_is_named(
    tmp_path: Path, database: Database, namespace: Namespace, damage: str
) -> None:
    built = build()
    oci.import_image(namespace, built.archive(tmp_path / "a"))
    layer = max(built.blobs, key=lambda digest: built.blobs[digest][:2] == b"\x1f\x8b")
    DAMAGES[damage](blob_file(database, layer))
    layout = built.layout(tmp_path / "layout")
    (layout / "blobs" / layer.replace(":", "/")).unlink()

    with pytest.raises(DataLossError, match="import an archive that holds it") as caught:
        oci.import_image(namespace, layout)

    assert layer in str(caught.value)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("number", range(4))
def test_an_export_names_what_is_damaged_and_leaves_no_archive(
    tmp_path: Path, database: Database, namespace: Namespace, damage: str, number: int
) -> None:
    oci.import_image(namespace, build().archive(tmp_path / "a"))
    digest = [info.digest for info in namespace.content.walk()][number]
    DAMAGES[damage](blob_file(database, digest))

    with pytest.raises((DataLossError, NotFoundError), match=digest):
        oci.export_image(namespace, [NAME], tmp_path / "b")

    assert not (tmp_path / "b").exists()


def test_all_blobs_of_a_root_can_be_put_back(
    tmp_path: Path, database: Database, namespace: Namespace
) -> None:
    archive = build().archive(tmp_path / "a")
    oci.import_image(namespace, archive, unpack="native")
    before = everything(namespace)
    assert database.root is not None
    for blob in (database.root / damaging.CONTENT / "blobs").glob("*/*"):
        blob.unlink()

    oci.import_image(namespace, archive, unpack="native")

    assert everything(namespace) == before
    assert_whole(namespace)


def tree(directory: Path) -> dict[str, tuple[int, bytes | None]]:
    """Return the tree below a directory: modes, and the data of files."""
    return {
        str(path.relative_to(directory)): (
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else None,
        )
        for path in sorted(directory.rglob("*"))
    }


@pytest.mark.parametrize("again", ["import", "unpack"])
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("snapshotter", ["native", "overlayfs"])
def test_a_lost_directory_of_a_layer_is_unpacked_again_into_its_place(
    tmp_path: Path,
    database: Database,
    namespace: Namespace,
    snapshotter: str,
    number: int,
    again: str,
) -> None:
    archive = build().archive(tmp_path / "a")
    (image,) = oci.import_image(namespace, archive, unpack=snapshotter)
    store = namespace.snapshots(snapshotter)
    layers = sorted((info.parent, info.name) for info in store.walk())
    mounts = store.prepare("container", layers[-1][1])
    before, kept = everything(namespace), tree(files_of(database, store, layers[number][1]))
    shutil.rmtree(snapshot_directory(database, store, layers[number][1]))

    if again == "import":
        oci.import_image(namespace, archive, unpack=snapshotter)
    else:
        oci.unpack(namespace, image, snapshotter)

    assert tree(files_of(database, store, layers[number][1])) == kept
    assert everything(namespace) == before
    assert store.mounts("container") == mounts
    assert [store.fault(info.name) for info in store.walk()] == [""] * 3


@pytest.mark.parametrize("snapshotter", ["native", "overlayfs"])
def test_a_snapshotter_whose_directory_was_deleted_is_unpacked_again(
    tmp_path: Path, snapshotter: str
) -> None:
    archive = build().archive(tmp_path / "a")
    with open_database(tmp_path / "root") as opened:
        oci.import_image(opened.namespace("default"), archive, unpack=snapshotter)
        before = everything(opened.namespace("default"))
    shutil.rmtree(tmp_path / "root" / f"io.containerd.snapshotter.v1.{snapshotter}")

    with open_database(tmp_path / "root", begin_anew=True) as opened:
        oci.import_image(opened.namespace("default"), archive, unpack=snapshotter)

        assert everything(opened.namespace("default")) == before
        store = opened.namespace("default").snapshots(snapshotter)
        assert [store.fault(info.name) for info in store.walk()] == ["", ""]


def test_what_cannot_be_unpacked_again_is_not_said_to_be_unpacked(
    tmp_path: Path, database: Database, namespace: Namespace
) -> None:
    (image,) = oci.import_image(namespace, build().archive(tmp_path / "a"), unpack="native")
    store = namespace.snapshots("native")
    lost = next(info.name for info in store.walk() if not info.parent)
    directory = snapshot_directory(database, store, lost)
    shutil.rmtree(directory)
    directory.write_bytes(b"in the way")

    with pytest.raises(FailedPreconditionError, match="move it away"):
        oci.unpack(namespace, image, "native")

    assert store.fault(lost) != ""
    assert [info.kind for info in store.walk()] == [SnapshotKind.COMMITTED] * 2
