"""Every command that reads damaged data ends with one exit code and one line."""

from __future__ import annotations

import random
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.players import CONTENT, METADATA
from oci.builder import Built, entry, layer
from orlop.cli.exit_codes import CORRUPT
from orlop.labels import GC_ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.players import Orlop

NAME = "example.com/noise:v1"
METASTORE = Path("io.containerd.snapshotter.v1.native", "metadata.db")
NOISE = random.Random(5).randbytes(6000)


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "flipped": flip,
    "cut": lambda data: data[: len(data) // 2],
    "longer": lambda data: data + b"more",
    "zeros": lambda data: bytes(len(data)),
    "empty": lambda _: b"",
}


def built(*, compress: bool) -> Built:
    image = Built()
    image.image(
        [layer(entry(f"file{number}", data=NOISE[number:])) for number in range(2)],
        compress=compress,
        name=NAME,
    )
    return image


@pytest.fixture(params=[True, False], ids=["packed", "plain"])
def image(request: pytest.FixtureRequest) -> Built:
    return built(compress=request.param)


def says_damaged(orlop: Orlop, *arguments: str | Path) -> str:
    """Run a command that must end as damaged; return its line."""
    answer = orlop(*arguments, code=CORRUPT)
    assert answer.err.startswith("orlop: ")
    assert answer.err.count("\n") == 1, answer.err
    return answer.err


def blob(orlop: Orlop, digest: str) -> Path:
    algorithm, _, text = digest.partition(":")
    return orlop.root / CONTENT / "blobs" / algorithm / text


def damage(file: Path, how: str) -> None:
    file.chmod(0o644)
    file.write_bytes(DAMAGES[how](file.read_bytes()))


@pytest.mark.parametrize("which", range(4), ids=["layer", "layer 2", "config", "manifest"])
@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_blob_in_the_store(
    orlop: Orlop, image: Built, tmp_path: Path, which: int, how: str
) -> None:
    orlop("image", "import", image.archive(tmp_path / "image.tar"), "--quiet")
    digest = list(image.blobs)[which]
    damage(blob(orlop, digest), how)

    for command in (
        ("image", "export", tmp_path / "out.tar", NAME, "--quiet"),
        ("image", "export", "-", NAME, "--quiet"),
        ("image", "unpack", NAME, "--snapshotter", "native", "--quiet"),
        ("content", "cat", digest),
    ):
        assert digest in says_damaged(orlop, *command)
    assert not (tmp_path / "out.tar").exists()
    assert [
        one["digest"]
        for one in orlop("content", "verify", "--json", code=1).objects()
        if not one["sound"]
    ] == [digest]


@pytest.mark.parametrize("which", range(4), ids=["layer", "layer 2", "config", "manifest"])
@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_blob_in_an_archive_or_layout(
    orlop: Orlop, image: Built, tmp_path: Path, which: int, how: str
) -> None:
    digest = list(image.blobs)[which]
    image.blobs[digest] = DAMAGES[how](image.blobs[digest])
    archive = image.archive(tmp_path / "image.tar")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / "layout", filter="data")

    for path in (archive, tmp_path / "layout"):
        for options in ((), ("--unpack", "native")):
            assert digest in says_damaged(orlop, "image", "import", path, *options, "--quiet")
    assert orlop("image", "ls", "--json").lines == []


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_an_archive_that_is_cut_off(
    orlop: Orlop, image: Built, tmp_path: Path, share: float
) -> None:
    archive = image.archive(tmp_path / "image.tar")
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(len(whole) * share) // 512 * 512 + 600])

    says_damaged(orlop, "image", "import", archive, "--quiet")


@pytest.mark.parametrize("seed", range(40))
def test_an_archive_with_one_wrong_byte_is_damaged_or_imported_right(
    orlop: Orlop, image: Built, tmp_path: Path, seed: int
) -> None:
    """A byte that no checksum covers (padding, an unused field) may be wrong."""
    archive = image.archive(tmp_path / "image.tar")
    whole = bytearray(archive.read_bytes())
    draw = random.Random(seed)
    whole[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
    archive.write_bytes(whole)

    ended = orlop.ended("image", "import", archive, "--quiet", "--unpack", "native")

    # The index is the one document whose digest nobody states, and a wrong name or type in a
    # header whose checksum is right is impossible: the checksum covers it.
    assert ended.code in {0, CORRUPT} or "index" in ended.err, ended.err
    if ended.code == 0:
        orlop("content", "verify")


NATIVE = ("--snapshotter", "native")
WITH_SNAPSHOTS = (
    ("snapshot", "ls"),
    ("snapshot", "tree"),
    ("snapshot", "usage"),
    ("snapshot", "usage", "key"),
    ("snapshot", "mounts", "key"),
    ("snapshot", "prepare", "another", *NATIVE),
    ("snapshot", "view", "another", "base", *NATIVE),
    ("snapshot", "commit", "name", "key", *NATIVE),
    ("snapshot", "label", "key", "a=b", *NATIVE),
)


@pytest.mark.parametrize("command", WITH_SNAPSHOTS, ids=" ".join)
@pytest.mark.parametrize("how", ["cut", "noise"])
def test_a_damaged_database_of_a_snapshotter(
    orlop: Orlop, how: str, command: tuple[str, ...]
) -> None:
    orlop("snapshot", "prepare", "first", *NATIVE)
    orlop("snapshot", "commit", "base", "first", "--label", f"{GC_ROOT}=x", *NATIVE)
    orlop("snapshot", "prepare", "key", "base", "--label", f"{GC_ROOT}=x", *NATIVE)
    file = orlop.root / METASTORE
    whole = file.read_bytes()
    noise = random.Random(2).randbytes(len(whole) - 8192)
    file.write_bytes({"cut": whole[:8192], "noise": whole[:8192] + noise}[how])
    damaged = file.read_bytes()

    answer = orlop(*command, code=CORRUPT)

    assert str(METASTORE) in answer.err
    assert "orlop db check" in answer.err
    assert file.read_bytes() == damaged


@pytest.mark.parametrize("how", ["cut", "noise"])
def test_the_first_write_to_a_damaged_meta_db_and_each_after_it(orlop: Orlop, how: str) -> None:
    orlop("lease", "create", "first")
    file = orlop.root / METADATA
    whole = file.read_bytes()
    noise = random.Random(2).randbytes(len(whole) - 8192)
    file.write_bytes({"cut": whole[:8192], "noise": whole[:8192] + noise}[how])

    for _ in range(2):
        for command in (("lease", "create"), ("lease", "rm", "first"), ("gc", "run")):
            assert "orlop db salvage" in says_damaged(orlop, *command)
