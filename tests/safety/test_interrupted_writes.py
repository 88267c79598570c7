"""A copy of a database that a write has left half done proves nothing after another's work."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Final

import pytest

import orlop
from orlop.bolt import engine as engine_module
from orlop.bolt.tools import compaction
from orlop.errors import OrlopError
from orlop.maintenance import compact
from real.daemon import Daemon
from safety.other_programs import without_notes
from safety.roots import CONTENT, METADATA, NATIVE, add, check_named, is_there
from storage.killing import steps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

META_DB = f"{METADATA}/meta.db"
EVERY: Final = 1 if os.environ.get("ORLOP_CAMPAIGN") else 5
"""One of so many steps is looked at."""

DATABASES = (META_DB, f"{NATIVE}/metadata.db")
START_SECONDS: Final = 0.03
"""Less than any program needs to start and to work on a root."""


def collect(root: Path) -> None:
    with orlop.open(root, sync=False) as database:
        database.gc.run(confirmed=True)


def copy_databases(source: Path, target: Path, way: str) -> None:
    for name in DATABASES:
        if not (source / name).exists():
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        options = {"cp": [], "cp -p": ["-p"], "cp -a": ["-a"]}[way]
        subprocess.run(["cp", *options, source / name, target / name], check=True)


def be_set_back(root: Path, kept: Path, way: str) -> None:
    """Copy the databases, let another program work, put the copy back, and collect."""
    copy_databases(root, kept / "copy", "cp -a")
    time.sleep(START_SECONDS)
    with without_notes(root) as database:
        add(database, "theirs")
    copy_databases(root, kept / "newest", "cp -a")
    copy_databases(kept / "copy", root, way)
    for _ in range(2):
        collect(root)
    assert is_there(root, "theirs") == []
    copy_databases(kept / "newest", root, "cp")
    collect(root)
    check_named(root, ["first", "theirs"])


@pytest.mark.interpreted("the calls of compiled code into the system are not patched")
@pytest.mark.slow
@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("way", ["cp", "cp -p"])
def test_a_process_that_is_killed_at_any_step(tmp_path: Path, way: str, *, sync: bool) -> None:
    number = 0

    def work() -> None:
        with orlop.open(tmp_path / f"{number}", sync=sync) as database:
            add(database, "late")

    def prepare() -> None:
        with orlop.open(tmp_path / f"{number}", sync=False) as database:
            add(database, "first")

    prepare()
    for number, _ in enumerate(steps(work), 1):
        if number % EVERY:
            prepare()
            continue
        be_set_back(tmp_path / f"{number - 1}", tmp_path / f"kept-{number - 1}", way)
        prepare()
    assert number > 30


def kill(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def killed_flush(root: Path) -> None:
    """Kill a process in a flush."""

    def work() -> None:
        with pytest.MonkeyPatch.context() as patch:
            database = orlop.open(root)
            patch.setattr(engine_module, "write_version", kill)
            add(database, "late")

    in_a_process(work)


def full_disk(root: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        database = orlop.open(root)
        patch.setattr(engine_module, "write_version", full)
        with pytest.raises(OrlopError):
            add(database, "late")
        patch.undo()
        database.close()


def killed_compaction(root: Path) -> None:
    def work() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compaction, "_require_no_writers", kill)
            compact(root / META_DB)

    in_a_process(work)


def in_a_process(work: Callable[[], None]) -> None:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


INTERRUPTIONS = [killed_flush, full_disk, killed_compaction]


@pytest.mark.interpreted("the calls of compiled code are not patched")
@pytest.mark.parametrize("interrupt", INTERRUPTIONS)
@pytest.mark.parametrize("way", ["cp", "cp -p"])
def test_a_copy_that_is_put_back(
    tmp_path: Path, interrupt: Callable[[Path], None], way: str
) -> None:
    root = tmp_path / "root"
    with orlop.open(root, sync=False) as database:
        add(database, "first")
    interrupt(root)
    be_set_back(root, tmp_path / "kept", way)


@pytest.mark.interpreted("the calls of compiled code are not patched")
@pytest.mark.parametrize("interrupt", INTERRUPTIONS)
def test_an_interruption_alone_is_no_doubt(
    tmp_path: Path, interrupt: Callable[[Path], None]
) -> None:
    with orlop.open(tmp_path, sync=False) as database:
        add(database, "first")
    for _ in range(3):
        interrupt(tmp_path)
        with orlop.open(tmp_path, sync=False) as database:
            assert database.gc.plan().doubt is None


@pytest.mark.interpreted("the calls of compiled code are not patched")
def test_the_old_file_of_a_killed_compaction(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with orlop.open(root, sync=False) as database:
        add(database, "first")
    killed_compaction(root)
    (old,) = (root / METADATA).glob("*.old")
    time.sleep(START_SECONDS)
    old.rename(tmp_path / "old")  # the opening would remove it, or refuse
    with without_notes(root) as database:
        add(database, "theirs")
    copy_databases(root, tmp_path / "newest", "cp -a")
    (tmp_path / "old").rename(root / META_DB)
    for _ in range(2):
        collect(root)
    assert is_there(root, "theirs") == []
    copy_databases(tmp_path / "newest", root, "cp")
    collect(root)
    check_named(root, ["first", "theirs"])


@pytest.mark.interpreted("the calls of compiled code are not patched")
def test_the_first_opening_of_another_programs_root_is_killed(tmp_path: Path) -> None:
    """Its versions have no stamps, so that no stamp tells them apart."""
    root = tmp_path / "root"
    orlop.open(root, sync=False).close()
    shutil.rmtree(root / METADATA / "orlop")
    shutil.rmtree(root / CONTENT / ".orlop")
    with without_notes(root) as database:
        add(database, "first")

    def work() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("orlop.bolt.disk.FileDisk.write", kill)
            orlop.open(root)

    in_a_process(work)
    be_set_back(root, tmp_path / "kept", "cp")


@pytest.mark.real("containerd", "ctr")
@pytest.mark.root
@pytest.mark.interpreted("the calls of compiled code are not patched")
@pytest.mark.parametrize("interrupt", INTERRUPTIONS)
@pytest.mark.parametrize("way", ["cp", "cp -p"])
def test_a_copy_that_is_put_back_after_a_daemons_work(
    tmp_path: Path, interrupt: Callable[[Path], None], way: str
) -> None:
    daemon = Daemon(tmp_path / "root")
    root, kept = daemon.root, tmp_path / "kept"
    with orlop.open(root) as database:
        add(database, "first")
    interrupt(root)
    copy_databases(root, kept / "copy", "cp -a")
    data = os.urandom(5000)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    with daemon:
        subprocess.run(
            ["ctr", "--address", str(daemon.socket), "content", "ingest", "reference"],
            input=data,
            check=True,
        )
        daemon.ctr("content", "label", digest, "containerd.io/gc.root=now")
    copy_databases(root, kept / "newest", "cp -a")
    copy_databases(kept / "copy", root, way)
    for _ in range(2):
        collect(root)
    copy_databases(kept / "newest", root, "cp")
    with orlop.open(root) as database, database.namespace("default").content.open(digest) as blob:
        assert blob.read() == data
