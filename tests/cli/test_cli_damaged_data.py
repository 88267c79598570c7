"""Listings, questions and plans name data that is missing or damaged, in text and as JSON."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from cli.players import CONTENT
from stores import damaging

if TYPE_CHECKING:
    from pathlib import Path

    from cli.players import Orlop

NAME = "example.com/greeting:v1"
DAMAGES = {
    "deleted": (damaging.delete, "the data is missing"),
    "cut": (damaging.cut, "bytes instead of"),
    "lengthened": (damaging.lengthen, "bytes instead of"),
    "directory": (damaging.replace_by_directory, "a directory is in the place of its file"),
    "pipe": (damaging.replace_by_pipe, "a pipe is in the place of its file"),
}


def blobs(orlop: Orlop) -> list[str]:
    return [str(one["digest"]) for one in orlop("content", "ls", "--json").objects()]


def file_of(orlop: Orlop, digest: str) -> Path:
    return orlop.root / CONTENT / "blobs" / digest.replace(":", "/")


def snapshots(orlop: Orlop) -> list[tuple[str, Path]]:
    """Return the keys of the native snapshots, and their directories, from the lowest up."""
    root = orlop.root / "io.containerd.snapshotter.v1.native/snapshots"
    keys: list[str] = []
    listed = orlop("snapshot", "ls", "--json").objects()
    parent = ""
    while above := [str(one["name"]) for one in listed if one["parent"] == parent]:
        keys.append(above[0])
        parent = above[0]
    numbers = sorted(root.iterdir(), key=lambda one: int(one.name))
    return list(zip(keys, numbers, strict=True))


def faults(document: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(one["type"], one["key"]): one["fault"] for one in document.get("faults", ())}


def test_a_sound_root_has_no_faults(with_image: Orlop) -> None:
    for command in (("image", "ls"), ("content", "ls"), ("snapshot", "ls")):
        assert all("fault" not in "".join(one) for one in with_image(*command, "--json").objects())
        assert "FAULT" not in with_image(*command).out
    assert "faults" not in with_image("gc", "plan", "--json").document()
    assert with_image("image", "inspect", NAME, "--json").document()["missing"] == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_blob_is_named_everywhere(with_image: Orlop, damage: str) -> None:
    do, words = DAMAGES[damage]
    for digest in blobs(with_image):
        file = file_of(with_image, digest)
        kept = file.read_bytes()
        do(file)

        (row,) = [one for one in with_image("content", "ls", "--json").objects() if "fault" in one]
        assert row["digest"] == digest
        assert words in row["fault"]
        assert words in with_image("content", "ls").out
        (image,) = with_image("image", "ls", "--json").objects()
        assert faults(image) == {("content", digest): row["fault"]}
        assert digest in with_image("image", "ls").out.split("FAULT")[1]
        shown = with_image("image", "inspect", NAME, "--json").document()
        assert shown["missing"] == [digest]
        assert faults(shown) == faults(image)
        assert words in with_image("image", "inspect", NAME).out
        assert faults(with_image("gc", "plan", "--json").document()) == faults(image)
        assert words in with_image("gc", "plan").out
        (owner,) = with_image("owner", file, "--json").document()["owners"]
        assert owner["fault"] == row["fault"]
        assert words in with_image("owner", file).out

        if file.is_dir():
            file.rmdir()
        else:
            file.unlink(missing_ok=True)
        file.write_bytes(kept)


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_import_puts_every_blob_back(with_image: Orlop, greeting: Path, damage: str) -> None:
    for digest in blobs(with_image):
        DAMAGES[damage][0](file_of(with_image, digest))

    answer = with_image("image", "import", greeting)

    assert answer.err.count("was there already") == 0
    with_image("content", "verify")
    with_image("image", "export", with_image.root / "out.tar", NAME)


def test_bytes_that_differ_are_put_back_with_verify(with_image: Orlop, greeting: Path) -> None:
    for digest in blobs(with_image):
        damaging.flip(file_of(with_image, digest))
    with_image("content", "verify", code=1)

    with_image("image", "import", greeting, "--verify")

    with_image("content", "verify")


def test_a_blob_is_ingested_again(orlop: Orlop, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"Ahoy there")
    (digest,) = orlop("content", "ingest", "one", data).lines
    damaging.cut(file_of(orlop, digest))
    assert "instead of" in orlop("content", "cat", digest, code=7).err

    orlop("content", "ingest", "two", data, "--expected", digest)

    assert orlop("content", "cat", digest).raw == b"Ahoy there"
    damaging.flip(file_of(orlop, digest))
    orlop("content", "ingest", "three", data, "--expected", digest, code=4)
    orlop("content", "ingest", "three", data, "--expected", digest, "--verify")
    assert orlop("content", "cat", digest).raw == b"Ahoy there"


def test_a_missing_blob_is_said_to_be_missing_not_unknown(with_image: Orlop) -> None:
    digest = blobs(with_image)[0]
    file_of(with_image, digest).unlink()

    answer = with_image("content", "cat", digest, code=3)

    assert "the data is missing" in answer.err
    assert "orlop image import" in answer.err


def test_a_deleted_snapshot_directory_is_named_everywhere(
    with_image: Orlop, greeting: Path
) -> None:
    for number, (key, directory) in enumerate(snapshots(with_image)):
        shutil.rmtree(directory)

        rows = with_image("snapshot", "ls", "--json").objects()
        (row,) = [one for one in rows if "fault" in one]
        assert row["name"] == key
        assert str(directory) in row["fault"]
        assert "is missing" in with_image("snapshot", "ls").out
        (image,) = with_image("image", "ls", "--json").objects()
        assert faults(image) == {("snapshot", f"native/{key}"): row["fault"]}
        shown = with_image("image", "inspect", NAME, "--json").document()
        assert shown["missing"] == [f"native/{key}"]
        assert faults(with_image("gc", "plan", "--json").document()) == faults(image)
        assert str(directory) in with_image("gc", "plan").out
        (owner,) = with_image("owner", directory, "--json").document()["owners"]
        assert owner["fault"] == row["fault"]
        answer = with_image("snapshot", "prepare", f"work{number}", key, code=7)
        assert str(directory) in answer.err
        assert "orlop image unpack" in answer.err
        with_image("snapshot", "view", f"look{number}", key, code=7)

        with_image("image", "import", greeting, "--unpack", "native")
        assert "FAULT" not in with_image("snapshot", "ls").out


def test_a_snapshot_that_its_backend_does_not_have_is_listed(with_image: Orlop) -> None:
    with_image("db", "backup", with_image.root / "copy.db")
    backup = (
        with_image.root / "io.containerd.metadata.v1.bolt/meta.db",
        with_image.root / "io.containerd.snapshotter.v1.native/metadata.db",
    )
    older = backup[1].read_bytes()
    with_image("snapshot", "prepare", "work")
    backup[1].write_bytes(older)

    rows = {one["name"]: one for one in with_image("snapshot", "ls", "--json").objects()}

    assert rows["work"]["kind"] == "unknown"
    assert "gone from the backend" in rows["work"]["fault"]
    assert [one for one in rows.values() if "fault" in one] == [rows["work"]]


def test_usage_lists_what_is_there_and_names_the_rest(with_image: Orlop) -> None:
    with_image("snapshot", "prepare", "work")
    with_image("snapshot", "prepare", "gone")
    directory = with_image("snapshot", "mounts", "gone", "--json").document()[0]["source"]
    shutil.rmtree(directory)

    answer = with_image("snapshot", "usage", "--json")

    assert "work" in {one["key"] for one in answer.objects()}
    assert "gone" not in {one["key"] for one in answer.objects()}
    assert directory in answer.err
    with_image("snapshot", "usage", "gone", code=7)


def test_a_bare_file_knows_of_no_faults(with_image: Orlop) -> None:
    file_of(with_image, blobs(with_image)[0]).unlink()
    meta = with_image.root / "io.containerd.metadata.v1.bolt/meta.db"

    assert "FAULT" not in with_image("--db", meta, "content", "ls").out
    assert "FAULT" not in with_image("--db", meta, "image", "ls").out


def test_another_namespaces_faults_are_not_shown(with_image: Orlop) -> None:
    digest = blobs(with_image)[0]
    file_of(with_image, digest).unlink()

    assert faults(with_image("gc", "plan", "--json", "-n", "other").document()) == {}
    assert len(faults(with_image("gc", "plan", "--json", "-n", "default").document())) == 1
