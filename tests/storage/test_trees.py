"""Copying, counting and removing trees of files."""

from __future__ import annotations

import fcntl
import os
import random
import resource
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orlop.storage import copying
from orlop.storage.copying import copy_tree
from orlop.storage.removal import remove_tree
from orlop.storage.usage import disk_usage

if TYPE_CHECKING:
    from pathlib import Path

TIME = 1_234_567_890_123_456_789


def described(root: Path) -> dict[str, object]:
    """Return all that matters of a tree, without inode numbers and access times."""
    first: dict[tuple[int, int], str] = {}
    found: dict[str, object] = {}
    for path in sorted([root, *root.rglob("*")]):
        status = path.lstat()
        name = str(path.relative_to(root))
        content: object = None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = path.readlink()
        attributes = {
            key: os.getxattr(path, key, follow_symlinks=False)
            for key in os.listxattr(path, follow_symlinks=False)
        }
        found[name] = (
            oct(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            status.st_rdev,
            status.st_nlink if not path.is_dir() else 0,
            first.setdefault((status.st_dev, status.st_ino), name),
            attributes,
            content,
        )
    return found


def make_tree(root: Path) -> None:
    (root / "dir/deeper/deepest").mkdir(parents=True)
    (root / "file").write_bytes(b"content")
    (root / "empty").write_bytes(b"")
    (root / "dir/linked").hardlink_to(root / "file")
    (root / "link").symlink_to("../outside/nothing")
    os.link(root / "link", root / "dir/linked-link", follow_symlinks=False)
    (root / "absolute").symlink_to("/etc")
    os.mkfifo(root / "pipe", 0o640)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "s"))
    (root / "dir/set").write_bytes(b"#!")
    (root / "dir/set").chmod(0o6755)
    (root / "dir/closed").mkdir()
    (root / "dir/closed/inside").write_bytes(b"x")
    (root / "dir/closed").chmod(0o555)
    (root / "sticky").mkdir()
    (root / "sticky").chmod(0o1777)
    (root / os.fsdecode(b"raw-\xff-name")).write_bytes(b"y")
    with (root / "sparse").open("wb") as sparse:
        sparse.seek(3 << 20)
        sparse.write(b"in the middle")
        sparse.truncate(8 << 20)
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, ns=(TIME + number, TIME - number), follow_symlinks=False)
    os.utime(root, ns=(TIME, TIME))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # a socket's address is short
    root = tmp_path / "t"
    root.mkdir(0o751)
    make_tree(root)
    return root


def copied(tree: Path) -> Path:
    target = tree.parent / "copy"
    target.mkdir(0o700)
    copy_tree(tree, target)
    return target


def test_a_copy_is_the_same(tree: Path) -> None:
    before = described(tree)
    copy = copied(tree)
    assert described(copy) == before
    assert described(tree) == before
    assert (copy / "sparse").stat().st_blocks < 100
    assert disk_usage(copy) == disk_usage(tree)


