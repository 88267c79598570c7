"""Discarded data is invisible at once, and deleted by the cleanup."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orlop import digests
from orlop.errors import InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    from orlop.storage import LocalContent, NativeSnapshotter, OverlaySnapshotter


def files(root: Path) -> dict[str, int]:
    """Return the sizes of all files below `root`, by their names."""
    return {
        str(path.relative_to(root)): path.stat().st_size
        for path in root.rglob("*")
        if not path.is_dir()
    }


def write(content: LocalContent, ref: str, data: bytes) -> str:
    writer = content.writer(ref)
    writer.write(data)
    writer.commit()
    return writer.digest()


def test_a_discarded_blob(content: LocalContent, tmp_path: Path) -> None:
    digest, kept = write(content, "a", b"gone"), write(content, "b", b"kept")
    with content.open(digest) as blob:
        content.discard(digest)
        assert blob.read() == b"gone"
    assert [info.digest for info in content.walk()] == [kept]
    with pytest.raises(NotFoundError):
        content.info(digest)
    with pytest.raises(NotFoundError):
        content.discard(digest)
    with pytest.raises(InvalidArgumentError):
        content.discard("../a")
    assert sorted(files(tmp_path / "content").values()) == [4, 4]
    # It can come back before it is deleted.
    assert write(content, "c", b"gone") == digest
    content.cleanup()
    assert {info.digest for info in content.walk()} == {digest, kept}
    assert sorted(files(tmp_path / "content").values()) == [4, 4]


def test_a_discarded_ingest(content: LocalContent, tmp_path: Path) -> None:
    writer = content.writer("ref", size=100)
    writer.write(b"12345")
    writer.close()
    size = content.ingest_size("ref")
    assert size == sum(files(tmp_path / "content").values()) > len(b"12345ref100")
    content.discard_ingest("ref")
    assert list(content.statuses()) == []
    for ask in (content.status, content.discard_ingest, content.ingest_size, content.abort):
        with pytest.raises(NotFoundError):
            ask("ref")
    assert sum(files(tmp_path / "content").values()) == size
    again = content.writer("ref")
    assert again.status().offset == 0
    content.cleanup()
    again.write(b"new")
    again.commit(expected=digests.from_bytes(b"new"))
    content.cleanup()
    assert list(files(tmp_path / "content").values()) == [3]


def test_discarded_snapshots(snapshotter: NativeSnapshotter | OverlaySnapshotter) -> None:
    for name, parent in (("a", ""), ("b", "a"), ("c", "b"), ("other", "")):
        snapshotter.prepare(f"{name}-active", parent)
        snapshotter.commit(name, f"{name}-active")
    # On "a" there stands one that stays, and another is not there at all.
    snapshotter.prepare("on-a", "a")
    assert snapshotter.discard(["c", "lost", "b", "a", "c"]) == ["c", "b"]
    assert [info.name for info in snapshotter.walk()] == ["a", "on-a", "other"]
    assert snapshotter.discard([]) == []
    assert snapshotter.discard(["a"]) == []
    names = {path.name for path in snapshotter._directory.iterdir()}
    assert names == {"1", "4", "5", "rm-2", "rm-3"}
    snapshotter.cleanup()
    assert {path.name for path in snapshotter._directory.iterdir()} == {"1", "4", "5"}


def blocks(root: Path) -> int:
    """Return the size of a tree on disk, in bytes; hard links count once."""
    seen = {}
    for place, _, names in os.walk(root):
        for path in (Path(place), *(Path(place, name) for name in names)):
            status = path.lstat()
            seen[status.st_ino] = status.st_blocks * 512
    return sum(seen.values())


def test_a_removal_gives_back_what_it_said(
    snapshotter: NativeSnapshotter | OverlaySnapshotter,
) -> None:
    snapshotter.prepare("active", "")
    data = snapshotter._data("1")
    (data / "folder").mkdir()
    (data / "folder" / "big").write_bytes(os.urandom(300_000))
    (data / "link").hardlink_to(data / "folder" / "big")
    (data / "small").write_bytes(b"x")
    snapshotter.commit("layer", "active")
    snapshotter.view("view", "layer")
    snapshotter.prepare("on-it", "layer")
    (snapshotter._data("3") / "more").write_bytes(os.urandom(50_000))
    for key in ("on-it", "view", "layer"):
        size = snapshotter.size_on_disk(key)
        before = blocks(snapshotter._directory)
        snapshotter.remove(key)
        assert before - blocks(snapshotter._directory) == size, key
    with pytest.raises(NotFoundError):
        snapshotter.size_on_disk("layer")
