"""A root with three states of its databases, and ways to put files of another state into it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orlop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orlop import Database

METADATA: Final = "io.containerd.metadata.v1.bolt"
CONTENT: Final = "io.containerd.content.v1.content"
NATIVE: Final = "io.containerd.snapshotter.v1.native"

PARTS: Final = {
    "meta.db": (f"{METADATA}/meta.db",),
    "metadata.db": (f"{NATIVE}/metadata.db",),
    "both": (f"{METADATA}/meta.db", f"{NATIVE}/metadata.db"),
    "marker": (f"{METADATA}/orlop",),
    "metadata directory": (METADATA,),
    "content directory": (CONTENT,),
    "snapshotter directory": (NATIVE,),
    "root": (METADATA, CONTENT, NATIVE),
}


def add(database: Database, name: str) -> None:
    """Add a blob and a snapshot that a label keeps."""
    ns = database.namespace("default")
    labels = {"containerd.io/gc.root": "x"}
    data = name.encode() * 100
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    with ns.content.writer(f"ref-{name}", expected=digest) as writer:
        writer.write(data)
        writer.commit(expected=digest, labels=labels)
    store = ns.snapshots("native")
    (mount,) = store.prepare(f"{name}-active", "", labels)
    Path(mount.source, f"file-{name}").write_text(name)
    store.commit(name, f"{name}-active", labels)


def is_there(root: Path, name: str) -> list[str]:
    """Return the missing data of a name; empty if all of it exists."""
    digest = hashlib.sha256(name.encode() * 100).hexdigest()
    missing = []
    if not (root / CONTENT / "blobs/sha256" / digest).exists():
        missing.append(f"blob of {name}")
    if not list((root / NATIVE / "snapshots").rglob(f"file-{name}")):
        missing.append(f"files of {name}")
    return missing


def check_named(root: Path, names: Iterable[str]) -> None:
    """Check that the metadata names all of these, and that their data can be read."""
    with orlop.open(root, read_only=True) as database:
        ns = database.namespace("default")
        for name in names:
            digest = f"sha256:{hashlib.sha256(name.encode() * 100).hexdigest()}"
            with ns.content.open(digest) as blob:
                assert blob.read() == name.encode() * 100
            assert ns.snapshots("native").usage(name).size > 0


def copy(source: Path, target: Path, *, keeps_times: bool) -> None:
    """Copy a file, or a directory tree, over existing files, in place."""
    if source.is_dir():
        target.mkdir(exist_ok=True)
        for entry in sorted(source.iterdir()):
            copy(entry, target / entry.name, keeps_times=keeps_times)
        if keeps_times:
            shutil.copystat(source, target)
        return
    # Over the same inode where there is a file, as cp does.
    with source.open("rb") as data, target.open("wb") as out:
        shutil.copyfileobj(data, out)
    shutil.copymode(source, target)
    if keeps_times:
        shutil.copystat(source, target)


def put(source: Path, root: Path, part: str, way: str) -> None:
    """Put a part of another root in the place of this one's.

    Args:
        source: the other root.
        root: this one.
        part: one of `PARTS`.
        way: `merge`: over the same inodes; `merge -a`: so, with their times; `rename`: renamed
            over it (of a directory, what was there is gone); `rename -a`: so, with their times.
    """
    keeps_times = way.endswith("-a")
    for name in PARTS[part]:
        if not (source / name).exists():
            continue
        if way.startswith("merge"):
            copy(source / name, root / name, keeps_times=keeps_times)
            continue
        temporary = root / f"{name}.new"
        copy(source / name, temporary, keeps_times=keeps_times)
        if temporary.is_dir():
            merge_data(root / name, temporary)
            shutil.rmtree(root / name, ignore_errors=True)
        temporary.rename(root / name)


def merge_data(old: Path, new: Path) -> None:
    """Move the data of a directory that is about to be replaced: only the databases are older."""
    for folder in ("blobs/sha256", "snapshots"):
        if (old / folder).is_dir():
            (new / folder).mkdir(parents=True, exist_ok=True)
            for entry in (old / folder).iterdir():
                is_taken = (new / folder / entry.name).exists()
                entry.rename(new / folder / f"{'saved-' * is_taken}{entry.name}")
