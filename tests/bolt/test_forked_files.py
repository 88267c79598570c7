"""Files that are open in a process that forks, and files that a process opens twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

import orlop
from orlop.bolt import disk as disk_module
from orlop.bolt import file_lock, open_engine
from orlop.bolt.disk import FileDisk
from orlop.bolt.page_store import PageStore
from orlop.errors import UnavailableError
from orlop.kv import EngineClosedError, LockedError
from stores.forking import in_child, living_child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAGE = 4096
TIMEOUT = 30.0
SOON = 5.0

HANDS_ON = """
import os, subprocess, sys
from pathlib import Path
from orlop.bolt import open_engine
engine = open_engine(Path(sys.argv[1]))
descriptor = engine._disk._use.descriptor()
keeper = subprocess.Popen([sys.executable, "-c", "input()"], pass_fds=[descriptor],
                          stdin=0, stdout=subprocess.DEVNULL)
print(keeper.pid, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "meta.db"
    open_engine(path).close()
    return path


def refused(path: Path, error: type[Exception] = LockedError) -> str:
    """Return the message with which a second opening is refused, at once."""
    began = time.monotonic()
    with pytest.raises(error) as raised:
        open_engine(path, timeout=TIMEOUT)
    assert time.monotonic() - began < SOON
    return str(raised.value)


def by_link(path: Path) -> Path:
    link = path.with_name("link.db")
    link.symlink_to(path)
    return link


def by_second_name(path: Path) -> Path:
    name = path.with_name("second.db")
    name.hardlink_to(path)
    return name


def by_relative_path(path: Path) -> Path:
    os.chdir(path.parent)
    return path.relative_to(path.parent)


@pytest.mark.parametrize("another", [lambda path: path, by_link, by_second_name, by_relative_path])
def test_a_file_that_is_open_here_is_refused_at_once(
    path: Path, another: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    engine = open_engine(path)
    text = refused(another(path))
    assert f"is open for writing in this process already (process {os.getpid()})" in text
    open_engine(path, read_only=True).close()
    engine.close()
    open_engine(path, timeout=0).close()


def test_a_root_that_is_open_here_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    (tmp_path / "link").symlink_to(root)
    monkeypatch.chdir(tmp_path)
    with orlop.open(root) as db:
        for name in (root, tmp_path / "link", "root", "link/../root"):
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="open for writing in this process already"):
                orlop.open(name)
            assert time.monotonic() - began < SOON
        with orlop.open(root, read_only=True) as reading:
            assert reading.namespaces.list() == db.namespaces.list()
        with pytest.raises(UnavailableError, match="in this process already"):
            orlop.Database.open_file(db.path)
    orlop.open(root, timeout=0).close()


def test_a_handle_that_was_dropped_does_not_count(path: Path) -> None:
    engine: Any = open_engine(path)
    circle = [engine]
    circle.append(circle)
    del engine, circle
    open_engine(path, timeout=0).close()


def test_a_process_that_was_handed_the_file_is_named_with_the_one_that_took_the_lock(
    path: Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HANDS_ON, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as taker:
        assert taker.stdout is not None
        keeper = int(taker.stdout.readline())
        taker.wait()
        with pytest.raises(LockedError) as raised:
            open_engine(path, timeout=0)
        assert (
            f"is locked by process {keeper} (python), which has it from process {taker.pid}"
        ) in str(raised.value).replace("python3.11", "python").replace("python3", "python")
        assert taker.stdin is not None
        taker.stdin.close()
    open_engine(path, timeout=SOON).close()


def test_a_file_that_this_process_has_handed_on_and_closed_is_not_said_to_be_open_here(
    path: Path,
) -> None:
    disk = FileDisk.for_writing(path, timeout=0)
    with subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        pass_fds=[disk._use.descriptor()],
    ) as keeper:
        disk.close()
        with pytest.raises(LockedError) as raised:
            open_engine(path, timeout=0)
        text = str(raised.value)
        assert f"is locked by process {keeper.pid} (" in text
        assert f"from process {os.getpid()}, of which it is a fork" in text
        [holder] = file_lock.lock_holders(path.stat())
        assert (holder.number, holder.taken_by) == (keeper.pid, os.getpid())
        keeper.communicate(b"\n")
    open_engine(path, timeout=SOON).close()


def test_a_child_forked_while_a_file_is_being_opened_does_not_keep_its_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    opened: list[int] = []
    open_regular = disk_module._open_regular

    def fork_behind(path: Path, flags: int) -> Any:
        """Let the child have the file open before anything knows of it."""
        file = open_regular(path, flags)
        if not opened and os.fork() == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        opened.append(flags)
        return file

    monkeypatch.setattr(disk_module, "_open_regular", fork_behind)
    disk = FileDisk.for_writing(path, timeout=0)
    assert len(opened) == 2, "the file is opened again, which the child does not have"
    disk.close()
    FileDisk.for_writing(path, timeout=0).close()
    os.close(reading)
    os.close(writing)
    os.wait()


def test_a_child_that_is_just_being_forked_is_waited_for(path: Path) -> None:
    children = []
    for _ in range(30):
        engine = open_engine(path, timeout=0)
        child = os.fork()
        if child == 0:
            time.sleep(SOON)
            os._exit(0)
        children.append(child)
        engine.close()
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_handler_that_forks_amid_a_read_keeps_no_lock_and_reads_no_other_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FileDisk.for_writing(path, timeout=0)
    read, home = os.pread, os.getpid()
    reading, writing = os.pipe()

    def fork_before(descriptor: int, length: int, offset: int) -> bytes:
        """As a handler of signals that runs when the descriptor is known and nothing is read."""
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            return read(descriptor, length, offset)
        taken = [os.open("/etc/passwd", os.O_RDONLY) for _ in range(3)]
        return b"other" if descriptor in taken else read(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", fork_before)
    outcome = b"parent"
    try:
        disk.read(0, 16)
    except EngineClosedError:
        outcome = b"refused"
    if os.getpid() != home:
        os.write(writing, outcome)
        os._exit(0)
    assert os.read(reading, 16) == b"refused"
    disk.close()
    os.close(reading)
    os.close(writing)


def test_a_child_does_not_write_into_the_copied_pages_of_its_parent() -> None:
    store = PageStore(PAGE, memory_bytes_max=1 << 26)
    number = store.add(b"p" * PAGE)

    def overwrite() -> bytes:
        store.clear()
        store.add(b"c" * PAGE)
        return store.read(number)[:1]

    assert in_child(overwrite) == b"c"
    assert store.read(number)[:1] == b"p"
    store.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_child_is_told_to_open_the_file_itself(path: Path, *, read_only: bool) -> None:
    engine = open_engine(path, read_only=read_only)
    transaction = engine.begin()

    def use() -> list[str]:
        told = []
        for call in (engine.begin, lambda: list(transaction.root.items())):
            try:
                call()
            except EngineClosedError as error:
                told.append(str(error))
        engine.close()
        return told

    told = in_child(use)
    assert len(told) >= 1
    assert all(f"opened by process {os.getpid()}" in text for text in told)
    transaction.rollback()
    with living_child():
        engine.close()
        open_engine(path, timeout=0).close()
