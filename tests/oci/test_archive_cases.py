"""Archives that were misread or refused (`tests/data/cases/archives`), as containerd has them."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import pytest

from oci.test_layer_cases import unpack
from orlop import oci
from orlop.errors import InvalidArgumentError

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.database import Database
    from orlop.namespace import Namespace


@pytest.fixture
def archives(data: Path) -> Path:
    """Return the folder of the cases."""
    return data / "cases" / "archives"


@pytest.mark.parametrize("name", ["j-latin", "j-surrogate", "d-lower"])
def test_json_is_read_as_containerd_reads_it(
    namespace: Namespace, archives: Path, name: str
) -> None:
    root = unpack(namespace, archives / f"{name}.tar")
    assert (root / "a" / "b").stat().st_size == 5


def test_half_a_pair_is_stored_as_the_replacement_character(
    namespace: Namespace, archives: Path
) -> None:
    unpack(namespace, archives / "j-surrogate.tar")
    (image,) = namespace.images.list()
    assert image.target.annotations["x"] == "\ufffd"


def test_a_sparse_entry_of_the_outer_archive_is_a_file(
    namespace: Namespace, archives: Path
) -> None:
    root = unpack(namespace, archives / "outer-bsdtar.tar")
    assert (root / "z").stat().st_size == 1_048_578


@pytest.mark.parametrize("platform", ["linux/amd64", None])
def test_an_index_that_lists_386_is_imported_without_it(
    namespace: Namespace, archives: Path, tmp_path: Path, platform: str | None
) -> None:
    wanted = oci.parse_platform(platform) if platform else None
    (image,) = oci.import_image(
        namespace, archives / "o-386missing.tar", platform=wanted, unpack="native"
    )
    oci.export_image(namespace, [image.name], tmp_path / "out.tar", platform=wanted)
    with tarfile.open(tmp_path / "out.tar") as exported:
        assert len([name for name in exported.getnames() if name.startswith("blobs/sha256/")]) == 4


@pytest.mark.parametrize("name", ["o-referrer", "o-cosign"])
@pytest.mark.parametrize("snapshotter", ["native", "overlayfs"])
def test_what_is_no_image_is_imported_and_not_unpacked(
    namespace: Namespace, archives: Path, name: str, snapshotter: str
) -> None:
    image, other = oci.import_image(namespace, archives / f"{name}.tar", unpack=snapshotter)
    assert [info.name for info in namespace.snapshots(snapshotter).walk()] == [LAYER]
    assert oci.is_runnable(namespace, image)
    assert not oci.is_runnable(namespace, other)
    with pytest.raises(InvalidArgumentError, match="no image that could run"):
        oci.unpack(namespace, other, snapshotter)


LAYER = "sha256:6a99e3db8a67687b88a675d3827c3fc5a6077d627d36328eec8a26d00b497e97"


def test_blobs_by_sha512_come_in_and_out_under_their_names(
    database: Database, namespace: Namespace, archives: Path, tmp_path: Path
) -> None:
    archive = archives / "o-sha512.tar"
    (image,) = oci.import_image(namespace, archive, unpack="native")
    database.gc.run()
    with tarfile.open(archive) as source:
        blobs = {name for name in source.getnames() if name.startswith("blobs/")}
        data = {name: source.extractfile(name).read() for name in blobs}  # type: ignore[union-attr]
    assert {f"blobs/{one.digest.replace(':', '/')}" for one in namespace.content.walk()} == blobs
    assert [info.name for info in namespace.snapshots("native").walk()] == [LAYER]
    oci.export_image(namespace, [image.name], tmp_path / "out.tar")
    with tarfile.open(tmp_path / "out.tar") as exported:
        for name in blobs:
            assert exported.extractfile(name).read() == data[name]  # type: ignore[union-attr]


def test_an_image_is_unpacked_by_several_snapshotters(namespace: Namespace, archives: Path) -> None:
    oci.import_image(namespace, archives / "j-latin.tar", unpack=["native", "overlayfs", "native"])
    for snapshotter in ("native", "overlayfs"):
        assert [info.name for info in namespace.snapshots(snapshotter).walk()] == [LAYER]
