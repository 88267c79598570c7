"""The cases of containerd's snapshot suite that mount prepared snapshots, by their names.

Source: containerd, core/snapshots/testsuite.
"""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from typing import TYPE_CHECKING, TypeAlias

import pytest

from orlop.clock import SystemClock
from orlop.storage import NativeSnapshotter, OverlaySnapshotter
from storage.mounting import mounted, small_disk
from storage.opening import open_for_writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Snapshotter: TypeAlias = NativeSnapshotter | OverlaySnapshotter
Change: TypeAlias = "Callable[[Path], object]"

pytestmark = pytest.mark.root


class Layers:
    """Applies changes through mounts, each in a snapshot of its own."""

    def __init__(self, snapshotter: Snapshotter, work: Path) -> None:
        self.snapshotter = snapshotter
        self.work = work
        self.names: list[str] = []

    def apply(self, change: Change) -> None:
        """Prepare a snapshot on the last one, change it, and commit it."""
        number = len(self.names)
        mounts = self.snapshotter.prepare(f"key-{number}", self.names[-1] if self.names else "")
        with mounted(mounts, self.work / "target") as target:
            change(target)
        self.names.append(f"layer-{number}")
        self.snapshotter.commit(self.names[-1], f"key-{number}")

    @contextlib.contextmanager
    def seen(self) -> Iterator[Path]:
        """Mount a view of the last layer."""
        mounts = self.snapshotter.view("view", self.names[-1])
        with mounted(mounts, self.work / "target") as target:
            yield target
        self.snapshotter.remove("view")


@pytest.fixture
def layers(snapshotter: Snapshotter, tmp_path: Path) -> Layers:
    return Layers(snapshotter, tmp_path)


