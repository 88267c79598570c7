"""Trees from damaged files: an error of the engine, or what walking finds."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from bolt.simulated_disk import SimulatedDisk
from campaigns.bombs import bombs
from orlop.bolt.engine import BoltEngine
from orlop.bolt.reader import ReadingEngine
from orlop.kv import CorruptError, EngineError, NestingTooDeepError

if TYPE_CHECKING:
    from orlop.kv import Bucket, Tree

PAGE_BYTES = 4096


def by_trees(root: Bucket) -> Tree:
    return dict(root.trees())


def by_walking(root: Bucket) -> Tree:
    found: Tree = {}
    before = b""
    for key, value in root.items():
        assert before < key, "a tree has each key once"
        before = key
        nested = root.bucket(key) if value is None else None
        if nested is not None:
            found[key] = by_walking(nested)
        elif value is not None:
            found[key] = value
    return found


@pytest.mark.parametrize("name", [name for name, _ in bombs()])
def test_an_endless_file_ends(name: str) -> None:
    transaction = ReadingEngine(SimulatedDisk(dict(bombs())[name])).begin()
    with pytest.raises((CorruptError, NestingTooDeepError)):
        by_trees(transaction.root)


@pytest.fixture(scope="module")
def sound() -> bytes:
    disk = SimulatedDisk()
    engine = BoltEngine(disk)
    with engine.begin(writable=True) as transaction:
        for number in range(6):
            bucket = transaction.root.create_bucket(b"bucket-%d" % number)
            for key in range(10 * number):
                bucket.put(b"key-%d" % key, b"x" * key)
                bucket.create_bucket(b"record-%d" % key).create_bucket(b"labels").put(b"a", b"b")
    return disk.read(0, disk.size())


def test_a_sound_file_is_read_alike(sound: bytes) -> None:
    transaction = ReadingEngine(SimulatedDisk(sound)).begin()
    assert by_trees(transaction.root) == by_walking(transaction.root)


def test_a_damaged_file_is_read_alike_or_refused(sound: bytes) -> None:
    decider = random.Random(7)
    outcomes = {"refused": 0, "read": 0}
    for _ in range(1_500):
        damaged = bytearray(sound)
        for _ in range(decider.choice((1, 1, 3))):
            # Where the file says something: the beginning of a page, most of all.
            page = decider.randrange(2, len(sound) // PAGE_BYTES)
            damaged[page * PAGE_BYTES + decider.randrange(200)] ^= 1 << decider.randrange(8)
        try:
            walked = by_walking(ReadingEngine(SimulatedDisk(bytes(damaged))).begin().root)
        except (EngineError, AssertionError):
            walked = None
        try:
            found = by_trees(ReadingEngine(SimulatedDisk(bytes(damaged))).begin().root)
        except EngineError:
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
            assert walked is None or found == walked
    assert min(outcomes.values()) > 100
