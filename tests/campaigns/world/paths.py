"""Where the parts of a root are, and copies of its databases that are put back later."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from campaigns.world.records import BackendItem

SNAPSHOTTERS: Final = ("native", "overlayfs")
METADATA: Final = "io.containerd.metadata.v1.bolt"
CONTENT: Final = "io.containerd.content.v1.content"
SNAPSHOTTER: Final = "io.containerd.snapshotter.v1."

BACKENDS: Final = (CONTENT, *(f"{SNAPSHOTTER}{name}" for name in SNAPSHOTTERS))

META: Final = f"{METADATA}/meta.db"
NATIVE: Final = f"{SNAPSHOTTER}native/metadata.db"
OVERLAY: Final = f"{SNAPSHOTTER}overlayfs/metadata.db"
DATABASES: Final = (META, NATIVE, OVERLAY)
MARKS: Final = f"{METADATA}/orlop"
"""What Orlop notes beside the metadata."""

MANNERS: Final = ("in place", "in place, times kept", "renamed over", "renamed over, times kept")


def blob_path(digest: str) -> str:
    return f"{CONTENT}/blobs/{digest.replace(':', '/')}"


def marker_path(snapshotter: str, directory: str, marker: str) -> str:
    inner = "fs/" if snapshotter == "overlayfs" else ""
    return f"{SNAPSHOTTER}{snapshotter}/snapshots/{directory}/{inner}{marker}"


def holds(root: Path, datum: BackendItem) -> bool:
    """Return whether data is on disk, whole."""
    try:
        return (root / datum.path).read_bytes() == datum.contents
    except OSError:
        return False


def copy_databases(root: Path, target: Path) -> None:
    """Copy the databases and Orlop's files beside them, with their times."""
    for name in DATABASES:
        if (root / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)
    if (root / MARKS).exists():
        shutil.copytree(root / MARKS, target / MARKS)


def is_same(path: Path, other: Path) -> bool:
    """Return whether two files have the same contents, or neither is there."""
    return _contents(path) == _contents(other)


def put_file(source: Path, target: Path, manner: str) -> None:
    """Put a copy in the place of a file; where there is no copy, delete the file."""
    if not source.exists():
        target.unlink(missing_ok=True)
        return
    if manner.startswith("renamed"):
        beside = target.with_name(f"{target.name}.restored")
        shutil.copyfile(source, beside)
        beside.chmod(source.stat().st_mode & 0o7777)
        beside.replace(target)
    else:
        shutil.copyfile(source, target)
    if manner.endswith("times kept"):
        status = source.stat()
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def remove_if_empty(path: Path) -> None:
    """Delete a file that has nothing in it."""
    if path.exists() and not path.stat().st_size:
        path.unlink()


def put_back(source: Path, root: Path, names: list[str], manner: str) -> None:
    """Replace some databases, or the shutdown markers, by copies."""
    for name in names:
        if name == MARKS:
            if (source / MARKS).exists():
                shutil.rmtree(root / MARKS, ignore_errors=True)
                shutil.copytree(source / MARKS, root / MARKS)
        else:
            put_file(source / name, root / name, manner)


def some(rng: random.Random, names: tuple[str, ...]) -> list[str]:
    """Choose some of the names, at least one."""
    count = min(rng.choice((1, 1, 2, len(names))), len(names))
    return rng.sample(names, count)


def _contents(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
