"""Compaction: all contents, no free pages, the file's own dress, and never a loss."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING

import pytest

from bolt.other_processes import running, said
from orlop.bolt import open_engine
from orlop.bolt.tools import compaction
from orlop.bolt.tools.dump import dump
from orlop.kv import CorruptError, EngineError, LockedError
from orlop.maintenance import check_file, compact, file_info, statistics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOLDER = """
import os, sys
file = open(sys.argv[1], "r+b")
print("open", flush=True)
sys.stdin.readline()
"""


def contents(path: Path) -> str:
    engine = open_engine(path, read_only=True)
    with engine.begin() as transaction:
        text = "".join(dump(transaction))
    engine.close()
    return text


@pytest.fixture(params=[False, True], ids=["no-freelist", "freelist"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A file with much that is free."""
    path = tmp_path / "meta.db"
    engine = open_engine(path, freelist_sync=request.param)
    with engine.begin(writable=True) as transaction:
        top = transaction.root.create_bucket(b"v1")
        top.set_sequence(9)
        for number in range(400):
            bucket = top.create_bucket(b"bucket-%04d" % number)
            bucket.set_sequence(number)
            bucket.put(b"value", b"x" * (number * 7 % 1500))
            bucket.create_bucket(b"inner").put(b"deep", b"%d" % number)
    with engine.begin(writable=True) as transaction:
        stored = transaction.root.bucket(b"v1")
        assert stored is not None
        for number in range(0, 400, 2):
            stored.delete_bucket(b"bucket-%04d" % number)
    engine.close()
    path.chmod(0o640)
    return path


def test_everything_is_kept_and_nothing_is_free(path: Path) -> None:
    before, keeps = contents(path), file_info(path).freelist_kept
    assert statistics(path).free_bytes > 100_000
    done = compact(path)
    assert contents(path) == before
    assert (done.after, done.before) < (path.stat().st_size + 1, done.before + 1)
    assert done.after < done.before // 2 + 100_000
    assert statistics(path).free_bytes < 64 * 1024
    assert check_file(path).faults == []
    assert path.stat().st_mode & 0o777 == 0o640
    assert file_info(path).freelist_kept is keeps
    assert [each.name for each in path.parent.iterdir()] == ["meta.db"]
    engine = open_engine(path)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"goes on")
    engine.close()
    assert check_file(path).faults == []


