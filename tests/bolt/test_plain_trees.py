"""Trees from damaged files: an error of the engine, or the same contents as a walk."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from bolt.crafted_files import branch, buckets, crafted, leaf
from bolt.simulated_disk import SimulatedDisk
from campaigns.bombs import bombs
from orlop.bolt.engine import BoltEngine
from orlop.bolt.initialization import empty_database
from orlop.bolt.reader import ReadingEngine
from orlop.bolt.tools.dump import dump
from orlop.kv import CorruptError, EngineError, NestingTooDeepError

if TYPE_CHECKING:
    from orlop.kv import Bucket, Tree

PAGE_BYTES = 1024
DAMAGES = 300


def by_trees(root: Bucket) -> Tree:
    return dict(root.trees())


def by_walking(root: Bucket) -> Tree:
    found: Tree = {}
    before = b""
    for key, value in root.items():
        assert before < key, "a tree has each key once"
        before = key
        if value is None:
            nested = root.bucket(key)
            assert nested is not None, "what is listed is where its name leads"
            found[key] = by_walking(nested)
        else:
            found[key] = value
    return found


def buckets_of(tree: Tree) -> Tree:
    return {key: value for key, value in tree.items() if isinstance(value, dict)}


@pytest.mark.parametrize("name", [name for name, _ in bombs()])
def test_an_endless_file_ends(name: str) -> None:
    transaction = ReadingEngine(SimulatedDisk(dict(bombs())[name])).begin()
    with pytest.raises((CorruptError, NestingTooDeepError)):
        by_trees(transaction.root)


@pytest.fixture(scope="module")
def sound() -> bytes:
    disk = SimulatedDisk(empty_database(PAGE_BYTES))
    engine = BoltEngine(disk)
    with engine.begin(writable=True) as transaction:
        for number in range(4):
            bucket = transaction.root.create_bucket(b"bucket-%d" % number)
            for key in range(8 * number):
                bucket.put(b"key-%d" % key, b"x" * key)
                bucket.create_bucket(b"record-%d" % key).create_bucket(b"labels").put(b"a", b"b")
    return disk.read(0, engine.file_bytes_in_use())


def test_a_sound_file_is_read_alike(sound: bytes) -> None:
    transaction = ReadingEngine(SimulatedDisk(sound)).begin()
    assert by_trees(transaction.root) == by_walking(transaction.root)


def test_a_bucket_that_its_name_does_not_lead_to_is_not_passed_over() -> None:
    # The key in the branch is wrong: by name, one looks for "b" in the first leaf.
    pages = {
        3: buckets(3, {b"v1": 8}),
        8: branch(8, {b"a": 4, b"c": 5}),
        4: buckets(4, {b"a": 6}),
        5: buckets(5, {b"b": 7}),
        6: leaf(6, {}),
        7: leaf(7, {}),
    }
    with BoltEngine(crafted(pages)).begin(writable=True) as transaction:
        bucket = transaction.root.bucket(b"v1")
        assert bucket is not None
        for walk in (lambda: transaction.root.tree(b"v1"), lambda: list(bucket.trees())):
            with pytest.raises(CorruptError, match="b'b' is listed but is not where"):
                walk()
        with pytest.raises(CorruptError, match="b'b' is listed but is not where"):
            "".join(dump(transaction))


@pytest.mark.interpreted("lowers a limit, which compiled code has built in")
def test_what_lies_too_deep_for_plain_trees_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with BoltEngine(SimulatedDisk()).begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket(b"v1")
        for _ in range(3):
            bucket = bucket.create_bucket(b"deeper")
        found = transaction.root.tree(b"v1")
        assert found == {b"deeper": {b"deeper": {b"deeper": {}}}}
        bucket.create_bucket(b"deeper")
        monkeypatch.setattr("orlop.bolt.bucket.MAX_NESTING", 3)
        with pytest.raises(NestingTooDeepError, match="a bucket inside 4 others"):
            transaction.root.tree(b"v1")


def test_a_bucket_cut_short_is_refused() -> None:
    transaction = ReadingEngine(crafted({3: buckets(3, {b"v1": b"short"})})).begin()
    with pytest.raises(CorruptError, match="a bucket's value of 5 bytes is too short"):
        transaction.root.tree(b"v1")


def test_to_go_through_all_lets_nothing_be_forgotten() -> None:
    disk = SimulatedDisk(empty_database(PAGE_BYTES))
    with BoltEngine(disk).begin(writable=True) as transaction:
        made = transaction.root.create_bucket(b"v1")
        for number in range(500):
            made.create_bucket(b"record-%03d" % number).put(b"key", b"value")
    transaction = ReadingEngine(disk).begin()
    bucket = transaction.root.bucket(b"v1")
    assert bucket is not None
    bucket.get(b"record-250")
    before = len(disk.log)
    assert len(list(bucket.trees())) == 500
    scanned = len(disk.log)
    bucket.get(b"record-250")
    assert len(disk.log) == scanned
    assert len(list(bucket.trees())) == 500
    assert len(disk.log) - scanned >= (scanned - before) // 2, "leaves are not kept"


def test_a_damaged_file_is_read_alike_or_refused(sound: bytes) -> None:
    decider = random.Random(7)
    outcomes = {"refused": 0, "read": 0}
    for _ in range(DAMAGES):
        damaged = bytearray(sound)
        for _ in range(decider.choice((1, 1, 3))):
            # Where the file says something: the beginning of a page, most of all.
            page = decider.randrange(2, len(sound) // PAGE_BYTES)
            damaged[page * PAGE_BYTES + decider.randrange(150)] ^= 1 << decider.randrange(8)
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
            assert walked is None or found == buckets_of(walked)
    assert min(outcomes.values()) > DAMAGES // 10, outcomes
