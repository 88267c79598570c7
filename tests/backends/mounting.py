"""Mounts for tests: what a snapshotter returned, and small disks."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from orlop.model.records import Mount


@contextlib.contextmanager
def mounted(mounts: Sequence[Mount], target: Path) -> Iterator[Path]:
    """Mount what a snapshotter returned; skip the test where the kernel refuses."""
    target.mkdir(exist_ok=True)
    (mount,) = mounts
    kind = [] if mount.type == "bind" else ["-t", mount.type]
    with _mounted([*kind, "-o", ",".join(mount.options), mount.source], target):
        yield target


@contextlib.contextmanager
def small_disk(target: Path, size: str) -> Iterator[Path]:
    """Mount an empty tmpfs of `size` at `target`."""
    target.mkdir(exist_ok=True)
    with _mounted(["-t", "tmpfs", "-o", f"size={size}", "tmpfs"], target):
        yield target


@contextlib.contextmanager
def _mounted(arguments: list[str], target: Path) -> Iterator[None]:
    done = subprocess.run(
        ["mount", *arguments, str(target)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(target)], check=True)
