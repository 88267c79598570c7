"""Mounts for tests: those that a snapshotter returned, and small disks."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from orlop.records import Mount


MOUNT_OPTIONS_MAX = 4000


@contextlib.contextmanager
def mounted(mounts: Sequence[Mount], target: Path) -> Iterator[Path]:
    """Mount a snapshotter's mounts; skip the test if the kernel refuses."""
    target.mkdir(exist_ok=True)
    (mount,) = mounts
    kind = [] if mount.type == "bind" else ["-t", mount.type]
    options = ",".join(mount.options)
    place = None
    if len(options) > MOUNT_OPTIONS_MAX:
        # The kernel takes one page of options; a daemon too goes where paths are shorter.
        (lower,) = (one for one in mount.options if one.startswith("lowerdir="))
        place = lower.removeprefix("lowerdir=").partition("/snapshots/")[0]
        options = options.replace(f"{place}/", "")
    with _mounted([*kind, "-o", options, mount.source], target, place):
        yield target


@contextlib.contextmanager
def small_disk(target: Path, size: str) -> Iterator[Path]:
    """Mount an empty tmpfs of `size` at `target`."""
    target.mkdir(exist_ok=True)
    with _mounted(["-t", "tmpfs", "-o", f"size={size}", "tmpfs"], target):
        yield target


@contextlib.contextmanager
def _mounted(arguments: list[str], target: Path, place: str | None = None) -> Iterator[None]:
    command = ["mount", *arguments, str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place)
    if done.returncode != 0:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    try:
        yield
    finally:
        # A test that failed may have left a file open: nothing must stay mounted for it.
        subprocess.run(["umount", "--lazy", str(target)], check=True)


@contextlib.contextmanager
def bound(source: Path, target: Path) -> Iterator[None]:
    """Let a file or directory be seen at `target`, too, wherever that is moved meanwhile."""
    command = ["mount", "--bind", str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    place = os.open(target, os.O_PATH)
    try:
        yield
    finally:
        path = os.readlink(f"/proc/self/fd/{place}")  # noqa: PTH115
        os.close(place)
        subprocess.run(["umount", "--lazy", path], check=True)
