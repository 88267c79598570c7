"""The lock between processes, and the use of a handle in other processes and threads."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from bolt.other_processes import running, said, tell
from orlop.bolt import open_engine
from orlop.kv import EngineClosedError, LockedError, ReadOnlyError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

HOLDER = """
import pathlib, sys
from orlop.bolt import open_engine
engine = open_engine(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
engine.close()
print("released", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "meta.db"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    with running(HOLDER, path) as process:
        assert said(process) == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_holds_the_lock(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    began = time.monotonic()
    with pytest.raises(LockedError, match=rf"locked by process {holder.pid} \(python"):
        open_engine(path, timeout=0.2)
    assert 0.2 <= time.monotonic() - began < 5


def test_waiting_ends_when_the_holder_lets_go(path: Path, holder: subprocess.Popen[str]) -> None:
    assert holder.stdin is not None
    timer = threading.Timer(0.2, lambda: tell(holder))
    timer.start()
    engine = open_engine(path, timeout=30)
    engine.close()
    timer.join()


def test_reading_takes_no_lock_and_waits_for_none(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    assert holder.poll() is None
    engine = open_engine(path, read_only=True)
    with engine.begin() as transaction:
        assert list(transaction.root.items()) == []
    with pytest.raises(ReadOnlyError):
        engine.begin(writable=True)
    engine.close()
    with pytest.raises(EngineClosedError):
        engine.begin()


def test_killing_the_holder_frees_the_lock(path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    open_engine(path, timeout=5).close()


def test_a_file_that_takes_the_name_while_waiting_is_the_one_that_is_opened(
    path: Path, holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    other = tmp_path / "other.db"
    engine = open_engine(other)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"the other one")
    engine.close()

    def swap() -> None:
        other.rename(path)
        tell(holder)

    timer = threading.Timer(0.2, swap)
    timer.start()
    engine = open_engine(path, timeout=30)
    timer.join()
    with engine.begin() as transaction:
        assert list(transaction.root.items()) == [(b"the other one", None)]
    engine.close()


def test_one_writer_at_a_time_with_a_timeout(path: Path) -> None:
    engine = open_engine(path)
    with engine.begin(writable=True):
        refused: list[str] = []

        def second() -> None:
            with pytest.raises(LockedError) as raised:
                engine.begin(writable=True, timeout=0.05)
            refused.append(str(raised.value))

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert refused == ["another transaction is writing; waited 0.05 seconds"]
    engine.close()


def test_a_fork_may_not_use_the_handle_and_does_not_release_the_lock(path: Path) -> None:
    engine = open_engine(path)
    child = os.fork()
    if not child:
        status = 1
        try:
            engine.begin()
        except EngineClosedError:
            status = 0
        engine.close()
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    # A new open file, as another process would have it: the lock is still held.
    with pytest.raises(LockedError):
        open_engine(path, timeout=0)
    engine.close()
    open_engine(path, timeout=0).close()


def test_eight_threads_lose_no_update(path: Path) -> None:
    engine = open_engine(path)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"counters")

    def count(name: bytes) -> None:
        for _ in range(25):
            with engine.begin(writable=True) as transaction:
                bucket = transaction.root.bucket(b"counters")
                assert bucket is not None
                bucket.next_sequence()
                bucket.put(name, b"%d" % (int(bucket.get(name) or b"0") + 1))

    threads = [threading.Thread(target=count, args=(b"%d" % number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.begin() as transaction:
        bucket = transaction.root.bucket(b"counters")
        assert bucket is not None
        assert bucket.sequence == 200
        assert {value for _, value in bucket.items()} == {b"25"}
    engine.close()
