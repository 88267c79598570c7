"""The harness itself: behaviour of the daemon alone that the other tests rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from real.daemon import Daemon
    from real.images import RealImage

pytestmark = [
    pytest.mark.real("containerd", "ctr", "runc", "umoci", "skopeo", "busybox"),
    pytest.mark.root,
]


@pytest.mark.parametrize("snapshotter", ["native", "overlayfs"])
def test_the_daemon_runs_the_image(daemon: Daemon, image: RealImage, snapshotter: str) -> None:
    daemon.start()

    daemon.ctr("images", "import", "--snapshotter", snapshotter, image.oci_archive)
    said = daemon.ctr("run", "--rm", "--snapshotter", snapshotter, image.name, "one")

    assert said == "second\n"
    assert len(daemon.rows("snapshots", "--snapshotter", snapshotter, "ls")) == 3
    assert daemon.complaints() == []


def test_the_daemon_is_stopped_and_started_again(daemon: Daemon, image: RealImage) -> None:
    with daemon:
        daemon.ctr("images", "import", image.docker_archive)
        before = daemon.rows("images", "ls")

    with daemon:
        assert daemon.rows("images", "ls") == before
        assert daemon.ctr("images", "check", "--quiet").split() == [image.name]


def test_the_daemon_collects(daemon: Daemon, image: RealImage) -> None:
    daemon.start()
    daemon.ctr("images", "import", image.oci_archive)
    assert daemon.blobs()
    daemon.ctr("content", "ingest", "a-ref", stdin=b"held by nothing")

    daemon.ctr("images", "rm", image.name)
    daemon.collect()

    assert daemon.blobs() == set()
    assert daemon.snapshot_folders("overlayfs") == set()
