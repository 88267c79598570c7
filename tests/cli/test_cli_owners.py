"""`orlop owner` of unnamed data: its forecast equals the next collection's action."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import orlop as library
from collector.making import make_blob
from orlop import Container, ProtoAny, Runtime

if TYPE_CHECKING:
    from cli.players import Orlop

CONTENT = "io.containerd.content.v1.content"
NATIVE = "io.containerd.snapshotter.v1.native"
METADATA = "io.containerd.metadata.v1.bolt"
DIGEST = "0" * 64
SAID = {
    "removed": "the next collection removes it",
    "untouched": "no collection removes it",
    "set aside": "collections set it aside",
}


@pytest.fixture
def store(orlop: Orlop) -> Orlop:
    """A root with one reachable blob and one reachable snapshot, and no doubt."""
    with library.open(orlop.root) as database:
        ns = database.namespace("default")
        make_blob(ns, b"held", {"containerd.io/gc.root": "x"})
        (mount,) = ns.snapshots("native").prepare("active", labels={"containerd.io/gc.root": "x"})
        Path(mount.source, "file").write_bytes(b"in a snapshot")
        ns.containers.create(
            Container(
                id="task",
                runtime=Runtime(name="runc"),
                spec=ProtoAny(type_url="spec", value=b""),
                snapshotter="native",
                snapshot_key="active",
            )
        )
        database.gc.run()
    return orlop


JUNK = [
    f"{CONTENT}/blobs/sha256/junk",
    f"{CONTENT}/blobs/sha256/{DIGEST.replace('0', 'A')}",
    f"{CONTENT}/blobs/sha256/{DIGEST}.tmp",
    f"{CONTENT}/blobs/sha256/{DIGEST}",
    f"{CONTENT}/blobs/sha512/{DIGEST}{DIGEST}",
    f"{CONTENT}/blobs/md5/{DIGEST}",
    f"{CONTENT}/blobs/junk",
    f"{CONTENT}/junk",
    f"{CONTENT}/.gone-0123",
    f"{CONTENT}/.new-0123/data",
    f"{CONTENT}/.rm-0123/data",
    f"{CONTENT}/ingest/junk/data",
    f"{CONTENT}/ingest/{DIGEST}/ref",
    f"{CONTENT}/.orlop/junk",
    f"{NATIVE}/junk",
    f"{NATIVE}/.orlop/junk",
    f"{NATIVE}/snapshots/77/file",
    f"{NATIVE}/snapshots/new-1/file",
    f"{NATIVE}/snapshots/rm-1/file",
    f"{NATIVE}/snapshots/unheard-of/file",
    "io.containerd.snapshotter.v1.btrfs/snapshots/1/file",
    "io.containerd.snapshotter.v1.btrfs/junk",
    f"{METADATA}/junk",
    f"{METADATA}/orlop/junk",
]


@pytest.mark.parametrize("place", JUNK)
def test_junk_goes_if_and_only_if_owner_says_so(store: Orlop, place: str) -> None:
    path = store.root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"junk")

    answer = store("owner", path, "--json", code=1).document()
    assert answer["owners"] == []
    assert SAID[answer["forecast"]] in store("owner", path, code=1).lines[1]

    with library.open(store.root) as database:
        database.gc.run(confirmed=True)
    assert path.exists() == (answer["forecast"] != "removed")


@pytest.mark.parametrize(
    "place", [f"{CONTENT}/blobs/sha256/{DIGEST}", f"{NATIVE}/snapshots/77", f"{CONTENT}/ingest/x"]
)
def test_what_is_not_there_is_not_announced(store: Orlop, place: str) -> None:
    path = store.root / place
    answer = store("owner", path, "--json", code=1).document()
    assert (answer["owners"], answer["exists"], answer["forecast"]) == ([], False, "absent")
    assert store("owner", path, code=1).lines[1] == "  no record: nothing is there"


def test_a_path_that_is_not_in_its_snapshot(store: Orlop) -> None:
    inside = store.root / NATIVE / "snapshots" / "1" / "not-there"
    answer = store("owner", inside, "--json").document()
    assert (answer["exists"], len(answer["owners"])) == (False, 1)
    assert store("owner", inside).lines[-1] == "  nothing is at this path"


@pytest.mark.parametrize("kind", ["symlink", "directory"])
def test_what_has_the_name_of_a_blob_and_is_none(store: Orlop, kind: str) -> None:
    path = store.root / CONTENT / "blobs" / "sha256" / DIGEST
    if kind == "symlink":
        path.symlink_to("/etc/hostname")
    else:
        path.mkdir()
    assert store("owner", path, "--json", code=1).document()["forecast"] == "untouched"
    with library.open(store.root) as database:
        database.gc.run()
    assert os.path.lexists(path)


@pytest.mark.parametrize(
    "place",
    [
        CONTENT,
        f"{CONTENT}/blobs",
        f"{CONTENT}/blobs/sha256",
        f"{CONTENT}/ingest",
        f"{CONTENT}/.orlop/witness.json",
        f"{NATIVE}/metadata.db",
        f"{NATIVE}/snapshots",
        f"{METADATA}/meta.db",
    ],
)
def test_parts_of_a_store_stay(store: Orlop, place: str) -> None:
    (store.root / CONTENT / "ingest").mkdir(exist_ok=True)
    path = store.root / place
    assert path.exists()
    answer = store("owner", path, "--json", code=1).document()
    assert (answer["kind"], answer["forecast"]) == ("store", "untouched")
    lines = store("owner", path, code=1).lines
    assert lines == [
        f"{path} is a part of the store itself, and belongs to",
        "  no record: no collection removes it",
    ]


@pytest.mark.parametrize("task", ["task", "other"])
def test_the_bundle_of_a_task_belongs_to_its_container(
    store: Orlop, tmp_path: Path, task: str
) -> None:
    bundle = tmp_path / "run" / "io.containerd.runtime.v2.task" / "default" / task
    bundle.mkdir(parents=True)
    (bundle / "config.json").write_text("{}")
    code = 0 if task == "task" else 1
    answer = store("owner", bundle / "config.json", "--json", code=code).document()
    assert (answer["kind"], answer["place"]) == ("bundle", f"default/{task}")
    assert [one["key"] for one in answer["owners"]] == (["task"] if task == "task" else [])
    assert answer["forecast"] == "untouched"
    assert "no collection removes it" in store("owner", bundle, code=code).out


def test_a_path_of_no_store_is_refused_and_said_to_be_missing(store: Orlop) -> None:
    assert "nothing is there" in store("owner", "/not/there", code=3).err
    assert "nothing is there" not in store("owner", "/proc/version", code=3).err
    assert "error" in store("owner", "/not/there", "--json", code=3).err


def test_what_is_in_doubt_is_not_announced(store: Orlop) -> None:
    path = store.root / CONTENT / "blobs" / "sha256" / DIGEST
    path.write_bytes(b"junk")
    meta = store.root / METADATA / "meta.db"
    copied = meta.read_bytes()
    meta.unlink()
    meta.write_bytes(copied)
    assert store("owner", path, "--json", code=1).document()["forecast"] == "set aside"
    assert "set it aside until it is released" in store("owner", path, code=1).lines[1]
    with library.open(store.root) as database:
        database.gc.run(confirmed=True)
    assert path.exists()
    assert store("owner", path, "--json", code=1).document()["forecast"] == "set aside"


def test_a_snapshot_that_no_metadata_names_goes(store: Orlop) -> None:
    with library.open(store.root) as database:
        backend = database.snapshot_backends["native"]
        backend.prepare("stray-active", "")
        backend.commit("stray", "stray-active")
    path = store.root / NATIVE / "snapshots" / "2"
    assert store("owner", path, "--json", code=1).document()["forecast"] == "removed"
    with library.open(store.root) as database:
        database.gc.run()
    assert not path.exists()


def _mount(*arguments: str | Path) -> None:
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.decode()}")


def test_the_mount_of_a_snapshot_belongs_to_it(store: Orlop, tmp_path: Path) -> None:
    target = tmp_path / "rootfs of task"
    target.mkdir()
    _mount("--bind", store.root / NATIVE / "snapshots" / "1", target)
    try:
        answer = store("owner", target / "file", "--json").document()
    finally:
        subprocess.run(["umount", target], check=True)
    assert (answer["kind"], answer["place"], answer["mount"]) == ("snapshot", "1", str(target))
    assert [one["key"] for one in answer["owners"]] == ["native/active"]


def test_an_overlay_belongs_to_its_upper_snapshot(store: Orlop, tmp_path: Path) -> None:
    with library.open(store.root) as database:
        snapshots = database.namespace("default").snapshots("overlayfs")
        root = {"containerd.io/gc.root": "x"}
        snapshots.prepare("below-active", labels=root)
        snapshots.commit("below", "below-active", root)
        (mount,) = snapshots.prepare("upper", "below", root)
    target = tmp_path / "rootfs"
    target.mkdir()
    _mount("-t", mount.type, "-o", ",".join(mount.options), mount.source, target)
    try:
        answer = store("owner", target / "file", "--json").document()
    finally:
        subprocess.run(["umount", target], check=True)
    assert [one["key"] for one in answer["owners"]] == ["overlayfs/upper"]
    assert (answer["exists"], answer["mount"]) == (False, str(target))


def test_what_is_mounted_below_garbage_is_not_announced(store: Orlop, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_bytes(b"precious")
    place = store.root / NATIVE / "snapshots" / "77" / "mnt"
    place.mkdir(parents=True)
    _mount("--bind", tmp_path / "precious", place)
    try:
        answer = store("owner", place / "file", "--json", code=1).document()
        assert (answer["forecast"], answer["mount"]) == ("mounted", str(place))
        with library.open(store.root) as database:
            database.gc.run()
        assert (place / "file").exists()
    finally:
        subprocess.run(["umount", place], check=True)
