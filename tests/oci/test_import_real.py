"""Import and export of an archive: byte for byte the same as containerd's."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from oci.builder import docker_archive, entry, layer, pack
from orlop import oci
from orlop.database import open_database
from real.daemon import Daemon
from real.images import make_image

EXAMPLE = Path(__file__).parents[2] / "examples" / "greeting.tar"


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return archives of several makes."""
    folder = tmp_path_factory.mktemp("archives")
    made = make_image(folder)
    first, second = layer(entry("one", data=b"1")), layer(entry("two"))
    return {
        "example": EXAMPLE,
        "skopeo-oci": made.oci_archive,
        "skopeo-docker": made.docker_archive,
        "docker-links": docker_archive(
            folder / "links", [first, second, first], ["a:1", "example.com/x/y:2"]
        ),
        "docker-gzip": docker_archive(folder / "gzip", [pack(first), second]),
    }


def labels_of(text: str) -> dict[str, str]:
    return dict(each.split("=", 1) for each in text.split(",")) if "=" in text else {}


@pytest.mark.real("containerd", "ctr", "umoci", "skopeo", "busybox")
@pytest.mark.root
@pytest.mark.parametrize(
    "make", ["example", "skopeo-oci", "skopeo-docker", "docker-links", "docker-gzip"]
)
def test_content_labels_names_and_exports_are_those_of_containerd(
    tmp_path: Path, archives: dict[str, Path], make: str
) -> None:
    archive = archives[make]
    unpacked = make != "docker-gzip"  # its config states digests of what is compressed
    options = ["--snapshotter", "native"] if unpacked else ["--no-unpack"]
    (tmp_path / "theirs").mkdir()
    with Daemon(tmp_path / "theirs") as daemon:
        daemon.ctr("images", "import", *options, archive)
        daemon.collect()
        images = {row[0]: row[2] for row in daemon.rows("images", "ls")}
        content = {row[0]: labels_of(row[-1]) for row in daemon.rows("content", "ls")}
        snapshots = daemon.names("snapshots", "--snapshotter", "native", "ls")
        daemon.ctr("images", "export", tmp_path / "theirs.tar", *sorted(images))
    with open_database(tmp_path / "ours") as database:
        namespace = database.namespace("default")
        ours = oci.import_image(namespace, archive, unpack="native" if unpacked else None)
        assert {image.name: image.target.digest for image in ours} == images
        assert {info.digest: dict(info.labels) for info in namespace.content.walk()} == content
        assert {info.name for info in namespace.snapshots("native").walk()} == snapshots
        oci.export_image(namespace, sorted(images), tmp_path / "ours.tar")
    assert (tmp_path / "ours.tar").read_bytes() == (tmp_path / "theirs.tar").read_bytes()


@pytest.mark.real("skopeo")
@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_skopeo_reads_what_orlop_writes(tmp_path: Path, form: str) -> None:
    exported = tmp_path / "out.tar"
    with open_database(tmp_path / "root") as database:
        namespace = database.namespace("default")
        (image,) = oci.import_image(namespace, EXAMPLE)
        oci.export_image(namespace, [image.name], exported)
    command = ["skopeo", "inspect", "--raw", f"{form}:{exported}"]
    said = subprocess.run(command, check=True, capture_output=True).stdout
    assert len(json.loads(said)["layers"]) == 3


@pytest.mark.real("umoci", "skopeo")
@pytest.mark.slow
def test_the_example_is_what_its_script_makes(tmp_path: Path) -> None:
    subprocess.run([EXAMPLE.parent / "make-image.sh", tmp_path], check=True, capture_output=True)
    with open_database(tmp_path / "root") as database:
        (made,) = oci.import_image(database.namespace("made"), tmp_path / "greeting.tar")
        (kept,) = oci.import_image(database.namespace("kept"), EXAMPLE)
        oci.unpack(database.namespace("made"), made, "native")
        oci.unpack(database.namespace("kept"), kept, "native")
        # How gzip compresses may differ from one version of Go to the next, the layers may not.
        diff_ids = [
            {info.name for info in database.namespace(name).snapshots("native").walk()}
            for name in ("made", "kept")
        ]
    assert diff_ids[0] == diff_ids[1]
