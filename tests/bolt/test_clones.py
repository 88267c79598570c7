"""Where the file system can clone a file in one step, a busy one is read from its clone."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from bolt.model_bucket import contents
from orlop.bolt import FileDisk, open_engine
from orlop.kv import StaleReadError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE_BYTES = 400 * 1024 * 1024
MAKERS = {
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
    "btrfs": ["mkfs.btrfs", "-q"],
}


@pytest.fixture(params=MAKERS)
def cloning(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a file system that clones."""
    maker = MAKERS[request.param]
    if shutil.which(maker[0]) is None or os.geteuid():
        pytest.skip(f"needs {maker[0]} (Debian: xfsprogs, btrfs-progs) and root")
    image, folder = tmp_path / "image", tmp_path / "mounted"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run([*maker, image], check=True, capture_output=True)
    mounted = subprocess.run(["mount", "-o", "loop", image, folder], check=False)
    if mounted.returncode:
        pytest.skip(f"{request.param} cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_busy_file_is_read_from_its_clone(cloning: Path) -> None:
    path = cloning / "busy.db"
    writer = open_engine(path)

    def write(number: int) -> None:
        with writer.begin(writable=True) as transaction:
            bucket = transaction.root.create_bucket_if_absent(b"v1")
            bucket.put(b"number", b"%d" % number)

    write(0)
    reader = open_engine(path, read_only=True)
    for number in range(1, 4):
        transaction = reader.begin()
        write(number)
        with pytest.raises(StaleReadError):
            transaction.rollback()
    with reader.begin() as transaction:
        for number in range(4, 9):
            write(number)
        assert contents(transaction.root) == {b"v1": {b"number": b"3"}}
    assert [one.name for one in cloning.iterdir() if one.is_file()] == ["busy.db"]
    reader.close()
    writer.close()


def test_another_file_system_says_that_it_cannot(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    open_engine(path).close()
    disk = FileDisk.for_reading(path)
    clone = disk.clone()
    if clone is not None:
        assert clone.read(0, clone.size()) == path.read_bytes()
        clone.close()
    disk.close()
