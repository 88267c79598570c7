"""Debian's containerd on a root that Orlop filled: it finds the records it would write itself."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

import orlop
import orlop.oci
from orlop import Container, ProtoAny, Runtime
from real.daemon import Daemon
from real.images import LATEST_FILE_TIME
from real.trees import differences, tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from real.images import RealImage
    from real.trees import Entry

pytestmark = [
    pytest.mark.real("busybox", "containerd", "ctr", "runc", "skopeo", "umoci"),
    pytest.mark.root,
]

SNAPSHOTTERS = ["native", "overlayfs"]
SPEC_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Spec"


def fill(root: Path, archive: Path, snapshotter: str) -> None:
    """Import and unpack an archive with Orlop."""
    with orlop.open(root) as database:
        orlop.oci.import_image(database.namespace("default"), archive, unpack=snapshotter)


def content_of(daemon: Daemon) -> set[tuple[str, str, frozenset[str]]]:
    """Return the blobs with their sizes and labels, sorted, since `ctr` has no fixed order."""
    return {(row[0], row[1], frozenset(row[-1].split(","))) for row in daemon.rows("content", "ls")}


def layers_of(daemon: Daemon, snapshotter: str) -> dict[str, dict[str, Entry]]:
    """Return the tree of each snapshot on disk."""
    folder = daemon.root / f"io.containerd.snapshotter.v1.{snapshotter}" / "snapshots"
    return {name: tree(folder / name) for name in daemon.snapshot_folders(snapshotter)}


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """Return a mount point, which is unmounted in any case."""
    point = tmp_path / "mounted"
    point.mkdir()
    yield point
    subprocess.run(["umount", point], capture_output=True, check=False)


@pytest.mark.parametrize("snapshotter", SNAPSHOTTERS)
@pytest.mark.parametrize("form", ["oci_archive", "docker_archive", "layout"])
def test_it_finds_what_it_would_have_made_itself(
    tmp_path: Path, image: RealImage, form: str, snapshotter: str
) -> None:
    ours, theirs = Daemon(tmp_path / "orlop"), Daemon(tmp_path / "containerd")
    source: Path = getattr(image, form)
    archive, name = source, []
    if form == "layout":
        archive, name = tmp_path / "layout.tar", ["--base-name", "example.com/layout"]
        subprocess.run(["tar", "-C", source, "-cf", archive, "."], check=True)

    with orlop.open(ours.root) as database:
        ns = database.namespace("default")
        orlop.oci.import_image(
            ns, source, name="example.com/layout" if name else None, unpack=snapshotter
        )
    with theirs:
        theirs.ctr("images", "import", "--snapshotter", snapshotter, *name, archive)
        # What an import leaves behind (the archive's own index) goes with the first collection.
        theirs.collect()
        expected_images = theirs.rows("images", "ls")
        expected_content = content_of(theirs)
        expected_snapshots = theirs.rows("snapshots", "--snapshotter", snapshotter, "ls")
    with ours:
        assert ours.rows("images", "ls") == expected_images
        assert content_of(ours) == expected_content
        assert ours.rows("snapshots", "--snapshotter", snapshotter, "ls") == expected_snapshots
        [checked] = ours.rows("images", "check", "--snapshotter", snapshotter)
        assert checked[3] == "complete", "every blob is there"
        assert checked[-1] == "true", "it is unpacked"
        assert ours.complaints() == []

    assert ours.blobs() == theirs.blobs()
    made, wanted = layers_of(ours, snapshotter), layers_of(theirs, snapshotter)
    assert sorted(made) == sorted(wanted)
    assert [
        f"snapshot {layer}, {line}"
        for layer in wanted
        for line in differences(made[layer], wanted[layer], unpacked_after=LATEST_FILE_TIME)
    ] == []


@pytest.mark.parametrize("snapshotter", SNAPSHOTTERS)
def test_it_makes_and_runs_containers_of_the_image(
    daemon: Daemon, image: RealImage, snapshotter: str
) -> None:
    fill(daemon.root, image.oci_archive, snapshotter)

    with daemon:
        daemon.ctr("containers", "create", "--snapshotter", snapshotter, image.name, "created")
        said = daemon.ctr("run", "--rm", "--snapshotter", snapshotter, image.name, "ran")

        assert said == "second\n"
        assert daemon.names("containers", "ls") == {"created"}
        assert daemon.complaints() == []

    with orlop.open(daemon.root, read_only=True) as database:
        ns = database.namespace("default")
        [container] = ns.containers.list()
        assert (container.id, container.image) == ("created", image.name)
        assert (container.snapshotter, container.snapshot_key) == (snapshotter, "created")
        assert container.spec is not None
        assert container.spec.type_url == SPEC_TYPE
        assert ns.snapshots(snapshotter).stat("created").parent


@pytest.mark.parametrize("snapshotter", SNAPSHOTTERS)
def test_it_mounts_the_image(
    daemon: Daemon, image: RealImage, mounted: Path, snapshotter: str
) -> None:
    fill(daemon.root, image.oci_archive, snapshotter)

    with daemon:
        daemon.ctr("images", "mount", "--snapshotter", snapshotter, image.name, mounted)
        names = {str(path.relative_to(mounted)) for path in mounted.rglob("*")}
        release = (mounted / "etc/release").read_text(encoding="utf-8")
        linked = (mounted / "etc/release.link").stat().st_ino
        original = (mounted / "etc/release").stat().st_ino
        status = (mounted / "replaced/new").stat()
        daemon.ctr("images", "unmount", mounted)

    assert release == "second\n"
    assert linked == original
    assert {"etc/release.symlink", "replaced/new", "bin/busybox"} <= names
    assert names.isdisjoint({"etc/removed", "gone", "replaced/old"})
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1000, 1000, 0o4750)


@pytest.mark.parametrize("snapshotter", SNAPSHOTTERS)
def test_the_mounts_that_orlop_names_are_those_that_it_names(
    daemon: Daemon, image: RealImage, snapshotter: str
) -> None:
    fill(daemon.root, image.oci_archive, snapshotter)
    with orlop.open(daemon.root) as database:
        snapshots = database.namespace("default").snapshots(snapshotter)
        children = {info.parent for info in snapshots.walk()}
        [top] = [info.name for info in snapshots.walk() if info.name not in children]
        snapshots.prepare("active", top)
        snapshots.view("view", top)
        named = {key: snapshots.mounts(key) for key in ("active", "view")}

    with daemon:
        for key, mounts in named.items():
            said = daemon.ctr("snapshots", "--snapshotter", snapshotter, "mounts", "/mnt", key)
            [mount] = mounts
            kind, source, target, options = said.split()[2], *said.split()[3:5], said.split()[-1]
            assert (kind, source, target) == (mount.type, mount.source, "/mnt")
            assert sorted(options.split(",")) == sorted(mount.options)


def test_it_exports_the_image_and_orlop_takes_it_back(
    daemon: Daemon, image: RealImage, tmp_path: Path
) -> None:
    fill(daemon.root, image.oci_archive, "overlayfs")
    exported, again = tmp_path / "exported.tar", tmp_path / "again"

    with daemon:
        daemon.ctr("images", "export", exported, image.name)
        before = content_of(daemon)

    fill(again, exported, "overlayfs")
    second = Daemon(again)
    assert second.blobs() >= daemon.blobs()
    with second:
        assert {row[0] for row in before} <= {row[0] for row in content_of(second)}
        assert second.ctr("images", "check", "--quiet").split() == [image.name]


def test_it_imports_what_orlop_exports(daemon: Daemon, image: RealImage, tmp_path: Path) -> None:
    exported, root = tmp_path / "exported.tar", tmp_path / "orlop"
    with orlop.open(root) as database:
        ns = database.namespace("default")
        [imported] = orlop.oci.import_image(ns, image.oci_archive)
        orlop.oci.export_image(ns, [imported.name], exported)

    inspected = subprocess.run(
        ["skopeo", "inspect", "--format", "{{.Digest}}", f"oci-archive:{exported}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert inspected.stdout.strip() == imported.target.digest, inspected.stderr
    with daemon:
        daemon.ctr("images", "import", exported)
        [[name, _, digest, *_]] = daemon.rows("images", "ls")
        said = daemon.ctr("run", "--rm", image.name, "ran")
    assert (name, digest) == (image.name, imported.target.digest)
    assert said == "second\n"


def spec(*arguments: str) -> ProtoAny:
    """Return the spec of a process that has a /proc and a process table of its own."""
    document = {
        "ociVersion": "1.0.2",
        "process": {"args": list(arguments), "cwd": "/", "user": {"uid": 0, "gid": 0}},
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]},
    }
    return ProtoAny(type_url=SPEC_TYPE, value=json.dumps(document).encode())


def test_it_runs_a_container_that_orlop_made(daemon: Daemon, image: RealImage) -> None:
    with orlop.open(daemon.root) as database:
        ns = database.namespace("default")
        with ns.lease():
            [imported] = orlop.oci.import_image(ns, image.oci_archive)
            top = orlop.oci.unpack(ns, imported, "overlayfs")
            ns.snapshots("overlayfs").prepare("ours", top)
            ns.containers.create(
                Container(
                    id="ours",
                    image=image.name,
                    labels={"made-by": "orlop"},
                    runtime=Runtime(name="io.containerd.runc.v2"),
                    spec=spec("/bin/cat", "/etc/release.symlink"),
                    snapshotter="overlayfs",
                    snapshot_key="ours",
                )
            )

    with daemon:
        assert daemon.rows("containers", "ls") == [["ours", image.name, "io.containerd.runc.v2"]]
        info = json.loads(daemon.ctr("containers", "info", "ours"))
        assert (info["SnapshotKey"], info["Labels"]) == ("ours", {"made-by": "orlop"})
        assert daemon.ctr("tasks", "start", "ours") == "second\n"


def test_it_collects_what_orlop_no_longer_holds(daemon: Daemon, image: RealImage) -> None:
    with orlop.open(daemon.root) as database:
        ns = database.namespace("default")
        lease = ns.leases.create("holds-the-image")
        with ns.using_lease(lease.id):
            orlop.oci.import_image(ns, image.oci_archive, unpack="overlayfs")
        with ns.using_lease(lease.id):
            ns.snapshots("overlayfs").prepare("leased")
        ns.snapshots("overlayfs").prepare("loose")
        ns.images.delete(image.name)
    blobs = daemon.blobs()
    assert len(blobs) == 5

    with daemon:
        daemon.collect()
        assert daemon.names("leases", "ls") == {"holds-the-image"}
        assert daemon.blobs() == blobs
        assert len(daemon.snapshot_folders("overlayfs")) == 4
        assert "loose" not in daemon.names("snapshots", "ls")

        daemon.ctr("leases", "delete", "--sync", "holds-the-image")
        assert daemon.blobs() == set()
        assert daemon.snapshot_folders("overlayfs") == set()
        assert daemon.complaints() == []