@pytest.mark.parametrize("lacking", ["clone", "copy_file_range"])
def test_a_copy_without_help_of_the_system(
    tree: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(38, "Function not implemented")

    def shorten(source: int, target: int, count: int, offset: int, to: int) -> int:
        return original(source, target, min(count, 5), offset, to)

    original = os.copy_file_range
    monkeypatch.setattr(fcntl, "ioctl", refuse)
    monkeypatch.setattr(os, "copy_file_range", refuse if lacking == "copy_file_range" else shorten)
    assert described(copied(tree)) == described(tree)


@pytest.mark.root
def test_a_copy_of_what_only_root_can_make(tree: Path) -> None:
    os.mknod(tree / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(tree / "loop", stat.S_IFBLK | 0o660, os.makedev(7, 0))
    os.mknod(tree / "whiteout", stat.S_IFCHR | 0o000, os.makedev(0, 0))
    os.chown(tree / "file", 1000, 2000)
    os.chown(tree / "link", 1001, 2001, follow_symlinks=False)
    os.chown(tree / "dir", 1002, 2002)
    os.chown(tree / "dir/set", 1003, 2003)
    (tree / "dir/set").chmod(0o6755)
    for key, value in (("user.note", b"hello\x00"), ("trusted.overlay.opaque", b"y")):
        os.setxattr(tree / "dir", key, value)
        os.setxattr(tree / "file", key, value)
    os.setxattr(tree / "link", "trusted.on.link", b"1", follow_symlinks=False)
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(tree / "dir/set", "security.capability", capability)
    (tree / "file").chmod(0o400)

    assert described(copied(tree)) == described(tree)


@pytest.mark.root
def test_a_copy_by_somebody_else_than_root(tree: Path) -> None:
    """Read-only files with attributes, and directories that forbid writing."""
    os.setxattr(tree / "file", "user.note", b"x")
    (tree / "file").chmod(0o444)
    for path in (tree.parent, *tree.parent.rglob("*")):
        os.chown(path, 1234, 1234, follow_symlinks=False)
    (tree / "dir/set").chmod(0o6755)
    before = described(tree)
    for path in tree.parents:
        path.chmod(path.stat().st_mode | 0o011)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(1234, 1234, 1234)
            os.setresuid(1234, 1234, 1234)
            assert described(copied(tree)) == before
            remove_tree(tree)
            assert not tree.exists()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_copy_of_a_file_that_becomes_shorter_fails(tmp_path: Path) -> None:
    with (tmp_path / "source").open("w+b") as source, (tmp_path / "target").open("w+b") as target:
        source.write(b"content")
        source.flush()
        with pytest.raises(OSError, match="shorter"):
            copying._copy_range(source.fileno(), target.fileno(), 0, 100)


def test_disk_usage_agrees_with_du(tree: Path) -> None:
    done = subprocess.run(
        ["du", "-s", "--block-size=1", str(tree)], capture_output=True, text=True, check=True
    )
    usage = disk_usage(tree)
    assert usage.size == int(done.stdout.split()[0])
    assert usage.inodes == len({path.lstat().st_ino for path in (tree, *tree.rglob("*"))})
    assert disk_usage(tree / "file").inodes == 1
    with pytest.raises(FileNotFoundError):
        disk_usage(tree / "nothing")


def test_removal(tree: Path) -> None:
    outside = tree.parent / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    (tree / "trap").symlink_to(outside)
    (tree / "dir/deeper/trap").symlink_to("../../../outside")
    remove_tree(tree)
    remove_tree(tree)
    assert [path.name for path in tree.parent.iterdir()] == ["outside"]
    assert (outside / "kept").read_bytes() == b"kept"

    link = tree.parent / "link"
    link.symlink_to(outside)
    remove_tree(link)
    assert not link.is_symlink()
    remove_tree(outside / "kept")
    assert list(outside.iterdir()) == []


def test_removal_is_not_led_astray(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory becomes a link between its listing and its opening."""
    outside = tree.parent / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    original = os.open
    swapped: list[str] = []

    def swap_and_open(
        path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        if path == "dir" and dir_fd is not None and not swapped:
            (tree / "dir").rename(tree / "moved")
            (tree / "dir").symlink_to(outside)
            swapped.append(path)
        return original(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swap_and_open)
    with pytest.raises(NotADirectoryError):
        remove_tree(tree)
    remove_tree(tree)
    assert swapped == ["dir"]
    assert not tree.exists()
    assert (outside / "kept").exists()


def test_removal_of_what_is_deeper_than_any_limit(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    depth = max(sys.getrecursionlimit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0] % 4096) + 100
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("directory", dir_fd=descriptor)
        below = os.open("directory", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    remove_tree(root)
    assert not root.exists()


NAMES = st.sampled_from(["a", "b", "c", "ä", "-", " "])


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=4), st.integers(0, 3)), max_size=20))
def test_copies_of_random_trees(tmp_path: Path, script: list[tuple[list[str], int]]) -> None:
    root = tmp_path / f"{random.getrandbits(64):x}"
    source, target = root / "source", root / "target"
    source.mkdir(parents=True)
    target.mkdir()
    files: list[Path] = []
    for parts, kind in script:
        path = source.joinpath(*parts)
        if os.path.lexists(path) or any(
            os.path.lexists(parent) and not stat.S_ISDIR(parent.lstat().st_mode)
            for parent in path.parents
        ):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == 0:
            path.mkdir()
        elif kind == 1:
            path.symlink_to("/".join(parts))
        elif kind == 2 and files:
            path.hardlink_to(files[-1])
        else:
            path.write_bytes("".join(parts).encode())
            files.append(path)
    copy_tree(source, target)
    assert described(target) == described(source)
    remove_tree(root)
    assert not root.exists()
