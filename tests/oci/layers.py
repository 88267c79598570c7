"""Applies layers as tests want it: to one directory, or as an overlay that is then mounted."""

from __future__ import annotations

import io
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orlop.oci.apply import apply_layer
from orlop.oci.safe_path import SnapshotTree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def apply(root: Path, *layers: bytes) -> Path:
    """Apply layers one after the other to the directory `root`."""
    root.mkdir(parents=True, exist_ok=True)
    for data in layers:
        with SnapshotTree(root) as tree:
            apply_layer(io.BytesIO(data), tree)
    return root


def apply_overlay(folder: Path, *layers: bytes) -> list[Path]:
    """Apply each layer to a directory of its own over those before; return them, topmost first."""
    stack: list[Path] = []
    for number, data in enumerate(layers):
        upper = folder / str(number)
        upper.mkdir(parents=True)
        with SnapshotTree(upper, stack) as tree:
            apply_layer(io.BytesIO(data), tree)
        stack.insert(0, upper)
    return stack


@contextmanager
def mounted(folder: Path, stack: Sequence[Path]) -> Iterator[Path]:
    """Let the kernel show a stack of directories as one."""
    folder.mkdir()
    if len(stack) == 1:
        yield stack[0]
        return
    lowers = ":".join(map(str, stack))
    subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", f"ro,lowerdir={lowers}", folder], check=True
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
