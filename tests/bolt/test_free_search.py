"""Writing beside the search for the free pages: nothing in use is written over, nothing grows."""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from bolt.crafted_files import branch, buckets, crafted, leaf
from bolt.gappy_files import BY_HAND, PAGE_SIZE, THREADED, free_pages, gappy, meta_of, used_pages
from bolt.model_bucket import Model, contents
from bolt.simulated_disk import SimulatedDisk, apply_write
from orlop.bolt import BoltEngine, FileDisk
from orlop.bolt.tools.check import check_disk
from orlop.kv import CorruptError, EnginePoisonedError
from orlop.testing.engine.threads import Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop.bolt.free_pages import FreeSearch

PATIENCE = 20
ROOM_PAGES = 200


def roomy(disk: SimulatedDisk, pages: int = ROOM_PAGES) -> SimulatedDisk:
    """The same file, with so many pages behind the last one."""
    meta = meta_of(disk)
    end = meta.high_water * meta.page_size
    data = bytearray(disk.durable[:end])
    apply_write(data, end + pages * meta.page_size, None)
    return SimulatedDisk(bytes(data))


def put(engine: BoltEngine, number: int, size: int = 10) -> None:
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket_if_absent(b"new")
        bucket.put(b"%04d" % number, bytes(size))


def search_of(engine: BoltEngine) -> FreeSearch:
    search = engine._allocator.search
    assert search is not None
    return search


def everything(disk: SimulatedDisk) -> Model:
    with BoltEngine(SimulatedDisk(disk.durable)).begin() as transaction:
        return contents(transaction.root)


def test_a_large_file_is_written_before_anything_is_searched() -> None:
    disk = roomy(gappy(random.Random(1)))
    before, free = disk.durable, free_pages(disk)
    end = meta_of(disk).high_water
    engine = BoltEngine(disk, searching=BY_HAND)
    disk.log.clear()
    put(engine, 0)
    assert disk.log.count("read") < 10
    put(engine, 1)
    # All of the version that is to be searched is as it was, whatever was freed since.
    assert disk.durable[2 * PAGE_SIZE : end * PAGE_SIZE] == before[2 * PAGE_SIZE : end * PAGE_SIZE]
    assert meta_of(disk).high_water > end
    assert not search_of(engine).is_over

    while search_of(engine).step():
        pass
    for number in range(2, 6):
        put(engine, number)
    assert engine._allocator.search is None
    assert used_pages(disk) & free, "the free pages are used as soon as they are known"
    assert check_disk(SimulatedDisk(disk.durable)).faults == []


def test_what_is_appended_and_replaced_is_used_again_while_the_search_goes_on() -> None:
    disk = roomy(gappy(random.Random(2)))
    engine = BoltEngine(disk, searching=BY_HAND)
    put(engine, 0)
    put(engine, 0)
    put(engine, 0)
    end = meta_of(disk).high_water
    for _ in range(100):
        put(engine, 0)
    assert not search_of(engine).is_over
    assert meta_of(disk).high_water <= end + 4
    assert check_disk(SimulatedDisk(disk.durable)).faults == []


