"""Opening: the layout, versions, and error messages with a remedy."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import orlop
from orlop import opening
from orlop.bolt import open_engine
from orlop.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnavailableError,
)
from orlop.schema import migrations


def modes(root: Path) -> dict[str, int]:
    return {
        str(path.relative_to(root.parent)): stat.S_IMODE(path.stat().st_mode)
        for path in [root, *root.rglob("*")]
    }


def file_of_version(path: Path, number: int) -> None:
    engine = open_engine(path)
    with engine.begin(writable=True) as transaction:
        migrations.write_version(transaction, number)
        transaction.root.create_bucket(b"older")
    engine.close()


def test_a_new_root_has_containerds_layout_and_modes(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        with orlop.open(tmp_path / "root") as db:
            assert db.version == 4
    finally:
        os.umask(umask)

    assert modes(tmp_path / "root") == {
        "root": 0o711,
        "root/io.containerd.metadata.v1.bolt": 0o711,
        "root/io.containerd.metadata.v1.bolt/meta.db": 0o644 & ~0o077,
        "root/io.containerd.metadata.v1.bolt/orlop": 0o700,
        "root/io.containerd.metadata.v1.bolt/orlop/period.json": 0o600,
        "root/io.containerd.content.v1.content": 0o755,
        "root/io.containerd.content.v1.content/.orlop": 0o700,
        "root/io.containerd.content.v1.content/.orlop/witness.json": 0o600,
        "root/io.containerd.snapshotter.v1.native": 0o700,
        "root/io.containerd.snapshotter.v1.overlayfs": 0o700,
    }


def test_what_exists_keeps_its_mode(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir(mode=0o750)
    orlop.open(root).close()

    assert stat.S_IMODE(root.stat().st_mode) == 0o750


@pytest.mark.parametrize("options", [{"read_only": True}, {"create": False}])
def test_a_missing_database_is_not_made(tmp_path: Path, options: dict[str, bool]) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(NotFoundError, match=r"meta\.db"):
            orlop.open(path, **options)  # type: ignore[arg-type] # all are switches
    with pytest.raises(NotFoundError):
        orlop.Database.open_file(tmp_path / "missing.db", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_old_schema_is_read_and_written_only_after_migration(
    tmp_path: Path, number: int
) -> None:
    path = tmp_path / "meta.db"
    file_of_version(path, number)

    with orlop.Database.open_file(path, read_only=True) as db:
        assert db.version == number
    with pytest.raises(FailedPreconditionError, match="orlop db migrate"):
        orlop.Database.open_file(path)
    with orlop.Database.open_file(path, migrate=True) as db, db.view() as transaction:
        assert db.version == 4
        assert [key for key, _ in transaction.root.items()] == [b"v1"]


def test_version_3_is_worked_on_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "meta.db"
    file_of_version(path, 3)

    with orlop.Database.open_file(path) as db:
        db.namespace("one").leases.create("l")
        assert db.version == 3
        with db.view() as transaction:
            assert [key for key, _ in transaction.root.items()] == [b"older", b"v1"]
        assert db.migrate()
        assert not db.init()
        assert db.version == 4


def test_a_newer_schema_is_read_and_written_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "meta.db"
    file_of_version(path, 5)

    with orlop.Database.open_file(path, read_only=True) as db:
        assert db.version == 5
    for migrate in (False, True):
        with pytest.raises(FailedPreconditionError, match="version 5, newer than 4"):
            orlop.Database.open_file(path, migrate=migrate)
    with orlop.Database.open_file(path, force=True) as db:
        db.namespace("one").leases.create("l")
        assert not db.init()
        assert db.version == 5


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "meta.db"
    engine = open_engine(path)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"foreign")
    engine.close()

    with pytest.raises(FailedPreconditionError, match="none of containerd's"):
        orlop.Database.open_file(path)
    with orlop.Database.open_file(path, read_only=True) as db:
        assert db.version is None
        assert db.namespaces.list() == []
    with orlop.Database.open_file(path, migrate=True) as db:
        assert db.version == 4


@pytest.mark.parametrize("contents", [b"no database\n" * 1000, b"x"])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_database(tmp_path: Path, contents: bytes, *, read_only: bool) -> None:
    path = tmp_path / "meta.db"
    path.write_bytes(contents)

    with pytest.raises(DataLossError, match=r"meta\.db"):
        orlop.Database.open_file(path, read_only=read_only)
    assert path.read_bytes() == contents


def test_a_path_that_is_no_place_for_a_database(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidArgumentError):
        orlop.open(tmp_path / "file")
    with pytest.raises(InvalidArgumentError):
        orlop.Database.open_file(tmp_path, create=False)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EROFS, PermissionDeniedError),
        (errno.EACCES, PermissionDeniedError),
        (errno.ENOSPC, ResourceExhaustedError),
        (errno.ENOTDIR, InvalidArgumentError),
    ],
)
def test_what_the_system_refuses_has_a_kind(number: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="/there"), opening.refusals(Path("/there")):
        raise OSError(number, os.strerror(number), "/there")
    with pytest.raises(OSError, match="I/O"), opening.refusals(Path("/there")):
        raise OSError(errno.EIO, "I/O", "/there")


HOLD = """
import sys, orlop
with orlop.Database.open_file(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_that_somebody_holds(tmp_path: Path) -> None:
    path = tmp_path / "meta.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UnavailableError, match=str(holder.pid)):
            orlop.Database.open_file(path, timeout=0.1)
        with orlop.Database.open_file(path, read_only=True) as db:
            assert db.version == 4
        holder.communicate("")
    orlop.Database.open_file(path, timeout=0).close()


def test_a_reading_handle_refuses_to_write(tmp_path: Path) -> None:
    with orlop.open(tmp_path) as db:
        db.namespace("one").leases.create("l")
    before = modes(tmp_path), db.path.read_bytes()

    with orlop.open(tmp_path, read_only=True) as db:
        ns = db.namespace("one")
        assert db.read_only
        assert [one.id for one in ns.leases.list()] == ["l"]
        assert list(ns.snapshots("native").walk()) == []
        assert list(ns.content.walk()) == []
        for call in (
            lambda: ns.leases.create("m"),
            lambda: ns.content.writer("ref"),
            lambda: ns.snapshots("native").prepare("key"),
            db.migrate,
        ):
            with pytest.raises(FailedPreconditionError):
                call()
    with pytest.raises(InvalidArgumentError):
        orlop.open(tmp_path, read_only=True, migrate=True)
    assert (modes(tmp_path), db.path.read_bytes()) == before


def test_migrating_in_an_update_is_refused(tmp_path: Path) -> None:
    with orlop.open(tmp_path) as db, db.update(), pytest.raises(FailedPreconditionError):
        db.migrate()


def test_a_failed_migration_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "meta.db"
    engine = open_engine(path)
    with engine.begin(writable=True) as transaction:
        migrations.write_version(transaction, 3)
        sandboxes = transaction.root.create_bucket(b"one").create_bucket(b"sandboxes")
        sandboxes.create_bucket(b"box").create_bucket(b"a").create_bucket(b"deep")
        transaction.root.create_bucket(b"zero").create_bucket(b"sandboxes").create_bucket(b"b")
    engine.close()

    with pytest.raises(DataLossError, match=r"v1\.4"):
        orlop.Database.open_file(path, migrate=True)
    with orlop.Database.open_file(path) as db, db.view() as transaction:
        assert db.version == 3
        assert [key for key, _ in transaction.root.items()] == [b"one", b"v1", b"zero"]


def test_a_copied_root_opens_elsewhere(tmp_path: Path) -> None:
    with orlop.open(tmp_path / "root") as db:
        db.namespace("one").snapshots("overlayfs").prepare("key")
    shutil.copytree(tmp_path / "root", tmp_path / "copy")

    with orlop.open(tmp_path / "copy") as db:
        mounts = db.namespace("one").snapshots("overlayfs").mounts("key")
    assert mounts[0].source.startswith(str(tmp_path / "copy"))
