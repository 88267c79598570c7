"""Snapshots of ours against those of containerd, umoci and GNU tar: equal to the last bit."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from oci.builder import CAPABILITY, Built, directory, entry, hardlink, layer, symlink
from oci.layers import apply, mounted
from oci.trees import describe
from orlop import oci
from orlop.database import open_database
from real.daemon import Daemon

EXAMPLE = Path(__file__).parents[2] / "examples" / "greeting.tar"

LAYERS = (
    layer(
        directory("bin", mode=0o755),
        entry("bin/tool", data=b"#!", mode=0o4755, owner=(0, 10), modified=1_500_000_000.25),
        # containerd gives the file what the header of its link says; in real layers they agree.
        hardlink("bin/tool2", "bin/tool", mode=0o4755, owner=(0, 10), modified=1_500_000_000.25),
        symlink("sbin", "bin"),
        directory("data", mode=0o2770, owner=(100, 200)),
        entry("data/x", data=b"x" * 70_000, attributes={"user.note": "kept"}),
        entry("data/y", data=b"y"),
        entry("data/raw", data=b"raw", attributes={"security.capability": CAPABILITY}),
        directory("data/sub", mode=0o700),
        entry("data/sub/z", data=b"z"),
        directory("dev"),
        entry("dev/null", kind=tarfile.CHRTYPE, device=(1, 3), mode=0o666),
        entry("dev/pipe", kind=tarfile.FIFOTYPE, mode=0o622, owner=(5, 6)),
        directory("gone"),
        entry("gone/file"),
    ),
    layer(
        directory("data", mode=0o755, owner=(7, 7)),
        entry("data/.wh.y"),
        entry("data/x", data=b"new"),
        entry(".wh.gone"),
        directory("bin"),
        entry("bin/.wh.tool2"),
    ),
    layer(
        directory("data", mode=0o755),
        directory("data/sub", mode=0o711),
        entry("data/sub/.wh..wh..opq"),
        entry("data/sub/fresh", data=b"fresh", mode=0o1644),
        hardlink("data/sub/fresh2", "data/sub/fresh", mode=0o1644),
    ),
)


def top_mount(root: Path, archive: Path, snapshotter: str) -> list[str]:
    """Import with Orlop and return how it would have the image mounted: type and options."""
    with open_database(root) as database:
        namespace = database.namespace("default")
        (image,) = oci.import_image(namespace, archive, unpack=snapshotter)
        top = oci.unpack(namespace, image, snapshotter)
        (mount,) = namespace.snapshots(snapshotter).view("look", top)
        return [mount.type, mount.source, ",".join(mount.options)]


def stack(mount: list[str]) -> list[Path]:
    """Return the directories of a mount, topmost first."""
    kind, source, options = mount
    if kind == "bind":
        return [Path(source)]
    lowers = dict(each.partition("=")[::2] for each in options.split(","))["lowerdir"]
    return [Path(lower) for lower in lowers.split(":")]


def top_mount_of_containerd(daemon: Daemon, archive: Path, snapshotter: str) -> list[str]:
    """Import with containerd and return how it would have the image mounted."""
    daemon.ctr("images", "import", "--snapshotter", snapshotter, str(archive))
    rows = daemon.rows("snapshots", "--snapshotter", snapshotter, "ls")
    parents = {row[1] for row in rows if len(row) > 2}
    (top,) = {row[0] for row in rows} - parents
    command = ("snapshots", "--snapshotter", snapshotter, "view", "--mounts", "look", top)
    (mount,) = json.loads(daemon.ctr(*command))
    return [mount["Type"], mount["Source"], ",".join(mount["Options"])]


@pytest.fixture(params=["example", "built"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return an OCI archive: the example that users see, and one with everything in it."""
    if request.param == "example":
        return EXAMPLE
    built = Built()
    built.image(LAYERS)
    return built.archive(tmp_path / "built.tar")


@pytest.mark.real("containerd", "ctr")
@pytest.mark.root
@pytest.mark.parametrize("snapshotter", ["native", "overlayfs"])
def test_snapshots_are_those_of_containerd(tmp_path: Path, archive: Path, snapshotter: str) -> None:
    ours = stack(top_mount(tmp_path / "ours", archive, snapshotter))
    (tmp_path / "theirs").mkdir()
    with Daemon(tmp_path / "theirs") as daemon:
        theirs = stack(top_mount_of_containerd(daemon, archive, snapshotter))
        assert len(ours) == len(theirs)
        if snapshotter == "overlayfs":
            for own, other in zip(ours, theirs, strict=True):
                assert describe(own) == describe(other), "layer for layer, marks and all"
        with mounted(tmp_path / "a", ours) as own, mounted(tmp_path / "b", theirs) as other:
            # When it copies a native parent, containerd loses the times of its directories.
            assert without_folder_times(describe(own)) == without_folder_times(describe(other))


@pytest.mark.real("umoci", "skopeo")
@pytest.mark.root
def test_snapshots_are_what_umoci_unpacks(tmp_path: Path, archive: Path) -> None:
    layout = f"oci:{tmp_path / 'layout'}:v1"
    copy = ["skopeo", "copy", "--insecure-policy", "-q", f"oci-archive:{archive}", layout]
    subprocess.run(copy, check=True)
    bundle = tmp_path / "bundle"
    unpack = ["umoci", "unpack", "--image", layout.removeprefix("oci:"), str(bundle)]
    subprocess.run(unpack, check=True, capture_output=True)
    ours = stack(top_mount(tmp_path / "ours", archive, "native"))[0]
    assert without_folder_times(describe(ours)) == without_folder_times(describe(bundle / "rootfs"))


def without_folder_times(tree: dict[bytes, tuple[object, ...]]) -> dict[bytes, tuple[object, ...]]:
    """umoci keeps the time of a directory when an entry goes into it, containerd does not."""
    folders = 0o040000
    return {
        path: (*found[:5], *found[6:]) if found[0] == folders else found
        for path, found in tree.items()
    }


@pytest.mark.root
def test_plain_layers_are_what_gnu_tar_makes_of_them(tmp_path: Path) -> None:
    (tmp_path / "gnu").mkdir()
    data = LAYERS[0]
    command = ["tar", "--xattrs", "--xattrs-include=*", "-C", str(tmp_path / "gnu"), "-xpf", "-"]
    subprocess.run(command, input=data, check=True)
    assert describe(apply(tmp_path / "ours", data)) == describe(tmp_path / "gnu")
