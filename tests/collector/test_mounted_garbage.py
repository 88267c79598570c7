"""Garbage that something is mounted in stays, is named, and does not count as freed."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.cli.main import main
from storage.mounting import bound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orlop import Database
    from orlop.gc.plan import Plan, Statistics

pytestmark = pytest.mark.root

IMAGE = "examples/greeting.tar"
NATIVE = "io.containerd.snapshotter.v1.native"
OVERLAYFS = "io.containerd.snapshotter.v1.overlayfs"
CONTENT = "io.containerd.content.v1.content"


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    precious = tmp_path / "precious"
    (precious / "sub").mkdir(parents=True)
    (precious / "file").write_text("data")
    (precious / "sub" / "f").write_text("d")
    return precious


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def db(root: Path) -> Iterator[Database]:
    with orlop.open(root) as db:
        yield db


def contents(precious: Path) -> list[str]:
    return sorted(str(path) for path in precious.rglob("*"))


def make_garbage(db: Database, snapshotter: str) -> None:
    """Leave an image's snapshots, and a second one beside them, without a name."""
    ns = db.namespace("default")
    (image,) = orlop.oci.import_image(ns, IMAGE, unpack=snapshotter)
    with ns.lease():
        ns.snapshots(snapshotter).prepare("beside", "")
    ns.images.delete(image.name)


def plan_of_mounted(db: Database, *places: Path) -> Plan:
    """Return a plan that names these mounts."""
    plan = db.gc.plan()
    assert sorted(plan.mounts.values()) == sorted(map(str, places))
    return plan


def only_failure(statistics: Statistics) -> str:
    (failure,) = statistics.failures.values()
    return failure


@pytest.mark.parametrize(
    ("snapshotter", "place"),
    [("native", "."), ("native", "mnt"), ("overlayfs", "fs"), ("overlayfs", "fs/a/b")],
)
def test_a_snapshot_that_something_is_mounted_in_stays_until_it_is_unmounted(
    db: Database, root: Path, precious: Path, snapshotter: str, place: str
) -> None:
    make_garbage(db, snapshotter)
    directories = root / f"io.containerd.snapshotter.v1.{snapshotter}" / "snapshots"
    place_of_mount = directories / "1" / place
    place_of_mount.mkdir(parents=True, exist_ok=True)
    before = contents(precious)
    planned = db.gc.plan()
    sizes = {node.key: node.bytes for node in planned.nodes}
    with bound(precious, place_of_mount):
        stays = plan_of_mounted(db, place_of_mount)
        assert stays.freed_bytes < planned.freed_bytes
        for run in range(2):
            statistics = db.gc.run()
            assert f"something is mounted at {place_of_mount}" in only_failure(statistics)
            assert contents(precious) == before
            assert sorted(path.name for path in directories.iterdir()) == ["1"]
            assert (statistics.deleted > 0, statistics.freed_bytes > 0) == (run == 0, run == 0)
            if run == 0:
                assert statistics.freed_bytes == stays.freed_bytes
    freed = db.gc.run()
    assert not freed.failures
    assert freed.deleted == 1
    assert not list(directories.iterdir())
    assert contents(precious) == before
    assert sum(sizes.values()) >= freed.freed_bytes > 0


def test_what_stands_under_a_snapshot_with_a_mount_stays_with_it(
    db: Database, root: Path, precious: Path
) -> None:
    ns = db.namespace("default")
    snapshots = ns.snapshots("native")
    with ns.lease():
        snapshots.prepare("active", "")
        snapshots.commit("below", "active")
        snapshots.prepare("above", "below")
        snapshots.prepare("beside", "")
    directories = root / NATIVE / "snapshots"
    with bound(precious, directories / "2"):
        plan = plan_of_mounted(db, directories / "2")
        frees = {one.key.rpartition("/")[2]: one.bytes > 0 for one in plan.nodes}
        assert frees == {"above": False, "below": False, "beside": True}
        statistics = db.gc.run()
        assert statistics.freed_bytes == plan.freed_bytes
        assert str(directories / "2") in only_failure(statistics)
        assert sorted(path.name for path in directories.iterdir()) == ["1", "2"]
        assert statistics.deleted == 1
    assert db.gc.run().deleted == 2
    assert (precious / "file").exists()


@pytest.mark.parametrize("name", ["7", "rm-7", "new-7"])
def test_a_leftover_that_something_is_mounted_in_stays(
    db: Database, root: Path, precious: Path, name: str
) -> None:
    make_garbage(db, "native")
    db.gc.run()
    leftover = root / NATIVE / "snapshots" / name
    (leftover / "mnt").mkdir(parents=True)
    (leftover / "file").write_text("garbage")
    beside = leftover.with_name("rm-8")
    beside.mkdir()
    with bound(precious, leftover / "mnt"):
        plan = plan_of_mounted(db, leftover / "mnt")
        assert [one.key for one in plan.nodes] == ["native/snapshots/rm-8"]
        statistics = db.gc.run(release=True, confirmed=True)
        assert str(leftover / "mnt") in only_failure(statistics)
        assert (leftover / "file").exists()
        assert not beside.exists()
    db.gc.run(release=True, confirmed=True)
    assert not leftover.exists()
    assert (precious / "sub" / "f").exists()


