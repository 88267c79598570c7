"""On a full disk: a clear refusal, and once there is space again, everything as if it had not been.

Each test has a file system of its own, which is small until it is made larger.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.players import CONTENT, Orlop
from oci.builder import Built, entry, layer
from orlop import digests
from orlop.cli.exit_codes import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

SNAPSHOTS = Path("io.containerd.snapshotter.v1.native", "snapshots")
NOISE = random.Random(7).randbytes(600_000)
"""What no compression makes smaller."""


class SmallDisk:
    """A tmpfs with a root on it."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.path = path
        self.orlop = Orlop(path / "root")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "orlop-test", path], check=True)

    def resize(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", self.path], check=True)

    def fill(self) -> None:
        """Take all the space that is left."""
        with (self.path / "filling").open("wb", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue

    def close(self) -> None:
        subprocess.run(["umount", self.path], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    made = SmallDisk(tmp_path / "disk")
    yield made
    made.close()


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """Return an image that needs more than a megabyte packed, in three blobs."""
    image = Built()
    image.image(
        [layer(entry(f"file{number}", data=NOISE[number:])) for number in range(3)], compress=False
    )
    return image.archive(tmp_path / "big.tar")


@pytest.fixture
def inflating(tmp_path: Path) -> Path:
    """Return an image that is small packed and more than a megabyte unpacked, in two layers."""
    image = Built()
    image.image([layer(entry(f"file{number}", data=bytes(900_000))) for number in range(2)])
    return image.archive(tmp_path / "inflating.tar")


def says_what_and_what_next(err: str) -> bool:
    """Whether the text is one line that names the place, the reason and the remedy."""
    place, _, rest = err.removeprefix("orlop: ").partition(": ")
    return (
        err.count("\n") == 1
        and bool(place)
        and "No space left on device" in rest
        and "make space" in rest
    )


def remains(orlop: Orlop) -> list[str]:
    """Return the contents of database and disk, except the database file."""
    listed = [
        line
        for group in ("image", "content", "snapshot", "lease")
        for line in orlop(group, "ls", "--json").lines
    ]
    files = [
        str(path)
        for folder in (CONTENT / "blobs" / "sha256", CONTENT / "ingest", SNAPSHOTS)
        if (orlop.root / folder).exists()
        for path in (orlop.root / folder).iterdir()
    ]
    return listed + orlop("content", "ingests", "--json").lines + files


def test_an_import_that_does_not_fit(disk: SmallDisk, big: Path) -> None:
    orlop = disk.orlop

    answer = orlop("image", "import", big, "--quiet", code=SYSTEM)

    assert says_what_and_what_next(answer.err)
    assert answer.out == ""
    assert orlop("image", "ls", "--json").lines == []
    # The lease of the import has ended with it, so nothing holds what it had brought so far.
    orlop("gc", "run")
    assert remains(orlop) == []
    disk.resize("10m")
    orlop("image", "import", big, "--unpack", "native", "--quiet")
    orlop("content", "verify")
    orlop("db", "check")


def test_an_unpacking_that_does_not_fit(disk: SmallDisk, inflating: Path) -> None:
    orlop = disk.orlop

    answer = orlop("image", "import", inflating, "--unpack", "native", "--quiet", code=SYSTEM)

    assert says_what_and_what_next(answer.err)
    assert "layer sha256:" in answer.err
    # The image is there; only its snapshots are not, and the next collection takes their files.
    assert orlop("image", "ls", "--json").objects()
    orlop("gc", "run")
    assert list((orlop.root / SNAPSHOTS).iterdir()) == []
    assert orlop("snapshot", "ls", "--json").lines == []
    assert orlop("lease", "ls", "--json").lines == []
    disk.resize("10m")
    orlop("image", "import", inflating, "--unpack", "native", "--quiet")
    assert len(orlop("snapshot", "ls", "--json").objects()) == 2
    orlop("db", "check")


def test_an_ingest_that_does_not_fit_takes_no_space_afterwards(
    disk: SmallDisk, tmp_path: Path
) -> None:
    orlop, data = disk.orlop, tmp_path / "data"
    data.write_bytes(NOISE * 4)
    digest = digests.from_bytes(NOISE * 4)

    answer = orlop("content", "ingest", "unknown", data, code=SYSTEM)

    assert says_what_and_what_next(answer.err)
    assert remains(orlop) == []
    answer = orlop("content", "ingest", "known", data, "--expected", digest, code=SYSTEM)
    assert "resume" in answer.err
    orlop("content", "abort", "known")  # as the message says, on the full disk
    assert remains(orlop) == []
    orlop("content", "ingest", "known", data, "--expected", digest, code=SYSTEM)
    disk.resize("10m")
    orlop("content", "ingest", "known", data, "--expected", digest)
    orlop("content", "verify")


def test_no_space_for_the_database(disk: SmallDisk) -> None:
    orlop = disk.orlop
    orlop("lease", "create", "first")
    disk.fill()
    made = 1
    # The file has some room of its own.
    while True:
        ended = orlop.ended("lease", "create", f"lease{made}", "--label", "k=" + "v" * 4000)
        if ended.code:
            break
        made += 1

    assert ended.code == SYSTEM
    assert says_what_and_what_next(ended.err)
    assert "meta.db" in ended.err
    assert len(orlop("lease", "ls", "--json").objects()) == made
    orlop("db", "check")
    (disk.path / "filling").unlink()
    orlop("lease", "create", "last", "--label", "k=" + "v" * 4000)
    assert len(orlop("lease", "ls", "--json").objects()) == made + 1
    orlop("db", "check")


def test_what_else_needs_space(disk: SmallDisk, greeting: Path, tmp_path: Path) -> None:
    orlop = disk.orlop
    orlop("image", "import", greeting, "--quiet")
    (image,) = orlop("image", "ls", "--json").objects()
    large = tmp_path / "large"
    large.write_bytes(NOISE * 2)
    disk.fill()

    for arguments in (
        ("content", "ingest", "ref", large),
        ("image", "export", disk.path / "out.tar", image["name"], "--quiet"),
        ("db", "backup", disk.path / "copy.db"),
        ("--root", disk.path / "other", "lease", "create"),
        ("image", "import", greeting, "--unpack", "native", "--quiet"),
    ):
        answer = orlop(*arguments, code=SYSTEM)
        assert says_what_and_what_next(answer.err), answer.err
    # Nothing stands there under the name of something whole.
    assert {path.name for path in disk.path.iterdir()} == {"filling", "root", "other"}

    (disk.path / "filling").unlink()
    orlop("gc", "run")
    orlop("--root", disk.path / "other", "lease", "create")
    orlop("image", "export", disk.path / "out.tar", image["name"], "--quiet")
    orlop("image", "import", greeting, "--unpack", "native", "--quiet")
    orlop("image", "rm", image["name"])
    orlop("gc", "run")
    assert remains(orlop) == []
    orlop("db", "check")


def test_a_collection_needs_no_space_that_is_not_there(disk: SmallDisk, greeting: Path) -> None:
    orlop = disk.orlop
    orlop("image", "import", greeting, "--unpack", "native", "--quiet")
    (image,) = orlop("image", "ls", "--json").objects()
    disk.fill()

    orlop("image", "rm", image["name"])
    orlop("gc", "run")

    assert remains(orlop) == []
    orlop("db", "check")
