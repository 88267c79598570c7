"""A killed compaction leaves no doubt, and no file that the next opening does not remove."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import orlop
from bolt.other_processes import running, said, tell
from orlop.bolt import open_engine
from orlop.bolt.tools import compaction
from orlop.bolt.tools.compaction import compact_if_worth
from orlop.bolt.tools.dump import dump
from orlop.errors import OrlopError
from orlop.kv import LockedError, ReplacedError
from orlop.maintenance import check_file, compact
from orlop.safety import shutdown_marker
from orlop.safety.witness import Witness, WitnessFile
from safety.roots import CONTENT, METADATA, NATIVE, add, check_named
from storage.killing import steps

if TYPE_CHECKING:
    from collections.abc import Callable

META_DB = f"{METADATA}/meta.db"
METADATA_DB = f"{NATIVE}/metadata.db"

OWN_FILES = {
    METADATA: {"meta.db", "orlop"},
    NATIVE: {"metadata.db", "snapshots", ".orlop"},
}

HOLDER = """
import sys
file = open(sys.argv[1], "r+b")
print("open", flush=True)
sys.stdin.readline()
file.seek(0, 2)
file.write(bytes(4096))
file.close()
print("written", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with orlop.open(tmp_path / "root", sync=False) as database:
        add(database, "first")
    return tmp_path / "root"


def doubt(root: Path) -> str | None:
    with orlop.open(root, sync=False) as database:
        return database.gc.plan().doubt


def contents(path: Path) -> str:
    engine = open_engine(path, read_only=True)
    with engine.begin() as transaction:
        text = "".join(dump(transaction))
    engine.close()
    return text


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def open_compacting(root: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        always = partial(compact_if_worth, least_bytes=-1, least_share=-1)
        patch.setattr("orlop.bolt.compact_if_worth", always)
        orlop.open(root, compact=True).close()


def require_no_leftover(root: Path) -> None:
    for directory, names in OWN_FILES.items():
        assert names_in(root / directory) == names


def require_sound(root: Path, name: str, expected: str) -> None:
    assert contents(root / name) == expected
    assert check_file(root / name).faults == []
    if bbolt := shutil.which("bbolt"):
        subprocess.run([bbolt, "check", root / name], check=True, capture_output=True)


SCENARIOS: dict[str, tuple[Callable[[Path], object], str]] = {
    "compact": (lambda root: compact(root / META_DB), META_DB),
    "compact a snapshotter": (lambda root: compact(root / METADATA_DB), METADATA_DB),
    "open": (open_compacting, META_DB),
}


@pytest.mark.interpreted("the calls of compiled code into the system are not patched")
@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_at_any_step_leaves_no_doubt_and_no_leftover(root: Path, scenario: str) -> None:
    work, name = SCENARIOS[scenario]
    expected, states = contents(root / name), set[int]()

    def run() -> None:
        work(root)

    for _ in steps(run):
        states.add(len(names_in((root / name).parent)))
        require_sound(root, name, expected)
        with orlop.open(root, sync=False) as database:
            assert database.gc.plan().doubt is None
            require_no_leftover(root)
        assert doubt(root) is None
        check_named(root, ["first"])
        assert (root / name).stat().st_nlink == 1
    assert len(states) > 2


def kill_before(work: Callable[[], object], name: str) -> None:
    """Run `work` in a fork that dies when it calls a function of the compaction."""
    child = os.fork()
    if child == 0:
        try:
            setattr(compaction, name, lambda *_: os._exit(77))
            work()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 77


@pytest.mark.parametrize("step", ["_dress", "_swap", "_require_no_writers"])
def test_another_compaction_removes_what_a_killed_one_left(root: Path, step: str) -> None:
    kill_before(lambda: compact(root / META_DB), step)
    assert names_in(root / METADATA) != OWN_FILES[METADATA]
    compact(root / META_DB)
    require_no_leftover(root)
    assert doubt(root) is None


def restart(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a machine that was started again, and that numbers its devices in another way."""
    boot = root.parent / f"boot-{os.urandom(4).hex()}"
    boot.write_text(boot.name)
    monkeypatch.setattr(shutdown_marker, "_BOOT_ID", boot)
    for backend in (root / CONTENT, root / NATIVE):
        witness = Witness.read(backend)
        if witness is not None:
            compacted = [one._replace(device=one.device + 1) for one in witness.compacted]
            moved = replace(witness, device=witness.device + 1, compacted=compacted)
            file = WitnessFile(backend, moved)
            file.write(moved)
            file.release()


STEPS = ("_dress", "_put_back_on_failure", "sync_directory")


@pytest.mark.interpreted("the calls of compiled code are not patched")
@pytest.mark.parametrize("name", [META_DB, METADATA_DB])
@pytest.mark.parametrize("second", [*STEPS, None])
@pytest.mark.parametrize("first", STEPS)
def test_two_deaths_with_a_start_of_the_machine_between_leave_no_doubt(
    root: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str | None, name: str
) -> None:
    kill_before(lambda: compact(root / name), first)
    restart(root, monkeypatch)
    if second is None:
        if (child := os.fork()) == 0:
            orlop.open(root, sync=False).namespace("default").snapshots("native").walk()
            os._exit(77)  # without a close
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 77
    else:
        kill_before(lambda: compact(root / name), second)
        restart(root, monkeypatch)
    assert doubt(root) is None
    assert doubt(root) is None
    check_named(root, ["first"])
    require_no_leftover(root)


@pytest.mark.interpreted("the calls of compiled code are not patched")
@pytest.mark.parametrize(
    "work", [lambda root: compact(root / META_DB), lambda root: orlop.open(root).close()]
)
def test_which_file_has_the_name_is_durable_before_it_is_used(
    root: Path, monkeypatch: pytest.MonkeyPatch, work: Callable[[Path], object]
) -> None:
    """Otherwise a power loss undoes the rename, and loses writes to the new file."""
    kill_before(lambda: compact(root / META_DB), "sync_directory")
    (old,) = (root / METADATA).glob("*.old")
    seen: list[bool] = []

    def sync(path: Path) -> None:
        seen.append(path == root / METADATA and old.exists())

    monkeypatch.setattr("orlop.bolt.interrupted_compaction.sync_directory", sync)
    work(root)
    assert seen == [True]
    work(root)
    assert seen == [True], "there is nothing to be settled any more"


def test_a_killed_compaction_does_not_keep_the_next_one_from_being_worth_it(root: Path) -> None:
    path = root / META_DB
    kill_before(lambda: compact(path), "sync_directory")
    leftover = path.with_name(f".meta.db.{'0' * 16}.old")
    os.link(path, leftover)
    assert compact_if_worth(path, least_bytes=-1, least_share=-1) is not None
    require_no_leftover(root)


def test_a_copy_of_a_file_that_was_being_compacted_is_in_doubt(root: Path) -> None:
    path = root / META_DB
    kill_before(lambda: compact(path), "_require_no_writers")
    copied = path.with_name("copied")
    shutil.copy2(path, copied)
    copied.replace(path)
    assert doubt(root) is not None


def test_what_another_program_writes_after_the_kill_is_in_doubt(root: Path) -> None:
    path = root / META_DB
    kill_before(lambda: compact(path), "_swap")
    engine = open_engine(path)
    with engine.begin(writable=True) as transaction:
        schema = transaction.root.bucket(b"v1")
        assert schema is not None
        schema.put(b"version", schema.get(b"version") or b"")
    engine.close()
    assert doubt(root) is not None


def test_a_program_that_goes_on_with_the_old_file_is_not_overlooked(root: Path) -> None:
    path = root / META_DB
    with running(HOLDER, path) as holder:
        assert said(holder) == "open\n"
        kill_before(lambda: compact(path), "_require_no_writers")
        (old,) = path.parent.glob(".meta.db.*.old")
        with pytest.raises(LockedError, match=rf"open for writing in process {holder.pid}"):
            compact(path)
        tell(holder)
        assert said(holder) == "written\n"
        with pytest.raises(ReplacedError, match=re.escape(old.name)):
            compact(path)
        with pytest.raises(OrlopError, match=re.escape(old.name)):
            orlop.open(root)
    old.replace(path)
    assert doubt(root) is not None
    require_no_leftover(root)


def test_only_regular_files_with_names_of_compactions_are_removed(root: Path) -> None:
    path = root / META_DB
    kept = {
        ".meta.db.0123456789abcdeg",
        ".meta.db.0123456789abcde",
        ".meta.db.backup",
        ".metadata.db.0123456789abcdef",
        "..meta.db.0123456789abcdef",
        "meta.db.0123456789abcdef",
        ".meta.db.0123456789abcdef.old.old",
    }
    for name in kept:
        path.with_name(name).write_bytes(b"x")
    link = path.with_name(".meta.db.aaaaaaaaaaaaaaaa")
    link.symlink_to(path)
    path.with_name(".meta.db.bbbbbbbbbbbbbbbb").mkdir()
    removed = {".meta.db.0123456789abcdef", f"..meta.db.{'0' * 16}.{'1' * 16}"}
    for name in removed:
        path.with_name(name).write_bytes(b"x")
    assert doubt(root) is None
    assert names_in(path.parent) == kept | OWN_FILES[METADATA] | {
        ".meta.db.aaaaaaaaaaaaaaaa",
        ".meta.db.bbbbbbbbbbbbbbbb",
    }


@pytest.mark.parametrize("what", [".", METADATA, META_DB, NATIVE, METADATA_DB, CONTENT])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_compaction_behind_a_symbolic_link_leaves_no_doubt(
    tmp_path: Path, what: str, scenario: str
) -> None:
    root, real = tmp_path / "root", tmp_path / "elsewhere"
    with orlop.open(root, sync=False) as database:
        add(database, "first")
    (root / what).rename(real)
    (root / what).symlink_to(real)
    with orlop.open(root, sync=False) as database:
        database.gc.run(confirmed=True)  # a file that was renamed is in doubt
    assert doubt(root) is None
    work, _ = SCENARIOS[scenario]
    work(root)
    assert (root / what).is_symlink()
    assert doubt(root) is None


@pytest.mark.parametrize("name", [META_DB, METADATA_DB])
def test_compaction_by_a_relative_path_leaves_no_doubt(
    root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / name
    monkeypatch.chdir(path.parent)
    compact(Path(path.name))
    assert doubt(root) is None