def test_an_output_leaves_the_file_alone(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    expected = contents(path)
    output = tmp_path / "small.db"
    compact(path, output=output)
    assert contents(output) == expected
    assert contents(path) == expected
    assert len(path.read_bytes()) == len(before)
    with pytest.raises(FileExistsError):
        compact(path, output=output)


def test_it_refuses_while_the_lock_is_held(path: Path) -> None:
    engine = open_engine(path)
    before = path.read_bytes()
    with pytest.raises(LockedError):
        compact(path)
    engine.close()
    assert path.read_bytes() == before


def test_a_process_that_waits_with_the_file_open_gets_it_back(path: Path) -> None:
    inode, expected = path.stat().st_ino, contents(path)
    with running(HOLDER, path) as process:
        assert said(process) == "open\n"
        with pytest.raises(LockedError, match=rf"open for writing in process {process.pid}"):
            compact(path)
        process.kill()
    assert path.stat().st_ino == inode
    assert contents(path) == expected
    assert [each.name for each in path.parent.iterdir()] == ["meta.db"]
    compact(path)
    assert path.stat().st_ino != inode


def test_a_damaged_file_is_left_alone(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for page in range(4, 8):
        data[page * 4096 : page * 4096 + 16] = b"\xff" * 16
    path.write_bytes(bytes(data))
    with pytest.raises(CorruptError):
        compact(path)
    assert path.read_bytes()[2 * 4096 :] == bytes(data)[2 * 4096 :]
    assert [each.name for each in path.parent.iterdir()] == ["meta.db"]


STEPS = ["_fill", "_dress", "_swap", "create_file", "sync_directory"]


@pytest.mark.parametrize("step", STEPS)
def test_a_failing_step_leaves_the_file_whole(
    path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = contents(path)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "simulated")

    monkeypatch.setattr(compaction, step, fail)
    with pytest.raises(OSError, match="simulated"):
        compact(path)
    monkeypatch.undo()
    assert contents(path) == expected
    assert check_file(path).faults == []
    assert [each.name for each in path.parent.iterdir()] == ["meta.db"]


KILLED = """
import os, sys, pathlib
from orlop.bolt.tools import compaction
number, path = int(sys.argv[1]), pathlib.Path(sys.argv[2])
calls = 0
def counted(function):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == number:
            os._exit(9)
        return function(*args, **kwargs)
    return call
for name in ("fsync", "link", "fdatasync", "replace", "rename", "unlink", "fchmod"):
    setattr(os, name, counted(getattr(os, name)))
pathlib.Path.replace = counted(pathlib.Path.replace)
pathlib.Path.unlink = counted(pathlib.Path.unlink)
compaction.compact(path)
"""


@pytest.mark.parametrize("path", [False], indirect=True, ids=["no-freelist"])
@pytest.mark.slow
def test_a_kill_at_any_step_leaves_all_contents(path: Path) -> None:
    expected = contents(path)
    number = 0
    while True:
        number += 1
        done = subprocess.run([sys.executable, "-c", KILLED, str(number), path], check=False)
        assert contents(path) == expected
        assert check_file(path).faults == []
        if done.returncode == 0:
            break
        assert done.returncode == 9
    assert number > 8


def test_a_file_is_compacted_on_opening_only_if_it_is_worth_it(path: Path) -> None:
    assert compaction.compact_if_worth(path, timeout=0) is None
    assert compaction.compact_if_worth(path, timeout=0, least_bytes=1000, least_share=0.99) is None
    expected = contents(path)
    done = compaction.compact_if_worth(path, timeout=0, least_bytes=1000)
    assert done is not None
    assert done.after < done.before
    assert contents(path) == expected
    assert compaction.compact_if_worth(path, timeout=0, least_bytes=1000) is None


def test_a_link_to_the_file_stays_one(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    expected, before = contents(path), path.stat().st_size
    compact(link)
    assert link.is_symlink()
    assert contents(path) == expected
    assert path.stat().st_size < before


@pytest.mark.root
def test_owner_mode_and_attributes_are_kept(path: Path) -> None:
    os.chown(path, 1234, 4321)
    path.chmod(0o4640)
    os.setxattr(path, "user.note", b"kept")
    compact(path)
    status = path.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1234, 4321, 0o4640)
    assert os.getxattr(path, "user.note") == b"kept"


CALLS = (
    "fchmod",
    "fdatasync",
    "fsync",
    "link",
    "listxattr",
    "open",
    "posix_fallocate",
    "pread",
    "pwritev",
    "replace",
    "truncate",
)
"""What a compaction asks of the system; that what it began can be removed is taken for granted."""


class Failing:
    """Counts calls into the system and lets one of them fail."""

    def __init__(self, patch: pytest.MonkeyPatch, fail_at: int) -> None:
        self.fail_at = fail_at
        self.calls: list[str] = []
        self.is_of_a_note = False
        for name in CALLS:
            patch.setattr(os, name, self._counted(name, getattr(os, name)))

    def _counted(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            self.calls.append(name)
            if len(self.calls) == self.fail_at:
                stack = traceback.extract_stack()
                self.is_of_a_note = any("/safety/" in frame.filename for frame in stack)
                raise OSError(errno.EIO, f"simulated failure of {name}")
            return real(*arguments, **options)

        return call


@pytest.mark.parametrize("freelist_sync", [False, True])
def test_no_failing_call_costs_anything(tmp_path: Path, *, freelist_sync: bool) -> None:
    path = tmp_path / "meta.db"
    engine = open_engine(path, freelist_sync=freelist_sync)
    for round_ in range(3):
        with engine.begin(writable=True) as transaction:
            top = transaction.root.create_bucket_if_absent(b"v1")
            for number in range(60):
                top.put(b"%03d" % number, b"%d" % round_ * 200)
            top.create_bucket_if_absent(b"inner").next_sequence()
    engine.close()
    expected = contents(path)
    number, failed = 0, set[str]()
    while True:
        number += 1
        with pytest.MonkeyPatch.context() as patch:
            failing = Failing(patch, number)
            try:
                compact(path)
            except (OSError, EngineError):
                pass
            else:
                # Without a note of the compaction the next session may doubt, and nothing is lost.
                is_lost = len(failing.calls) >= number and not failing.is_of_a_note
                assert not is_lost, f"the failure of {failing.calls[number - 1]} was lost"
        assert contents(path) == expected
        assert check_file(path).faults == []
        assert [each.name for each in tmp_path.iterdir()] == ["meta.db"]
        if len(failing.calls) < number:
            break
        failed.add(failing.calls[number - 1])
    assert failed == set(CALLS)
    assert number > 50
