"""Overlay mounts below roots with special characters of overlay options in their path."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import orlop
from orlop.oci.unpacker import unpack_image
from orlop.storage.overlay import directory_of, directory_option, lower_option, lowers_of
from storage.mounting import mounted

if TYPE_CHECKING:
    from orlop.records import Mount

IMAGE = Path("examples/greeting.tar").absolute()
NAMES = [
    "plain",
    "a:b",
    "a,b",
    "a\\b",
    "a\\:b,c\\",
    "a\\,b:",
    ":",
    ",index=on",
    "x y",
    "it's",
    "a$HOME`b`;c&d",
    "ä\nö",
]
PATHS = st.text(st.sampled_from('ab/:,\\="'), min_size=1).map(lambda text: Path(f"/{text}"))


@given(st.lists(PATHS, min_size=1))
def test_paths_are_read_back_from_options(paths: list[Path]) -> None:
    assert lowers_of(lower_option(paths).removeprefix("lowerdir=")) == tuple(paths)
    for path in paths:
        option = directory_option("upperdir", path)
        assert directory_of(option.removeprefix("upperdir=")) == path


def mount_as_containerd(mount: Mount, target: Path) -> None:
    """Call mount(2) with the options put together, as containerd does."""
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = [os.fsencode(one) for one in (mount.source, target, mount.type)]
    options = os.fsencode(",".join(mount.options))
    if libc.mount(*arguments, ctypes.c_ulong(0), options) != 0:
        number = ctypes.get_errno()
        if number == 1:
            pytest.skip("cannot mount here")
        raise OSError(number, os.strerror(number))
    subprocess.run(["umount", target], check=True)


@pytest.mark.root
@pytest.mark.parametrize("name", NAMES)
def test_a_root_of_any_name_has_mounts_that_the_kernel_takes(tmp_path: Path, name: str) -> None:
    with orlop.open(tmp_path / name) as db:
        ns = db.namespace("default")
        (image,) = orlop.oci.import_image(ns, IMAGE, unpack="overlayfs")
        top = unpack_image(ns, image, "overlayfs")
        snapshots = ns.snapshots("overlayfs")
        with ns.lease():
            snapshots.prepare("lower", top)
            snapshots.commit("above", "lower")
            active, view = snapshots.prepare("active", "above"), snapshots.view("view", "above")
        seen = []
        for mounts in (active, view):
            assert mounts[0].type == "overlay"
            with mounted(mounts, tmp_path / "mnt") as target:
                seen.append(sorted(path.name for path in target.rglob("*")))
            mount_as_containerd(mounts[0], tmp_path / "mnt")
        assert seen[0] == seen[1]
        assert len(seen[0]) > 1


@pytest.mark.root
@pytest.mark.parametrize("name", NAMES[:-1])
def test_a_shell_runs_the_command_that_is_printed(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-m", "orlop", "--root", str(tmp_path / name)]
    subprocess.run(
        [*command, "image", "import", IMAGE, "--unpack", "overlayfs", "--unpack", "native"],
        check=True,
        capture_output=True,
    )
    (tmp_path / "mnt").mkdir()
    for snapshotter in ("overlayfs", "native"):
        with orlop.open(tmp_path / name, read_only=True) as db:
            top = max(one.name for one in db.namespace("default").snapshots(snapshotter).walk())
        made = subprocess.run(
            [*command, "snapshot", "prepare", "--snapshotter", snapshotter, "key", top],
            capture_output=True,
            text=True,
            check=True,
        )
        script = f'set -e\n{made.stdout.strip()} "$1"\nls "$1"\numount "$1"\n'
        done = subprocess.run(
            ["sh", "-c", script, "sh", tmp_path / "mnt"],
            capture_output=True,
            text=True,
            check=False,
        )
        if "permission denied" in done.stderr:
            pytest.skip(done.stderr)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout
