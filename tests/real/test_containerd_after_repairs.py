"""Debian's containerd works on a root that an import of Orlop has repaired."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

import orlop
import orlop.oci
from real.images import LATEST_FILE_TIME
from real.trees import differences, tree
from stores import damaging

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from real.daemon import Daemon
    from real.images import RealImage

pytestmark = [
    pytest.mark.real("busybox", "containerd", "ctr", "runc", "skopeo", "umoci"),
    pytest.mark.root,
]

SNAPSHOTTERS = ["native", "overlayfs"]
DAMAGES = [damaging.delete, damaging.cut, damaging.lengthen, damaging.flip]


def unpack(root: Path, archive: Path, snapshotter: str, *, verify: bool = False) -> None:
    with orlop.open(root) as database:
        orlop.oci.import_image(
            database.namespace("default"), archive, unpack=snapshotter, verify=verify
        )
        assert not database.gc.run().failures


def blob_files(daemon: Daemon) -> list[Path]:
    folder = daemon.root / "io.containerd.content.v1.content" / "blobs" / "sha256"
    return sorted(folder.iterdir())


def directories(daemon: Daemon, snapshotter: str) -> list[Path]:
    folder = daemon.root / f"io.containerd.snapshotter.v1.{snapshotter}" / "snapshots"
    return sorted(folder.iterdir(), key=lambda one: int(one.name))


def assert_content(daemon: Daemon, image: RealImage, snapshotter: str) -> None:
    """Check that the daemon finds all blobs and layers, and runs a container of the image."""
    [checked] = daemon.rows("images", "check", "--snapshotter", snapshotter)
    assert checked[3] == "complete", checked
    assert checked[-1] == "true", "it is unpacked"
    for file in blob_files(daemon):
        got = daemon.try_ctr("content", "get", f"sha256:{file.name}")
        assert hashlib.sha256(got.stdout).hexdigest() == file.name
    said = daemon.ctr("run", "--rm", "--snapshotter", snapshotter, image.name, "ran")
    assert said == "second\n"
    daemon.collect()
    assert daemon.complaints() == []


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """Return a mount point, which is unmounted in any case."""
    point = tmp_path / "mounted"
    point.mkdir()
    yield point
    subprocess.run(["umount", point], capture_output=True, check=False)


@pytest.mark.parametrize("snapshotter", SNAPSHOTTERS)
def test_what_orlop_made_and_put_back(
    daemon: Daemon, image: RealImage, snapshotter: str, mounted: Path
) -> None:
    unpack(daemon.root, image.oci_archive, snapshotter)
    before = [tree(one) for one in directories(daemon, snapshotter)]
    for number, file in enumerate(blob_files(daemon)):
        DAMAGES[number % len(DAMAGES)](file)
    lost = directories(daemon, snapshotter)
    for one in lost:
        shutil.rmtree(one)

    unpack(daemon.root, image.oci_archive, snapshotter, verify=True)

    assert directories(daemon, snapshotter) == lost, "each is where it was"
    assert [
        line
        for path, kept in zip(lost, before, strict=True)
        for line in differences(tree(path), kept, unpacked_after=LATEST_FILE_TIME)
    ] == []
    with daemon:
        assert_content(daemon, image, snapshotter)
        daemon.ctr("images", "mount", "--snapshotter", snapshotter, image.name, mounted)
        assert (mounted / "etc/release").read_text(encoding="utf-8") == "second\n"
        daemon.ctr("images", "unmount", mounted)


@pytest.mark.parametrize("snapshotter", SNAPSHOTTERS)
def test_what_containerd_made_and_orlop_put_back(
    daemon: Daemon, image: RealImage, snapshotter: str
) -> None:
    with daemon:
        daemon.ctr("images", "import", "--snapshotter", snapshotter, image.oci_archive)
        daemon.ctr("containers", "create", "--snapshotter", snapshotter, image.name, "kept")
        daemon.collect()
    for number, file in enumerate(blob_files(daemon)):
        DAMAGES[number % len(DAMAGES)](file)
    layers = directories(daemon, snapshotter)[:-1]
    for one in layers:
        shutil.rmtree(one)
    with orlop.open(daemon.root, read_only=True) as database:
        faults = database.faults()
    assert len([one for one in faults if one.type == "snapshot"]) == len(layers)

    unpack(daemon.root, image.oci_archive, snapshotter, verify=True)

    with orlop.open(daemon.root, read_only=True) as database:
        assert database.faults() == {}
    with daemon:
        assert_content(daemon, image, snapshotter)
        daemon.ctr("snapshots", "--snapshotter", snapshotter, "mounts", "/mnt", "kept")
        assert "kept" in daemon.names("containers", "ls")
