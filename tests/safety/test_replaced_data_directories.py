"""Only a directory with the data is another one: a mount that is missing or new, a move, a link."""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING, Final

import pytest

import orlop
from orlop.safety.shutdown_marker import MARKER
from safety.roots import CONTENT, METADATA, NATIVE, add, is_there
from storage.mounting import bound

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORIES: Final = (f"{CONTENT}/blobs", f"{CONTENT}/blobs/sha256", f"{NATIVE}/snapshots")


def make(root: Path, *names: str) -> None:
    with orlop.open(root, sync=False) as database:
        for name in names:
            add(database, name)
        database.gc.run()


def swap(root: Path, other: Path, directory: str, way: str) -> None:
    """Put the directory of another root in the place of this one's, which stays beside it."""
    (root / directory).rename(root / "aside")
    if way == "moved":
        (other / directory).rename(root / directory)
    else:
        (root / directory).symlink_to(other / directory)


@pytest.mark.parametrize("directory", DIRECTORIES)
@pytest.mark.parametrize("way", ["moved", "linked"])
@pytest.mark.parametrize("end", ["closed", "killed", "open"])
def test_data_of_another_root_is_kept(tmp_path: Path, directory: str, way: str, end: str) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    make(root, "a")
    make(other, "x", "y")
    found = sorted(path.name for path in (other / directory).rglob("*"))
    if end == "killed":
        child = os.fork()
        if child == 0:
            database = orlop.open(root, sync=False)
            add(database, "b")
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
    if end == "open":
        database = orlop.open(root, sync=False)
        database.namespace("default").snapshots("native").stat("a")
        swap(root, other, directory, way)
    else:
        swap(root, other, directory, way)
        database = orlop.open(root, sync=False)
    for _ in range(2):
        statistics = database.gc.run(confirmed=True)
        assert statistics.deleted == 0
        if end == "open":
            assert any("was replaced" in why for why in statistics.failures.values())
    database.close()
    assert sorted(path.name for path in (root / directory).rglob("*")) == found
    with orlop.open(root, sync=False) as database:
        database.gc.run(confirmed=True)
    assert sorted(path.name for path in (root / directory).rglob("*")) == found

    # The right one put back makes everything whole.
    if way == "moved":
        (root / directory).rename(other / "back")
    else:
        (root / directory).unlink()
    (root / "aside").rename(root / directory)
    with orlop.open(root, sync=False) as database:
        database.gc.run(confirmed=True)
    assert is_there(root, "a") == []


@pytest.mark.parametrize("directory", [CONTENT, NATIVE, *DIRECTORIES, f"{CONTENT}/ingest"])
def test_writes_stop_when_a_directory_is_replaced(tmp_path: Path, directory: str) -> None:
    root, wrong = tmp_path / "root", tmp_path / "wrong"
    make(root, "a")
    database = orlop.open(root, sync=False)
    add(database, "b")
    (root / directory).rename(root / "aside")
    shutil.copytree(root / "aside", root / directory)
    with pytest.raises(orlop.OrlopError, match="replaced"):
        add(database, "c")
    with pytest.raises(orlop.OrlopError, match="replaced"):
        database.namespace("default").leases.create("late")
    database.close()
    (root / directory).rename(wrong)
    (root / "aside").rename(root / directory)
    with orlop.open(root, sync=False) as database:
        database.gc.run(confirmed=True)
        assert database.faults() == {}
    assert is_there(root, "a") + is_there(root, "b") == []


def test_a_directory_that_the_first_data_makes_is_watched(tmp_path: Path) -> None:
    with orlop.open(tmp_path, sync=False) as database:
        add(database, "a")
        blobs = tmp_path / CONTENT / "blobs/sha256"
        blobs.rename(tmp_path / "aside")
        blobs.mkdir()
        with pytest.raises(orlop.OrlopError, match="replaced"):
            add(database, "b")


@pytest.mark.root
@pytest.mark.parametrize("directory", [CONTENT, NATIVE, f"{NATIVE}/snapshots"])
def test_a_mount_that_is_missing_at_the_first_collection_after_a_power_loss(
    tmp_path: Path, directory: str
) -> None:
    """Records were lost, and the disk with their data is not mounted at first."""
    root, disk = tmp_path / "root", tmp_path / "disk"
    make(root, "a")
    shutil.move(root / directory, disk)
    (root / directory).mkdir()
    with bound(disk, root / directory):
        make(root, "b")
        older = (root / METADATA / "meta.db").read_bytes()
        make(root, "c")
    (root / METADATA / "meta.db").write_bytes(older)
    marker = root / METADATA / "orlop" / MARKER
    marker.write_text(marker.read_text().replace('"boot": ""', '"boot": "another"'))
    for _ in range(2):
        with orlop.open(root, sync=False) as database:
            database.gc.run(confirmed=True)
    with bound(disk, root / directory):
        for _ in range(2):
            with orlop.open(root, sync=False) as database:
                database.gc.run(confirmed=True)
        kind = "blob" if directory == CONTENT else "files"
        assert not [one for one in is_there(root, "c") if one.startswith(kind)]
