"""A small image made by the real tools: files of ours, layered by umoci, converted by skopeo."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_SECONDS = 120
TAG = "v1"
FIRST_FILE_TIME = 1_500_000_000
LATEST_FILE_TIME = FIRST_FILE_TIME + 100
"""Seconds since 1970: every time in the image lies between, so that no clock can be mistaken."""


@dataclass(frozen=True, slots=True)
class RealImage:
    """One image in the three forms that a user may bring."""

    layout: Path
    oci_archive: Path
    docker_archive: Path
    name: str = "docker.io/library/orlop-test:v1"


def run(*arguments: str | Path) -> None:
    """Run one of the tools; an error contains its output."""
    done = subprocess.run(
        list(map(str, arguments)),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stderr}"


def make_image(folder: Path) -> RealImage:
    """Make an image of three layers: a system, a change to it, and an opaque directory.

    Layer 1 is busybox and some files; layer 2 takes a file and a directory away, rewrites a
    file and adds a hard link and a symbolic link; layer 3 replaces a whole directory.
    """
    image = RealImage(folder / "layout", folder / "oci.tar", folder / "docker.tar")
    tagged = f"{image.layout}:{TAG}"
    bundle = folder / "bundle"
    files = bundle / "rootfs"
    run("umoci", "init", "--layout", image.layout)
    run("umoci", "new", "--image", tagged)
    run("umoci", "unpack", *_rootless(), "--image", tagged, bundle)
    for number, step in enumerate((_first_layer, _second_layer, _third_layer)):
        step(files)
        _age(files, FIRST_FILE_TIME + number)
        run("umoci", "repack", "--refresh-bundle", "--image", tagged, bundle)
    command = [f"--config.cmd={word}" for word in ("/bin/cat", "/etc/release")]
    run("umoci", "config", "--image", tagged, *command)
    shutil.rmtree(bundle)
    skopeo = ("skopeo", "copy", "--insecure-policy", f"oci:{tagged}")
    run(*skopeo, f"oci-archive:{image.oci_archive}:{image.name}")
    run(*skopeo, f"docker-archive:{image.docker_archive}:{image.name}")
    return image


def _age(files: Path, seconds: int) -> None:
    """Set the time of each entry that the step before has touched."""
    for path in [*files.rglob("*"), files]:
        if path.lstat().st_mtime > LATEST_FILE_TIME:
            os.utime(path, (seconds, seconds), follow_symlinks=False)


def _rootless() -> list[str]:
    return [] if os.geteuid() == 0 else ["--rootless"]


def _first_layer(files: Path) -> None:
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "gone/deep", "replaced"):
        (files / name).mkdir(parents=True)
    shutil.copy2("/bin/busybox", files / "bin/busybox")
    for name in ("cat", "ls", "sh"):
        (files / "bin" / name).symlink_to("busybox")
    (files / "etc/release").write_text("first\n", encoding="utf-8")
    (files / "etc/removed").write_text("removed by the second layer\n", encoding="utf-8")
    (files / "gone/deep/file").write_text("goes with its directory\n", encoding="utf-8")
    (files / "replaced/old").write_text("hidden by the third layer\n", encoding="utf-8")
    (files / "tmp").chmod(0o1777)


def _second_layer(files: Path) -> None:
    (files / "etc/removed").unlink()
    shutil.rmtree(files / "gone")
    (files / "etc/release").write_text("second\n", encoding="utf-8")
    (files / "etc/release.link").hardlink_to(files / "etc/release")
    (files / "etc/release.symlink").symlink_to("release")


def _third_layer(files: Path) -> None:
    shutil.rmtree(files / "replaced")
    (files / "replaced").mkdir()
    (files / "replaced/new").write_text("third\n", encoding="utf-8")
    if os.geteuid() == 0:
        os.chown(files / "replaced/new", 1000, 1000)
    (files / "replaced/new").chmod(0o4750)