def test_a_blob_and_an_ingest_that_something_is_mounted_on_stay(
    db: Database, root: Path, precious: Path
) -> None:
    ns = db.namespace("default")
    with ns.lease(), ns.content.writer("ref") as writer:
        writer.write(b"half")
        with ns.content.writer("whole") as whole:
            whole.write(b"a blob")
            whole.commit()
        with ns.content.writer("beside") as beside:
            beside.write(b"beside")
            beside.commit()
    blob = root / CONTENT / "blobs" / "sha256" / whole.digest().removeprefix("sha256:")
    (ingest,) = (root / CONTENT / "ingest").iterdir()
    (ingest / "mnt").mkdir()
    before = contents(precious)
    with ExitStack() as mounted:
        mounted.enter_context(bound(precious, ingest / "mnt"))
        mounted.enter_context(bound(precious / "file", blob))
        plan = plan_of_mounted(db, blob, ingest / "mnt")
        assert plan.freed_bytes == len(b"beside")
        statistics = db.gc.run()
        failure = only_failure(statistics)
        assert str(blob) in failure
        assert str(ingest / "mnt") in failure
        assert (statistics.deleted, statistics.freed_bytes) == (1, len(b"beside"))
        with ns.lease(), ns.content.writer("another") as another:
            another.write(b"works")
    assert contents(precious) == before
    assert (precious / "file").read_text() == "data"
    statistics = db.gc.run()
    assert not statistics.failures
    assert not blob.exists()
    assert not ingest.exists()


def test_a_writer_begins_though_something_is_mounted_in_a_leftover(
    db: Database, root: Path, precious: Path
) -> None:
    leftover = root / CONTENT / ".rm-old" / "mnt"
    leftover.mkdir(parents=True)
    with bound(precious, leftover):
        ns = db.namespace("default")
        with ns.content.writer("ref") as writer:
            writer.write(b"data")
            writer.commit()
        assert str(leftover) in only_failure(db.gc.run())
    assert (precious / "file").exists()


def test_a_commit_stands_though_its_ingest_cannot_be_removed(
    db: Database, root: Path, precious: Path
) -> None:
    ns = db.namespace("default")
    with ns.lease(), ns.content.writer("ref") as writer:
        writer.write(b"data")
        (ingest,) = (root / CONTENT / "ingest").iterdir()
        (ingest / "mnt").mkdir()
        with bound(precious, ingest / "mnt"):
            writer.commit()
    assert ns.content.info(writer.digest()).size == len(b"data")
    assert (precious / "sub" / "f").exists()


def test_a_snapshot_removed_through_its_backend_keeps_its_directory(
    db: Database, root: Path, precious: Path
) -> None:
    backend = db.snapshot_backends["overlayfs"]
    backend.prepare("one", "")
    backend.prepare("two", "")
    directory = root / OVERLAYFS / "snapshots" / "1"
    with bound(precious, directory / "fs"):
        backend.remove("one")
        assert (precious / "file").exists()
        assert directory.is_dir()
        backend.prepare("three", "")
    with pytest.raises(orlop.OrlopError):
        backend.stat("one")


def test_the_command_names_the_mount_and_fails(root: Path, precious: Path) -> None:
    with orlop.open(root) as db:
        make_garbage(db, "native")
    place = root / NATIVE / "snapshots" / "1"
    command = [sys.executable, "-m", "orlop", "--root", str(root), "gc", "run"]
    with bound(precious, place):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done
        assert f"something is mounted at {place}: nothing is deleted there" in (
            done.stdout + done.stderr
        )
        document = json.loads(
            subprocess.run([*command, "--json"], capture_output=True, check=False).stdout
        )
        assert document["freed_bytes"] == 0
        assert str(place) in str(document["failures"])
    assert (precious / "file").read_text() == "data"


def test_the_command_names_the_mount_and_counts_nothing_below_it(
    root: Path, precious: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with orlop.open(root) as db, db.namespace("default").lease():
        db.namespace("default").snapshots("native").prepare("active", "")
    place = root / NATIVE / "snapshots" / "1" / "mnt"
    place.mkdir()
    (precious / "large").write_bytes(b"x" * 1_000_000)
    with bound(precious, place):
        assert main(["--root", str(root), "gc", "plan"]) == 0
        text = capsys.readouterr().out
        assert main(["--root", str(root), "gc", "plan", "--json", "-n", "default"]) == 0
        plan = json.loads(capsys.readouterr().out)
        assert main(["--root", str(root), "gc", "plan", "--json", "-n", "another"]) == 0
        other = json.loads(capsys.readouterr().out)
    stays = 'the data of snapshot "native/active" in namespace "default" stays until'
    assert f"{stays} {place} is unmounted" in text
    assert plan["mounts"] == [
        {
            "type": "snapshot",
            "namespace": "default",
            "key": "native/active",
            "mount": str(place),
        }
    ]
    assert [one["bytes"] for one in plan["remove"]] == [0]
    assert plan["freed_bytes"] == 0
    assert "mounts" not in other
