"""The codec of pages, metas and freelists: round trips, and hostile bytes."""

from __future__ import annotations

import contextlib
import struct
from array import array
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bolt.simulated_disk import SimulatedDisk
from orlop.bolt import BoltEngine
from orlop.bolt.freelist import Freelist
from orlop.bolt.initialization import empty_database
from orlop.bolt.meta import Meta, decode_meta, newest_meta, read_metas
from orlop.bolt.node import EMPTY_SIZE, Branch, Leaf
from orlop.bolt.page import (
    decode_bucket,
    decode_freelist,
    decode_header,
    decode_node,
    encode_branch,
    encode_freelist,
    encode_leaf,
    freelist_size,
)
from orlop.bolt.tools.check import check_disk
from orlop.kv import CorruptError, EngineError

if TYPE_CHECKING:
    from orlop.bolt.bucket import BoltBucket

elements = st.dictionaries(st.binary(min_size=1, max_size=50), st.binary(max_size=200), max_size=30)


@given(elements)
@settings(deadline=None)
def test_leaves_survive(contents: dict[bytes, bytes]) -> None:
    leaf = Leaf([], [], [], EMPTY_SIZE)
    for index, key in enumerate(sorted(contents)):
        leaf.insert(index, key, contents[key], 0)
    page = b"".join(encode_leaf(leaf, 7, 0, [contents[key] for key in leaf.keys]))
    assert len(page) == leaf.size
    node = decode_node(page, decode_header(page))
    assert isinstance(node, Leaf)
    assert dict(zip(node.keys, node.values, strict=True)) == contents
    assert (node.size, node.page, node.span) == (leaf.size, 7, 1)


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=30, unique=True))
@settings(deadline=None)
def test_branches_survive(keys: list[bytes]) -> None:
    keys.sort()
    children = list(range(2, 2 + len(keys)))
    size = EMPTY_SIZE + sum(16 + len(key) for key in keys)
    page = b"".join(encode_branch(Branch(keys, [*children], size), 9, 0, children))
    assert len(page) == size
    node = decode_node(page, decode_header(page))
    assert isinstance(node, Branch)
    assert (node.keys, node.children, node.size) == (keys, children, size)


@pytest.mark.parametrize("count", [0, 1, 0xFFFE, 0xFFFF, 0x10000, 200_000])
def test_freelists_of_any_length_survive(count: int) -> None:
    ids = tuple(range(2, 2 + count))
    page = encode_freelist(5, 0, array("Q", ids))
    assert len(page) == freelist_size(count)
    assert decode_freelist(page, decode_header(page)) == ids


@given(st.binary(max_size=200), st.sampled_from([1, 2, 4, 16, 99]), st.integers(0, 0xFFFF))
@settings(deadline=None)
def test_hostile_pages_end_in_a_typed_error(tail: bytes, kind: int, count: int) -> None:
    page = struct.pack("<QHHI", 3, kind, count, 0) + tail
    header = decode_header(page)
    for decode in (decode_node, decode_freelist):
        with contextlib.suppress(CorruptError):
            decode(page, header)
    for value in (tail, b"\0" * 16 + page, page):
        with contextlib.suppress(CorruptError):
            decode_bucket(value)


def test_a_meta_of_a_real_daemon_is_read() -> None:
    meta = Meta(4096, 0, 3, 0, 2, 4, 1)
    assert decode_meta(meta.encode()) == meta


@pytest.mark.parametrize("page_size", [1024, 2048, 4096, 8192, 16384, 32768, 65536])
@pytest.mark.parametrize("damaged", [0, 1])
def test_one_damaged_meta_is_survived_at_any_page_size(page_size: int, damaged: int) -> None:
    disk = SimulatedDisk(empty_database(page_size))
    engine = BoltEngine(disk)
    for number in range(2):
        with engine.begin(writable=True) as transaction:
            transaction.root.create_bucket(b"bucket-%d" % number)
    data = bytearray(disk.durable)
    data[damaged * page_size + 30] ^= 1
    metas = read_metas(SimulatedDisk(bytes(data)).read)
    assert isinstance(metas[damaged], CorruptError)
    survivor = BoltEngine(SimulatedDisk(bytes(data)))
    with survivor.begin() as transaction:
        left = [key for key, _ in transaction.root.items()]
    newest = newest_meta(read_metas(disk.read)).transaction % 2
    assert left == ([b"bucket-0"] if damaged == newest else [b"bucket-0", b"bucket-1"])


@given(st.data())
@settings(deadline=None)
def test_mutated_files_end_in_typed_errors(data: st.DataObject) -> None:
    disk = SimulatedDisk(empty_database(1024))
    engine = BoltEngine(disk, freelist_sync=data.draw(st.booleans()))
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket(b"v1")
        for number in range(60):
            bucket.create_bucket(b"inner-%d" % number).put(b"key", b"x" * number * 9)
        bucket.delete_bucket(b"inner-5")
    mutated = bytearray(disk.durable)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(2048, len(mutated) - 9))
        piece = data.draw(st.binary(min_size=1, max_size=8))
        mutated[place : place + len(piece)] = piece
    check_disk(SimulatedDisk(bytes(mutated)))
    with contextlib.suppress(EngineError):
        survivor = BoltEngine(SimulatedDisk(bytes(mutated)))
        with survivor.begin() as reader:
            _read_all(reader.root)
        with survivor.begin(writable=True) as writer:
            for key, value in list(writer.root.items()):
                assert value is None
                writer.root.delete_bucket(key)


def _read_all(bucket: BoltBucket) -> None:
    pending, seen = [bucket], 0
    while pending and seen < 5000:
        here = pending.pop()
        for key, value in here.items():
            seen += 1
            if value is None:
                nested = here.bucket(key)
                if nested is not None:
                    pending.append(nested)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 5)), max_size=200))
@settings(deadline=None)
def test_the_freelist_agrees_with_a_set(steps: list[tuple[bool, int]]) -> None:
    freelist = Freelist(range(2, 40))
    free = set(range(2, 40))
    taken: list[range] = []
    number = 0
    for take, count in steps:
        if take or not taken:
            start = freelist.allocate(count)
            if start is None:
                runs = (set(range(page, page + count)) for page in free)
                assert not any(run <= free for run in runs)
                continue
            run = range(start, start + count)
            assert set(run) <= free
            free -= set(run)
            taken.append(run)
        else:
            number += 1
            run = taken.pop(count % len(taken))
            freelist.free(number, run)
            assert set(run) <= set(freelist.ids())
            freelist.release(number)
            free |= set(run)
        assert list(freelist.ids()) == sorted(free)
        assert freelist.count() == len(free)


def test_pending_pages_wait_for_their_transaction() -> None:
    freelist = Freelist()
    freelist.free(5, [10, 11])
    freelist.free(6, [12])
    assert freelist.allocate(1) is None
    freelist.release(5)
    assert freelist.allocate(2) == 10
    assert freelist.allocate(1) is None
    freelist.release(6)
    assert freelist.allocate(1) == 12
