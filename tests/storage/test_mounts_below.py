"""Removal stops at mount points: mounted data belongs to another owner."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from orlop.explain.owners import mount_of
from orlop.oci import safe_path
from orlop.storage import mounts, removal
from orlop.storage.mounts import MountedError, mount_id, mounts_in, read_mounts
from orlop.storage.removal import remove_tree, remove_trees
from storage.mounting import bound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.root


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    precious = tmp_path / "precious"
    (precious / "sub" / "deeper").mkdir(parents=True)
    (precious / "file").write_text("data")
    (precious / "sub" / "file").write_text("data")
    return precious


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "snapshots" / "1"
    (tree / "fs" / "a b\\c" / "d").mkdir(parents=True)
    (tree / "fs" / ODD).mkdir()
    (tree / "fs" / "file").write_text("garbage")
    (tree / "other").mkdir()
    (tree / "other" / "file").write_text("garbage")
    return tree


def listed(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


ODD = "x\r\v\f\x1c\x85\u2028y"
"""Characters at which texts or bytes are split into lines or words, and which a table may hold."""

PLACES = [".", "other", "fs", "fs/a b\\c", "fs/a b\\c/d", f"fs/{ODD}"]


def test_the_table_of_mounts_is_read_whatever_names_are_in_it(tree: Path, precious: Path) -> None:
    place = tree / "fs" / ODD
    with bound(precious, place):
        assert mounts_in(tree) == {"fs": str(place)}
        assert [one.point for one in read_mounts()].count(str(place)) == 1
        found = mount_of(str(place / "file"))
    assert found is not None
    assert found[0].point == str(place)
    assert str(precious) in found[1]


@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_deleted_where_a_directory_is_mounted(
    tree: Path, precious: Path, place: str
) -> None:
    before = listed(precious)
    garbage = listed(tree)
    with bound(precious, tree / place):
        with pytest.raises(MountedError) as raised:
            remove_tree(tree)
        assert raised.value.filename == str(tree / place)
        assert listed(precious) == before
    assert listed(tree) == garbage
    remove_tree(tree)
    assert not tree.exists()


@pytest.mark.parametrize("place", ["fs/file", "other/file"])
def test_nothing_is_deleted_where_a_file_is_mounted(tree: Path, precious: Path, place: str) -> None:
    with bound(precious / "file", tree / place):
        with pytest.raises(MountedError) as raised:
            remove_tree(tree)
        assert raised.value.filename == str(tree / place)
        assert (precious / "file").read_text() == "data"
        with pytest.raises(MountedError):
            remove_tree(tree / place)
    remove_tree(tree)
    assert not tree.exists()


def test_another_file_system_is_not_entered(tree: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "none", tree / "other"], check=True)
    try:
        (tree / "other" / "kept").touch()
        with pytest.raises(MountedError, match="unmount it, and collect again"):
            remove_tree(tree)
        assert (tree / "other" / "kept").exists()
    finally:
        subprocess.run(["umount", tree / "other"], check=True)


@pytest.mark.parametrize("place", PLACES)
def test_what_is_mounted_after_the_table_was_read_is_not_entered(
    tree: Path, precious: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listed(precious)
    monkeypatch.setattr(removal, "mounts_in", lambda _: {})
    with bound(precious, tree / place):
        with pytest.raises(MountedError) as raised:
            remove_tree(tree)
        assert listed(precious) == before
    assert raised.value.filename.endswith(place.rpartition("/")[2].lstrip("."))
    remove_tree(tree)


def test_a_directory_on_a_mount_of_its_own_is_removed(tree: Path) -> None:
    """The directory of all snapshots may itself be a mount point."""
    with bound(tree.parent, tree.parent):
        remove_tree(tree)
        assert not tree.exists()


def test_a_mount_is_found_through_a_symbolic_link(tree: Path, precious: Path) -> None:
    link = tree.parent.with_name("link")
    link.symlink_to(tree.parent)
    with bound(precious, tree / "fs"), bound(precious, tree / "fs" / "sub"):
        assert mounts_in(link) == {"1": str(tree / "fs")}
        with pytest.raises(MountedError):
            remove_tree(link / "1")


def test_the_rest_of_many_trees_is_removed(tree: Path, precious: Path) -> None:
    others = [tree.with_name(name) for name in ("2", "3")]
    for other in others:
        other.mkdir()
    with bound(precious, tree / "fs"):
        with pytest.raises(MountedError):
            remove_trees([others[0], tree, others[1]])
        assert not any(other.exists() for other in others)


def test_a_layer_does_not_delete_through_a_mount(tree: Path, precious: Path) -> None:
    before = listed(precious)
    with bound(precious, tree / "fs" / "a b\\c"), opened(tree) as descriptor:
        with pytest.raises(MountedError):
            safe_path.remove(descriptor, b"fs")
        assert listed(precious) == before


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_PATH)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_without_proc_the_system_still_keeps_what_is_mounted_deeper(
    tree: Path, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "_TABLE", tree / "none")
    monkeypatch.setattr(mounts, "_DESCRIPTORS", str(tree / "none"))
    before = listed(precious)
    with opened(tree) as descriptor:
        assert mount_id(descriptor) is None
    assert mounts_in(tree) == {}
    with bound(precious, tree / "fs" / "a b\\c"), pytest.raises(MountedError):
        remove_tree(tree)
    assert listed(precious) == before
