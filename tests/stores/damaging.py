"""Damages files of a root by hand, as disks, people and other programs do."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from stores.chains import record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop import Database
    from orlop.stores.snapshots import SnapshotStore

CONTENT = "io.containerd.content.v1.content"


def blob_file(database: Database, digest: str) -> Path:
    """Return the file of a blob."""
    assert database.root is not None
    algorithm, _, name = digest.partition(":")
    return database.root / CONTENT / "blobs" / algorithm / name


def is_whole(data: bytes, digest: str) -> bool:
    return digest == f"sha256:{hashlib.sha256(data).hexdigest()}"


def delete(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    file.chmod(0o644)
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


def lengthen(file: Path) -> None:
    file.chmod(0o644)
    with file.open("ab") as opened:
        opened.write(b"more")


def flip(file: Path) -> None:
    """Change a byte, and keep the size."""
    file.chmod(0o644)
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        byte = opened.read(1)
        opened.seek(-1, os.SEEK_CUR)
        opened.write(bytes([byte[0] ^ 1]))


def replace_by_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def replace_by_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def replace_by_link(file: Path) -> None:
    elsewhere = file.with_name("elsewhere")
    file.rename(elsewhere)
    file.symlink_to(elsewhere)


SEEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "deleted": (delete, "the data is missing"),
    "cut": (cut, "4 bytes instead of 9"),
    "lengthened": (lengthen, "13 bytes instead of 9"),
    "replaced by a directory": (replace_by_directory, "a directory is in the place of its file"),
    "replaced by a pipe": (replace_by_pipe, "a pipe is in the place of its file"),
    "replaced by a link": (replace_by_link, "a symbolic link is in the place of its file"),
}
"""What one look at a file of nine bytes tells, and what is said of it."""


def snapshot_directory(database: Database, store: SnapshotStore, key: str) -> Path:
    """Return the directory of a snapshot."""
    assert database.root is not None
    numbers: dict[str, str] = getattr(store.backend, "numbers")()  # noqa: B009 -- plug-ins have none
    number = numbers[record(store, key).backend_name]
    snapshotter = f"io.containerd.snapshotter.v1.{store.snapshotter}"
    return database.root / snapshotter / "snapshots" / number


def files_of(database: Database, store: SnapshotStore, key: str) -> Path:
    """Return where the files of a snapshot are, in its directory."""
    directory = snapshot_directory(database, store, key)
    return directory / "fs" if store.snapshotter == "overlayfs" else directory
