"""Files that Orlop writes before it knows their free pages: bbolt is the judge, and goes on."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from bolt.gappy_files import BY_HAND, THREADED, free_pages, gappy, meta_of, used_pages
from bolt.simulated_disk import SimulatedDisk
from orlop.bolt import BoltEngine, FileDisk
from real.pages import Pages
from real.players import check, dump
from real.scripts import Operation

if TYPE_CHECKING:
    from pathlib import Path

    from oracle.client import Oracle
    from orlop.bolt.free_pages import SearchOptions

pytestmark = pytest.mark.real("bbolt", "go")

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
MIB = 1024 * 1024


def on_disk(path: Path) -> SimulatedDisk:
    return SimulatedDisk(path.read_bytes())


def judge(bbolt: Oracle, path: Path) -> None:
    assert bbolt.check(path) == check(path) == []
    assert bbolt.dump(path) == dump(path)
    assert Pages(path).lean_pages() == []


def put(engine: BoltEngine, number: int, size: int = 40) -> None:
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket_if_absent(b"orlop")
        bucket.put(b"%06d" % number, bytes(size))


def bbolt_puts(bbolt: Oracle, path: Path, number: int) -> None:
    name = b"bbolt %d" % number
    operations = [Operation("create_bucket", (), name)]
    operations += [Operation("put", (name,), b"%04d" % key, bytes(300)) for key in range(40)]
    steps = [one.as_json() for one in operations]
    results = bbolt.with_options(freelist_sync=False).run(
        path, [{"op": "begin"}, *steps, {"op": "commit"}]
    )
    assert not any("error" in result for result in results)


def opened(path: Path, options: SearchOptions = BY_HAND) -> BoltEngine:
    return BoltEngine(FileDisk.for_writing(path, timeout=0), searching=options)


@pytest.mark.parametrize("seed_number", range(2))
def test_bbolt_accepts_what_was_written_beside_the_search_and_after_it(
    bbolt: Oracle, tmp_path: Path, seed_number: int
) -> None:
    path = tmp_path / "searched.db"
    path.write_bytes(gappy(random.Random(seed_number), page_size=PAGE_SIZE).durable)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + MIB)
    size = path.stat().st_size
    judge(bbolt, path)
    free = free_pages(on_disk(path))

    engine = opened(path)
    for number in range(10):
        put(engine, number)
    search = engine._allocator.search
    assert search is not None
    assert not free & used_pages(on_disk(path)), "they are not known yet"
    engine.close()
    judge(bbolt, path)

    bbolt_puts(bbolt, path, 1)
    judge(bbolt, path)

    engine = opened(path)
    put(engine, 100)
    search = engine._allocator.search
    assert search is not None
    free = free_pages(on_disk(path))
    while search.step():
        pass
    for number in range(101, 140):
        put(engine, number, 3000)
    engine.close()
    assert free & used_pages(on_disk(path)), "they are used as soon as they are known"
    judge(bbolt, path)
    bbolt_puts(bbolt, path, 2)
    judge(bbolt, path)
    assert path.stat().st_size == size


def test_bbolt_accepts_a_file_whose_end_was_made_free(bbolt: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "cut.db"
    disk = gappy(random.Random(3), page_size=PAGE_SIZE)
    end = meta_of(disk).high_water
    path.write_bytes(disk.durable[: end * PAGE_SIZE])
    high_waters = []
    for number in range(60):
        engine = opened(path)
        put(engine, number % 20)
        engine.close()
        high_waters.append(meta_of(on_disk(path)).high_water)
        if number % 15 == 0 or high_waters[-1] < end:
            judge(bbolt, path)
        if number == 30:
            bbolt_puts(bbolt, path, number)
            judge(bbolt, path)
    assert min(high_waters) < end


def test_bbolt_accepts_what_was_written_while_a_thread_searched(
    bbolt: Oracle, tmp_path: Path
) -> None:
    path = tmp_path / "threaded.db"
    path.write_bytes(gappy(random.Random(4), page_size=PAGE_SIZE).durable)
    for number in range(12):
        engine = opened(path, THREADED)
        for key in range(10):
            put(engine, number * 100 + key, 500)
        engine.close()
        judge(bbolt, path)
        if number % 4 == 3:
            bbolt_puts(bbolt, path, number)
            judge(bbolt, path)
