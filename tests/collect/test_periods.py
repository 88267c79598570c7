"""How the last period of writing ended, from what is on disk alone."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

import orlop
from collect.making import make_blob, make_snapshot
from orlop.backends import files
from orlop.bolt import open_engine
from orlop.collect import mark_of_period
from orlop.collect.mark_of_period import METADATA
from orlop.collect.period import End, Period
from orlop.inspect.bolt.compact import compact
from orlop.model.errors import FailedPreconditionError
from orlop.opening import database_files
from orlop.schema import version

if TYPE_CHECKING:
    from pathlib import Path

BOLT = "io.containerd.metadata.v1.bolt"
NATIVE = "io.containerd.snapshotter.v1.native"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def mark(root: Path) -> Path:
    return root / BOLT / "orlop" / "period.json"


def write(root: Path, name: str = "x", **options: Any) -> None:
    with orlop.open(root, **options) as database:
        ns = database.namespace("default")
        make_blob(ns, name.encode(), {"containerd.io/gc.root": "x"})
        make_snapshot(ns, name, labels={"containerd.io/gc.root": "x"})


def ends(root: Path, **options: Any) -> dict[str, End]:
    with orlop.open(root, **options) as database:
        found = database.gc._domain.quarantine._period
        assert found is not None
        return dict(found._ends)


def all_are(end: End) -> dict[str, End]:
    return dict.fromkeys(("", "native", "overlayfs"), end)


def reboot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "boot_id"
    file.write_text("another\n")
    monkeypatch.setattr(mark_of_period, "_BOOT_ID", file)


def die(root: Path, copy: Path) -> Path:
    """Return a copy of the root as a process leaves it that dies while it writes."""
    database = orlop.open(root)
    make_snapshot(database.namespace("default"), "late")
    shutil.copytree(root, copy)
    database.close()
    return copy


def test_a_new_root(root: Path) -> None:
    assert ends(root) == all_are(End.NEW)
    assert ends(root) == all_are(End.CLEAN)


def test_a_clean_close(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(root)
    assert ends(root) == all_are(End.CLEAN)
    reboot(monkeypatch, tmp_path)
    assert ends(root) == all_are(End.CLEAN), "whatever boot it was closed on"
    assert ends(root, read_only=True) == all_are(End.CLEAN)


def test_the_mark_names_the_versions_of_all_databases(root: Path) -> None:
    with orlop.open(root) as database:
        make_snapshot(database.namespace("default"), "x")
        noted = json.loads(mark(root).read_bytes())
        assert noted.pop("period")["boot"] == mark_of_period.boot_id()
        with database.view() as transaction:
            assert noted.pop("") == transaction.id
        assert noted.pop("native") > 1
        assert noted == {"overlayfs": 0}
    assert json.loads(mark(root).read_bytes())["period"]["boot"] == ""


def test_a_process_that_died(root: Path, tmp_path: Path) -> None:
    write(root)
    copy = die(root, tmp_path / "copy")
    assert ends(copy, read_only=True) == all_are(End.INTERRUPTED)
    assert ends(copy) == all_are(End.INTERRUPTED)
    assert ends(copy) == all_are(End.CLEAN)


def test_a_machine_that_went_down(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root)
    copy = die(root, tmp_path / "copy")
    reboot(monkeypatch, tmp_path)
    assert ends(copy, read_only=True) == all_are(End.UNCLEAN)
    assert ends(copy) == all_are(End.UNCLEAN)


@pytest.mark.parametrize("text", [None, "", "{}", '{"": 1, "period": []}', "\0" * 200])
def test_no_mark_that_makes_sense(root: Path, text: str | None) -> None:
    write(root)
    if text is None:
        mark(root).unlink()
    else:
        mark(root).write_text(text)
    assert ends(root, read_only=True) == all_are(End.UNKNOWN)
    assert ends(root) == all_are(End.UNKNOWN)


def test_content_without_metadata_is_no_new_root(root: Path) -> None:
    write(root)
    shutil.rmtree(root / BOLT)
    assert ends(root)[METADATA] is End.UNKNOWN


@pytest.mark.parametrize("by", [-1, 1, 2])
@pytest.mark.parametrize("died", [False, True])
def test_a_version_that_the_mark_does_not_name(
    root: Path, tmp_path: Path, by: int, *, died: bool
) -> None:
    write(root)
    copy = die(root, tmp_path / "copy") if died else root
    files = database_files(copy, open_engine)

    def version_of(path: Path) -> int | None:
        found = files.version_of(path)
        return found + by if found is not None and path == files.paths[""] else found

    judged = Period.judge(dataclasses.replace(files, version_of=version_of))
    # The death may have come after a flush, and before it was noted: one, not two.
    expected = End.INTERRUPTED if died and by == 1 else End.UNKNOWN
    assert judged._ends == {**judged._ends, "": expected}
    assert judged._ends["native"] is (End.INTERRUPTED if died else End.CLEAN)


def test_another_file_of_the_same_version(root: Path) -> None:
    write(root)
    path = root / BOLT / "meta.db"
    status = path.stat()
    path.write_bytes(path.read_bytes())
    assert ends(root, read_only=True) == all_are(End.CLEAN) | {"": End.UNKNOWN}
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert ends(root, read_only=True) == all_are(End.CLEAN)
    # As from an archive that knows seconds only.
    whole = status.st_mtime_ns // 10**9 * 10**9
    os.utime(path, ns=(whole, whole))
    assert ends(root) == all_are(End.CLEAN)


def test_an_opening_that_is_refused_changes_nothing(root: Path) -> None:
    write(root)
    with orlop.open(root) as database, database.update() as update:
        version.write(update.transaction, 99)
    for _ in range(2):
        with pytest.raises(FailedPreconditionError, match="newer"):
            orlop.open(root)
    assert ends(root, force=True) == all_are(End.CLEAN)
    mark(root).unlink()
    with pytest.raises(FailedPreconditionError, match="newer"):
        orlop.open(root)
    assert not mark(root).exists()


def test_an_older_database_of_a_snapshotter_is_its_own_doubt(root: Path, tmp_path: Path) -> None:
    write(root)
    older = shutil.copy(root / NATIVE / "metadata.db", tmp_path)
    write(root, "y")
    shutil.copy(older, root / NATIVE / "metadata.db")
    with orlop.open(root) as database:
        quarantine = database.gc._domain.quarantine
        assert quarantine.doubt("") is None
        assert quarantine.doubt("overlayfs") is None
        assert "metadata.db of native is not as Orlop left it" in str(quarantine.doubt("native"))


def test_an_unreadable_database_of_a_snapshotter(root: Path) -> None:
    write(root)
    (root / NATIVE / "metadata.db").write_bytes(b"no database" * 1000)
    assert ends(root) == all_are(End.CLEAN) | {"native": End.UNKNOWN}


def test_a_bare_file_has_no_mark_but_keeps_that_of_its_root(root: Path, tmp_path: Path) -> None:
    with orlop.Database.open_file(tmp_path / "bare.db") as bare:
        bare.namespace("a").leases.create("x")
    assert {path.name for path in tmp_path.iterdir()} == {"bare.db"}
    write(root)
    with orlop.Database.open_file(root / BOLT / "meta.db") as bare:
        bare.namespace("a").leases.create("x")
    assert ends(root) == all_are(End.CLEAN)


def test_compaction_takes_the_mark_with_it(root: Path) -> None:
    for number in range(5):
        write(root, f"x{number}")
    compact(root / BOLT / "meta.db")
    compact(root / NATIVE / "metadata.db")
    assert ends(root) == all_are(End.CLEAN)


def test_compaction_does_not_take_doubt_away(root: Path, tmp_path: Path) -> None:
    write(root)
    older = shutil.copy(root / BOLT / "meta.db", tmp_path)
    write(root, "y")
    shutil.copy(older, root / BOLT / "meta.db")
    compact(root / BOLT / "meta.db")
    assert ends(root)[METADATA] is End.UNKNOWN


def test_where_the_mark_cannot_be_written_there_is_none(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(root)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr("orlop.backends.files.write_atomically", refuse)
        assert ends(root) == all_are(End.CLEAN)
    assert "how this period ends cannot be noted" in caplog.text
    assert not mark(root).exists()
    assert ends(root) == all_are(End.UNKNOWN)


def test_on_a_full_disk_the_mark_is_written_over(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root)

    really = files.write_atomically

    def full(name: str, data: bytes, *, dir_fd: int, mode: int) -> None:
        if name.removesuffix(".json").isdecimal():  # a note on a commit, which needs the space
            really(name, data, dir_fd=dir_fd, mode=mode)
        else:
            raise OSError(28, "no space left")

    monkeypatch.setattr("orlop.backends.files.write_atomically", full)
    for name in ("y", "z"):
        assert ends(root) == all_are(End.CLEAN)
        write(root, name)
    monkeypatch.undo()
    assert ends(root) == all_are(End.CLEAN)


def test_another_process_reads_beside_a_writer(root: Path) -> None:
    write(root)
    with orlop.open(root) as database:
        for number in range(3):
            database.namespace("default").leases.create(f"l{number}")
        assert ends(root, read_only=True) == all_are(End.INTERRUPTED)