@pytest.mark.parametrize("size", [30_000, 900_000])
def test_a_file_does_not_grow_only_because_its_free_pages_are_not_known(size: int) -> None:
    disk = roomy(gappy(random.Random(3)), pages=20)
    before = disk.size()
    free = len(free_pages(disk)) * PAGE_SIZE
    engine = BoltEngine(disk, searching=BY_HAND)
    put(engine, 0)
    assert not search_of(engine).is_over
    put(engine, 1, min(size // 100, 1000))
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket(b"much")
        for number in range(100):
            bucket.put(b"%04d" % number, bytes(size // 100))
    assert engine._allocator.search is None
    assert (disk.size() > before) == (size > free)
    assert check_disk(SimulatedDisk(disk.durable)).faults == []


@pytest.mark.parametrize("freelist_sync", [None, True])
def test_who_must_know_waits(freelist_sync: bool | None) -> None:  # noqa: FBT001 (parametrized)
    """Where a list is to be kept, it has to be whole; and a small file is searched in no time."""
    disk = roomy(gappy(random.Random(4)))
    free = free_pages(disk)
    options = BY_HAND
    if not freelist_sync:
        options = options._replace(small_pages=meta_of(disk).high_water)
    engine = BoltEngine(disk, freelist_sync=freelist_sync, searching=options)
    put(engine, 0)
    assert engine._allocator.search is None
    assert used_pages(disk) & free
    assert check_disk(SimulatedDisk(disk.durable)).faults == []


def test_reading_never_searches() -> None:
    disk = roomy(gappy(random.Random(5)))
    expected = everything(disk)
    engine = BoltEngine(disk, searching=BY_HAND)
    with engine.begin() as reader:
        assert contents(reader.root) == expected
    engine.begin(writable=True).rollback()
    assert engine._allocator.search is None
    engine.close()


def test_a_reader_of_the_searched_version_keeps_its_pages_after_the_search() -> None:
    disk = roomy(gappy(random.Random(6)))
    expected = everything(disk)
    engine = BoltEngine(disk, searching=BY_HAND)
    reader = engine.begin()
    for number in range(3):
        put(engine, number)
    while search_of(engine).step():
        pass
    for number in range(30):
        put(engine, number, size=500)
    # From the disk, not from what is remembered of it.
    engine._pager.young.clear()
    engine._pager._old.clear()
    assert contents(reader.root) == expected
    reader.rollback()


def damaged() -> SimulatedDisk:
    """A file with damage in a bucket that no writer needs."""
    return roomy(
        crafted(
            {
                3: buckets(3, {b"new": 4, b"old": 5}),
                4: leaf(4, {b"k": b"1"}),
                5: branch(5, {b"a": 6, b"m": 90}),
                6: leaf(6, {b"a": b"1"}),
            },
            high_water=8,
        )
    )


def test_damage_that_is_found_later_ends_all_writing_and_no_reading() -> None:
    disk = damaged()
    engine = BoltEngine(disk, searching=BY_HAND)
    put(engine, 0)
    waiting = engine.begin(writable=True)
    waiting.root.create_bucket(b"more")
    with pytest.raises(CorruptError, match="page 90 is referred to"):
        search_of(engine).finish()
    durable = disk.durable
    disk.log.clear()
    with pytest.raises(EnginePoisonedError, match="page 90 is referred to"):
        waiting.commit()
    assert disk.log == []
    assert disk.durable == durable
    engine.close()

    engine = BoltEngine(SimulatedDisk(durable), searching=BY_HAND)
    put(engine, 1)
    with pytest.raises(CorruptError):
        search_of(engine).finish()
    for _ in range(2):
        with pytest.raises(CorruptError, match="page 90 is referred to"):
            engine.begin(writable=True)
    with engine.begin() as reader:
        bucket = reader.root.bucket(b"new")
        assert bucket is not None
        assert bucket.get(b"0001") == bytes(10)
    engine.close()


def test_a_thread_that_meets_damage_tells_the_next_writer() -> None:
    engine = BoltEngine(damaged(), searching=THREADED)
    put(engine, 0)
    search = search_of(engine)
    wait_for(lambda: search.is_over)
    with pytest.raises(CorruptError, match="page 90 is referred to"):
        engine.begin(writable=True)
    engine.close()


def test_what_cannot_be_read_is_tried_again() -> None:
    disk = roomy(gappy(random.Random(8)))
    engine = BoltEngine(disk, searching=THREADED)
    read = disk.read

    def refuse(offset: int, length: int) -> bytes:
        if threading.current_thread().name == "free-pages":
            raise OSError(errno.EIO, "simulated")
        return read(offset, length)

    disk.read = refuse  # type: ignore[method-assign]
    put(engine, 0)
    search = search_of(engine)
    thread = search._runner
    assert thread is not None
    thread.join(PATIENCE)
    assert not search.is_over
    disk.read = read  # type: ignore[method-assign]
    put(engine, 1)
    wait_for(lambda: search.is_over)
    put(engine, 2)
    assert engine._allocator.search is None
    assert check_disk(SimulatedDisk(disk.durable)).faults == []
    engine.close()


def test_where_there_is_no_thread_to_be_had_the_search_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    disk = roomy(gappy(random.Random(9)), pages=20)
    engine = BoltEngine(disk, searching=THREADED)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        put(engine, 0)
        put(engine, 1, 5000)
        put(engine, 2, 30_000)
    assert engine._allocator.search is None
    engine.close()
    assert check_disk(SimulatedDisk(disk.durable)).faults == []


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class SlowReads:
    """A file with reads that wait until the test allows them."""

    def __init__(self, path: Path) -> None:
        self.file = FileDisk.for_writing(path, timeout=0)
        self.size, self.write, self.grow = self.file.size, self.file.write, self.file.grow
        self.sync, self.identity, self.close = self.file.sync, self.file.identity, self.file.close
        self.status, self.is_synced = self.file.status, self.file.is_synced
        self.may_go_on, self.is_waiting = threading.Event(), threading.Event()

    def read(self, offset: int, length: int) -> bytes:
        if threading.current_thread().name == "free-pages":
            self.is_waiting.set()
            assert self.may_go_on.wait(PATIENCE)
        return self.file.read(offset, length)


def slow(path: Path, seed: int) -> SlowReads:
    path.write_bytes(roomy(gappy(random.Random(seed))).durable)
    return SlowReads(path)


def test_closing_waits_for_the_step_that_is_under_way_and_for_no_other(tmp_path: Path) -> None:
    disk = slow(tmp_path / "slow.db", 10)
    engine = BoltEngine(disk, searching=THREADED)
    put(engine, 0)
    search = search_of(engine)
    assert disk.is_waiting.wait(PATIENCE)
    closer = Worker(engine.close)
    assert not closer.has_ended(0.1), "the file stays open as long as it is read"
    disk.may_go_on.set()
    closer.result()
    assert not search.is_over
    assert search._runner is not None
    assert not search._runner.is_alive()
    assert check_disk(FileDisk.for_reading(tmp_path / "slow.db")).faults == []


def test_a_poisoned_handle_is_closed_as_well(tmp_path: Path) -> None:
    disk = slow(tmp_path / "slow.db", 11)
    engine = BoltEngine(disk, searching=THREADED)
    put(engine, 0)
    assert disk.is_waiting.wait(PATIENCE)

    def fail() -> None:
        raise OSError(errno.EIO, "simulated")

    disk.sync = fail
    with pytest.raises(EnginePoisonedError):
        put(engine, 1)
    search = search_of(engine)
    disk.may_go_on.set()
    engine.close()
    assert search._runner is not None
    assert not search._runner.is_alive()


def test_a_forked_process_has_no_thread_to_wait_for(tmp_path: Path) -> None:
    disk = slow(tmp_path / "slow.db", 12)
    engine = BoltEngine(disk, searching=THREADED)
    put(engine, 0)
    assert disk.is_waiting.wait(PATIENCE)
    # As in a child that was forked while the thread was reading.
    engine._home.number = disk.file._use._home.number = os.getpid() + 1
    engine.close()
    disk.may_go_on.set()


@pytest.mark.parametrize("seed_number", range(3))
def test_writers_and_readers_go_on_beside_the_thread(tmp_path: Path, seed_number: int) -> None:
    """Four writers and a reader, while the search takes its time; then once more without it."""
    path = tmp_path / "busy.db"
    disk = slow(path, 20 + seed_number)
    expected = everything(SimulatedDisk(path.read_bytes()))
    engine = BoltEngine(disk, searching=THREADED)
    reader = engine.begin()

    def write(thread: int, round_: int) -> None:
        seed = random.Random(thread)
        for number in range(25):
            put(engine, (round_ * 10 + thread) * 100 + number, seed.choice([5, 300]))
            if number == 12:
                disk.may_go_on.set()

    for round_ in range(2):
        writers = [
            Worker(lambda thread=thread, round_=round_: write(thread, round_))  # type: ignore[misc]
            for thread in range(4)
        ]
        for writer in writers:
            writer.result()
    assert contents(reader.root) == expected
    reader.rollback()
    put(engine, 9999)
    wait_for(lambda: engine._allocator.search is None or engine._allocator.search.is_over)
    put(engine, 9998)
    assert engine._allocator.search is None
    engine.close()
    found = everything(SimulatedDisk(path.read_bytes()))
    new = found.pop(b"new")
    assert found == expected
    assert len(new) == 2 * 4 * 25 + 2
    assert check_disk(FileDisk.for_reading(path)).faults == []
