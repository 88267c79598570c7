"""Every command that reads leaves a daemon's files as they are; a copy can be worked on."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from cli.players import METADATA, Orlop, root_of

if TYPE_CHECKING:
    from pathlib import Path

STAGES = (
    "v1.6-03-unpacked-overlayfs",
    "v1.6-07-leases-ns2-ingest",
    "v1.6-12-all-gone-after-gc",
    "v2-03-unpacked-overlayfs",
    "v2-08b-sandbox",
    "v2-12-all-gone-after-gc",
)
LISTINGS = [
    (group, "ls")
    for group in ("image", "content", "snapshot", "container", "lease", "sandbox", "namespace")
]
METADATA_QUESTIONS = [
    *LISTINGS,
    ("snapshot", "tree"),
    ("gc", "plan"),
    ("db", "info"),
    ("db", "check"),
    ("db", "tree"),
    ("db", "dump"),
]


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def root(stage: str, data: Path, tmp_path: Path) -> Path:
    """Return a root as the daemon left it, but for the blobs."""
    return root_of(data, stage, tmp_path / "golden")


def state(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return mode, time and bytes of all files below a directory, and that of directories."""
    return {
        str(path): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in (root, *root.rglob("*"))
    }


def test_reading_changes_nothing(root: Path, tmp_path: Path) -> None:
    before = state(root)
    ask = Orlop(root)

    for question in (*METADATA_QUESTIONS, ("content", "ingests"), ("db", "migrate", "--help")):
        assert ask(*question, "--json").err == ""
        assert ask(*question).err == ""
    for image in ask("image", "ls", "--json").objects():
        ask("image", "inspect", image["name"])
    # The blobs are not here, which `verify` says, and changes nothing either.
    blobs = ask("content", "ls", "--json").objects()
    answer = ask("content", "verify", "--json", code=1 if blobs else 0)
    assert {one["fault"] for one in answer.objects()} <= {"the data is missing"}
    ask("db", "backup", tmp_path / "copy.db")

    assert state(root) == before


def test_reading_a_bare_file_changes_nothing(data: Path, stage: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = folder / "meta.db"
    shutil.copy(data / "meta-db" / f"{stage}.db", file)
    before = state(folder)

    for question in METADATA_QUESTIONS:
        assert Orlop(tmp_path)("--db", file, *question, "--json").err == ""

    assert state(folder) == before


def test_the_file_is_sound_and_known(root: Path, stage: str) -> None:
    ask = Orlop(root)

    assert ask("db", "check", "--json").document()["sound"] is True
    shown = ask("db", "info", "--json").document()
    assert shown["schema_version"] == (3 if stage.startswith("v1.6") else 4)
    assert set(shown["namespaces"]) == {
        one["name"] for one in ask("namespace", "ls", "--json").objects()
    }


def test_a_backup_says_the_same(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    ask = Orlop(root)

    ask("db", "backup", copy)

    assert ask("db", "dump", copy).raw == ask("db", "dump").raw
    assert ask("db", "check", copy).lines == [f"{copy}: sound"]


def places(one: dict[str, Any], group: str = "") -> list[str]:
    """Return the options that say where an object of a listing is."""
    options = [] if group == "namespace" else ["-n", one["namespace"]]
    has_snapshotter = "snapshotter" in one and group != "container"
    return [*options, "--snapshotter", one["snapshotter"]] if has_snapshotter else options


def test_every_object_that_a_daemon_made_can_be_labelled(root: Path) -> None:
    """Open for writing, change one record, and find everything else unchanged."""
    orlop = Orlop(root)
    before = {listing: orlop(*listing, "--json").objects() for listing in LISTINGS}

    for (group, _), objects in before.items():
        for one in objects:
            name = one.get("digest") or one.get("name") or one["id"]
            if (group, one.get("snapshotter")) != ("snapshot", "native"):
                orlop(group, "label", name, "orlop.test/x=y", *places(one, group))

    for (group, _), objects in before.items():
        for old, new in zip(objects, orlop(group, "ls", "--json").objects(), strict=True):
            labels = new["labels"].copy()
            marked = labels.pop("orlop.test/x", None)
            # What the native snapshotter had is not part of these files.
            assert marked == "y" or new["snapshotter"] == "native"
            assert labels == old["labels"]
            for volatile in ("labels", "updated_at"):
                old.pop(volatile, None)
                new.pop(volatile, None)
            assert new == old
    assert orlop("db", "check", "--json").document()["sound"] is True


def test_every_object_that_a_daemon_made_can_be_removed(root: Path) -> None:
    orlop = Orlop(root)

    for group in ("lease", "container", "sandbox", "image"):
        for one in orlop(group, "ls", "--json").objects():
            orlop(group, "rm", one.get("name") or one["id"], "-n", one["namespace"])
    for group in ("content", "snapshot"):
        for one in orlop(group, "ls", 'labels."containerd.io/gc.root"', "--json").objects():
            name = one.get("digest") or one["name"]
            orlop(group, "label", name, "containerd.io/gc.root=", *places(one))
    # A daemon wrote it: what is garbage on disk goes only when somebody says so.
    orlop("gc", "run", "--release", "--yes")
    for namespace in orlop("namespace", "ls", "--json").objects():
        orlop("namespace", "rm", namespace["name"])

    schema = json.loads(orlop("db", "dump").raw)["items"][-1]["bucket"]["items"]
    assert [bytes.fromhex(item["key"]) for item in schema] == [b"version"]
    assert orlop("db", "check", "--json").document()["sound"] is True
    assert (root / METADATA).exists()