def write(name: str, data: bytes, mode: int = 0o644) -> Change:
    def change(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
        (root / name).chmod(mode)

    return change


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def test_basic(layers: Layers) -> None:
    layers.apply(write("foo", b"foo\n", 0o777))
    layers.apply(write("a/b/c", b"c"))
    layers.apply(lambda root: (root / "foo").write_bytes(b"bar\n"))
    with layers.seen() as root:
        assert files(root) == {"foo": b"bar\n", "a/b/c": b"c"}
        assert (root / "foo").stat().st_mode & 0o777 == 0o777


def test_layer_file_update(layers: Layers) -> None:
    layers.apply(write("etc/f", b"0"))
    for number in range(1, 6):
        layers.apply(write("etc/f", b"%d" % number))
        with layers.seen() as root:
            assert files(root) == {"etc/f": b"%d" % number}


def test_remove_directory_in_lower_layer(layers: Layers) -> None:
    layers.apply(write("dir/below", b"hidden"))

    def again(root: Path) -> None:
        subprocess.run(["rm", "-r", root / "dir"], check=True)
        write("dir/new", b"new")(root)

    layers.apply(again)
    with layers.seen() as root:
        assert files(root) == {"dir/new": b"new"}


def test_chown(layers: Layers) -> None:
    layers.apply(write("opt/a", b""))
    layers.apply(lambda root: os.chown(root / "opt/a", 1, 2))
    layers.apply(lambda root: os.chown(root / "opt", 3, 4))
    with layers.seen() as root:
        for name, owner in (("opt/a", (1, 2)), ("opt", (3, 4))):
            status = (root / name).stat()
            assert (status.st_uid, status.st_gid) == owner


def test_directory_permission_on_commit(layers: Layers) -> None:
    def make(root: Path) -> None:
        os.chown(root, 10, 20)
        for number in range(1, 5):
            (root / f"dir{number}").mkdir(0o700)
            os.chown(root / f"dir{number}", number, number)

    layers.apply(make)
    layers.apply(write("dir2/file", b"x"))
    layers.apply(write("file", b"y"))
    with layers.seen() as root:
        assert (root.stat().st_uid, root.stat().st_gid) == (10, 20)
        for number in range(1, 5):
            status = (root / f"dir{number}").stat()
            assert (status.st_uid, status.st_gid) == (number, number)
            assert stat.S_IMODE(status.st_mode) == 0o700


def test_deleted_files_in_child_snapshot(layers: Layers) -> None:
    layers.apply(lambda root: [write(name, b"x")(root) for name in ("a", "b", "dir/c")])

    def delete(root: Path) -> None:
        (root / "a").unlink()
        (root / "dir/c").unlink()

    layers.apply(delete)
    with layers.seen() as root:
        assert files(root) == {"b": b"x"}
        assert list((root / "dir").iterdir()) == []
    layers.apply(write("a", b"back"))
    with layers.seen() as root:
        assert files(root) == {"b": b"x", "a": b"back"}


def test_move_file_from_lower_layer(layers: Layers) -> None:
    layers.apply(lambda root: [write(name, b"x")(root) for name in ("dir/a", "dir/b")])

    def move(root: Path) -> None:
        (root / "dir/a").rename(root / "moved")
        (root / "linked").hardlink_to(root / "moved")

    layers.apply(move)
    with layers.seen() as root:
        assert files(root) == {"dir/b": b"x", "moved": b"x", "linked": b"x"}


def test_rename(layers: Layers) -> None:
    layers.apply(lambda root: [write(name, b"x")(root) for name in ("d/one", "d/two", "top")])

    def rename(root: Path) -> None:
        (root / "d/one").rename(root / "d/new")
        (root / "top").rename(root / "d/two")
        (root / "fresh").mkdir()
        (root / "fresh").rename(root / "renamed")

    layers.apply(rename)
    with layers.seen() as root:
        assert files(root) == {"d/new": b"x", "d/two": b"x"}
        assert sorted(path.name for path in root.iterdir()) == ["d", "renamed"]


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_view_readonly(layers: Layers, depth: int) -> None:
    for number in range(depth):
        layers.apply(write(f"file-{number}", b"x"))
    mounts = layers.snapshotter.view("view", layers.names[-1] if depth else "")
    with mounted(mounts, layers.work / "target") as target:
        with pytest.raises(OSError, match="Read-only"):
            (target / "new").write_bytes(b"")
        assert len(files(target)) == depth


def test_root_permission(layers: Layers) -> None:
    with mounted(layers.snapshotter.prepare("key", ""), layers.work / "target") as target:
        assert stat.S_IMODE(target.stat().st_mode) == 0o755


def test_128_layers_mount(layers: Layers) -> None:
    wanted: dict[str, bytes] = {}
    for number in range(128):
        name, data = f"dir-{number % 7}/file-{number % 11}", b"%d" % number
        layers.apply(write(name, data))
        wanted[name] = data
    with layers.seen() as root:
        assert files(root) == wanted


@pytest.mark.parametrize("kind", [NativeSnapshotter, OverlaySnapshotter])
def test_full_disk(tmp_path: Path, kind: type[Snapshotter]) -> None:
    """A failed creation leaves nothing, and the snapshotter works when there is space again."""
    with small_disk(tmp_path / "disk", "2m,nr_inodes=100") as disk:
        snapshotter = kind(disk / "root", open_for_writing, clock=SystemClock())
        snapshotter.prepare("key", "")
        (snapshotter._data("1") / "big").write_bytes(b"x" * 800_000)
        snapshotter.commit("name", "key")
        fillers = [disk / f"filler-{number}" for number in range(100)]
        with contextlib.suppress(OSError):
            for filler in fillers:
                filler.write_bytes(bytes(65_536))
        with contextlib.suppress(OSError):
            for filler in fillers:
                filler.touch()
        before = list(snapshotter.walk())
        with pytest.raises(OSError, match="No space"):
            snapshotter.prepare("key", "name")
        assert list(snapshotter.walk()) == before
        assert [path.name for path in (disk / "root/snapshots").iterdir()] == ["1"]

        for filler in fillers:
            filler.unlink(missing_ok=True)
        snapshotter.prepare("key", "name")
        snapshotter.close()
