"""Archives and documents in every form, read by Orlop and by the readers of containerd."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from campaigns.image_documents import ImageDocuments
from campaigns.produced_layers import PRODUCERS, Tree, is_plain, produce
from campaigns.seeds import seeds
from campaigns.tar_archives import TarArchives
from oci.builder import Built, digest_of, entry
from oci.builder import layer as oci_layer
from oci.document_reading import filled, read_document
from oci.tar_reading import comparable, read_archive
from oci.trees import describe
from orlop import oci
from orlop.database import open_database
from real.daemon import Daemon

if TYPE_CHECKING:
    from campaigns.tally import Tally
    from oracle.client import Oracle
    from orlop.namespace import Namespace

ARCHIVES = 4000
DOCUMENTS = 4000


@pytest.mark.real("bbolt", "go")
@pytest.mark.parametrize("seed", seeds(short=1, long=25))
def test_tar_archives_are_read_and_refused_as_go_does(
    bbolt: Oracle, tmp_path: Path, seed: int, tally: Tally
) -> None:
    drawn = TarArchives(seed)
    archives = [drawn.archive() for _ in range(ARCHIVES)]
    refused = entries = 0
    for number, (archive, found) in enumerate(
        zip(archives, bbolt.read_archives(tmp_path, archives), strict=True)
    ):
        expected, is_refused = comparable(found)
        read, error = read_archive(archive)
        assert (read, bool(error)) == (expected, is_refused), (number, error, found["error"])
        refused += is_refused
        entries += len(expected)
    assert entries > ARCHIVES // 2
    assert ARCHIVES // 5 < refused < ARCHIVES * 9 // 10
    tally.add("tar archives", ARCHIVES)
    tally.add("of them refused", refused)


@pytest.mark.real("bbolt", "go")
@pytest.mark.parametrize("seed", seeds(short=1, long=25))
def test_documents_are_read_and_refused_as_go_does(
    bbolt: Oracle, tmp_path: Path, seed: int, tally: Tally
) -> None:
    drawn = ImageDocuments(seed)
    documents = [drawn.document() for _ in range(DOCUMENTS)]
    items = [kind.encode() + b"\x00" + data for kind, data in documents]
    refused = 0
    for (kind, data), found in zip(documents, bbolt.read_documents(tmp_path, items), strict=True):
        read, error = read_document(kind, data)
        is_refused = "error" in found
        expected = filled(found.get("document"))
        assert (read or None, bool(error)) == (expected or None, is_refused), (kind, data, error)
        refused += is_refused
    assert DOCUMENTS // 5 < refused < DOCUMENTS // 2
    tally.add("documents", DOCUMENTS)
    tally.add("of them refused", refused)


@pytest.mark.real("containerd", "ctr", "bsdtar")
@pytest.mark.root
@pytest.mark.parametrize("seed", seeds(short=1, long=110))
def test_layers_of_every_producer_are_unpacked_as_containerd_does(
    tmp_path: Path, seed: int, tally: Tally
) -> None:
    built = Built()
    diff_ids = []
    for number, producer in enumerate(PRODUCERS):
        folder = tmp_path / f"tree{number}"
        folder.mkdir()
        Tree(seed * len(PRODUCERS) + number, folder, plain=is_plain(producer)).make()
        layer = produce(producer, folder)
        built.image([layer], name=f"example.com/layer:{number}", compress=False)
        diff_ids.append(digest_of(layer))
    archive = built.archive(tmp_path / "archive.tar")

    (tmp_path / "theirs").mkdir()
    with Daemon(tmp_path / "theirs") as daemon, open_database(tmp_path / "ours") as database:
        daemon.ctr("images", "import", "--snapshotter", "native", archive)
        namespace = database.namespace("default")
        oci.import_image(namespace, archive, unpack="native")
        for number, diff_id in enumerate(diff_ids):
            ours = describe(_own_directory(namespace, diff_id))
            theirs = describe(_their_directory(daemon, diff_id))
            assert ours == theirs, PRODUCERS[number]
            tally.add("files of produced layers", len(theirs))
    tally.add("produced layers", len(PRODUCERS))


@pytest.mark.real("containerd", "ctr", "bsdtar")
@pytest.mark.root
@pytest.mark.parametrize("seed", seeds(short=1, long=3))
def test_archives_of_every_producer_are_imported_as_containerd_does(
    tmp_path: Path, seed: int, tally: Tally
) -> None:
    # Holes within the layer: some of the producers write the blob as a sparse file.
    holes = bytes(1 << 20).join([b"x" * 5000, b"y" * seed, b"z"])
    built = Built()
    built.image([oci_layer(entry("holes", data=holes))], compress=False)
    layout = built.layout(tmp_path / "layout")
    for blob in layout.glob("blobs/*/*"):
        subprocess.run(["fallocate", "--dig-holes", blob], check=False, capture_output=True)
    (tmp_path / "theirs").mkdir()
    with Daemon(tmp_path / "theirs") as daemon, open_database(tmp_path / "ours") as database:
        for number, producer in enumerate(PRODUCERS):
            archive = tmp_path / f"{number}.tar"
            archive.write_bytes(produce(producer, layout))
            name = f"n{number}"
            daemon.ctr("images", "import", "--snapshotter", "native", archive, namespace=name)
            theirs = {row[0]: row[2] for row in daemon.rows("images", "ls", namespace=name)}
            ours = oci.import_image(database.namespace(name), archive, unpack="native")
            # The name is made of the day, which is the same but at midnight.
            assert [one.target.digest for one in ours] == list(theirs.values()), producer
    tally.add("produced archives", len(PRODUCERS))


def _own_directory(namespace: Namespace, diff_id: str) -> Path:
    (mount,) = namespace.snapshots("native").view(f"look {diff_id}", diff_id)
    return Path(mount.source)


def _their_directory(daemon: Daemon, diff_id: str) -> Path:
    command = ("snapshots", "--snapshotter", "native", "view", "--mounts", f"look-{diff_id}")
    (mount,) = json.loads(daemon.ctr(*command, diff_id))
    return Path(mount["Source"])
