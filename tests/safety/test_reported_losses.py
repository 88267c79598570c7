"""Losses that were reported: each did happen, and must not happen again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from whenever import Instant

import orlop
from orlop.errors import FailedPreconditionError, OrlopError
from real.daemon import Daemon
from safety.roots import CONTENT, METADATA, NATIVE, add, is_there

if TYPE_CHECKING:
    from pathlib import Path


class Clock:
    def __init__(self, moment: Instant) -> None:
        self.moment = moment

    def now(self) -> Instant:
        return self.moment


def stray_blob(root: Path) -> Path:
    data = b"lost record, live data" * 100
    path = root / CONTENT / "blobs/sha256" / hashlib.sha256(data).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_boot_without_a_clock_and_then_the_right_time_is_not_a_day(tmp_path: Path) -> None:
    orlop.open(tmp_path).close()
    blob = stray_blob(tmp_path)
    marker = tmp_path / METADATA / "orlop/period.json"
    found = json.loads(marker.read_text())
    found["period"]["boot"] = "another-boot"
    marker.write_text(json.dumps(found))

    with orlop.open(tmp_path, clock=Clock(Instant.from_utc(1970, 1, 1, 0, 1))) as database:
        assert database.gc.plan().doubt is not None
        assert database.gc.run(confirmed=True).set_aside == 1
    with orlop.open(tmp_path) as database:
        assert database.gc.run().set_aside == 1
    assert blob.exists()


def replace_file(root: Path) -> None:
    path = root / METADATA / "meta.db"
    shutil.copy2(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").rename(path)


def replace_root(root: Path) -> None:
    root.rename(root.with_name("old"))
    shutil.copytree(root.with_name("old"), root)


@pytest.mark.parametrize("replace", [replace_file, replace_root])
def test_a_file_that_is_replaced_under_an_open_handle_stops_it(
    tmp_path: Path, replace: object
) -> None:
    root = tmp_path / "root"
    orlop.open(root).close()
    database = orlop.open(root)
    ns = database.namespace("default")
    ns.leases.create("before")  # the snapshotter's database stays free for the other process
    database.gc.run()
    replace(root)  # type: ignore[operator]
    child = os.fork()
    if child == 0:  # another process gets the lock of the other file
        with orlop.open(root, timeout=5) as other:
            add(other, "theirs")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    with pytest.raises(OrlopError, match="replaced"):
        ns.leases.create("late")
    with contextlib.suppress(OrlopError):
        database.gc.run()
    database.close()

    assert is_there(root, "theirs") == []
    with orlop.open(root) as again:
        again.gc.run()
    assert is_there(root, "theirs") == []


def test_a_relative_root_stays_the_same_after_chdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with orlop.open(tmp_path / "two/store") as other:
        add(other, "other")
    monkeypatch.chdir(tmp_path / "one")
    with orlop.open("store") as database:
        monkeypatch.chdir(tmp_path / "two")
        add(database, "mine")
        assert database.gc.run().failures == {}
    assert is_there(tmp_path / "one/store", "mine") == []
    assert is_there(tmp_path / "two/store", "other") == []
    assert is_there(tmp_path / "two/store", "mine") != []


@pytest.mark.parametrize("lost", ["missing", "empty", "no directory"])
@pytest.mark.parametrize("name", ["meta.db", "metadata.db"])
def test_a_database_is_not_made_anew_over_data(tmp_path: Path, lost: str, name: str) -> None:
    with orlop.open(tmp_path) as database:
        add(database, "kept")
    path = tmp_path / (f"{METADATA}/meta.db" if name == "meta.db" else f"{NATIVE}/metadata.db")
    if lost == "empty":
        os.truncate(path, 0)
    elif lost == "missing" or name == "metadata.db":
        path.unlink()
    else:
        shutil.rmtree(path.parent)

    def write() -> None:
        with orlop.open(tmp_path) as database:
            database.namespace("default").snapshots("native").prepare("new", "")

    for _ in range(2):
        with pytest.raises(FailedPreconditionError, match="begin anew"):
            write()
    with orlop.open(tmp_path, begin_anew=True) as database:
        assert database.gc.run(confirmed=True).deleted == 0
        database.namespace("default").snapshots("native").prepare("new", "")
    assert is_there(tmp_path, "kept") == []
    with orlop.open(tmp_path) as database:
        assert database.gc.run(confirmed=True).set_aside > 0
        assert is_there(tmp_path, "kept") == []
        assert database.gc.run(release=True, confirmed=True).deleted > 0
    assert is_there(tmp_path, "kept") != []


@pytest.mark.real("containerd", "ctr")
@pytest.mark.root
def test_an_older_database_that_is_put_back_after_a_daemons_work(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "root")
    root = daemon.root
    with orlop.open(root) as database:
        add(database, "first")
        database.gc.run()
    file = root / METADATA / "meta.db"
    shutil.copy2(file, tmp_path / "older")
    data = os.urandom(300_000)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    (tmp_path / "data").write_bytes(data)
    with daemon:
        with (tmp_path / "data").open("rb") as source:
            subprocess.run(
                [
                    *("ctr", "--address", str(daemon.socket), "--namespace", "default"),
                    *("content", "ingest", "--expected-size", str(len(data))),
                    *("--expected-digest", digest, "reference"),
                ],
                stdin=source,
                check=True,
            )
        daemon.ctr("content", "label", digest, "containerd.io/gc.root=now")
    shutil.copy2(file, tmp_path / "newer")

    shutil.copy2(tmp_path / "older", file)
    for _ in range(2):
        with orlop.open(root) as database:
            assert database.gc.plan().doubt is not None or database.gc.quarantine()
            database.gc.run(confirmed=True)
    shutil.copy2(tmp_path / "newer", file)
    with orlop.open(root) as database, database.namespace("default").content.open(digest) as blob:
        assert blob.read() == data
