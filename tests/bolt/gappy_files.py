"""Files with many pages, of which many are free, so that a search for those takes its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bolt.simulated_disk import SimulatedDisk
from orlop.bolt import BoltEngine
from orlop.bolt.free_pages import SearchOptions
from orlop.bolt.initialization import empty_database
from orlop.bolt.meta import Meta, newest_meta, read_metas
from orlop.bolt.node import BUCKET_FLAG, Branch
from orlop.bolt.page import decode_bucket, decode_node
from orlop.bolt.pager import FIRST_NODE_PAGE, Pager
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    import random

PAGE_SIZE = 1024

THREADED = SearchOptions(small_pages=0)
"""Beside the search of a thread, however small the file is."""

BY_HAND = SearchOptions(small_pages=0, has_thread=False)
"""No thread searches: the test does, or whoever needs the free pages."""

PAGE_BY_PAGE = SearchOptions(small_pages=0, has_thread=False, extent_bytes=1, region_pages=16)
"""The same, in as many steps as there are pages."""


def gappy(
    seed: random.Random, *, page_size: int = PAGE_SIZE, rounds: int = 12, keys: int = 300
) -> SimulatedDisk:
    """A file without a freelist: buckets, large values and small ones, and gaps between them."""
    disk = SimulatedDisk(empty_database(page_size))
    engine = BoltEngine(disk)
    for _ in range(rounds):
        with engine.begin(writable=True) as transaction:
            for _ in range(keys // 3):
                name = b"bucket-%d" % seed.randint(0, 3)
                bucket = transaction.root.create_bucket_if_absent(name)
                key = b"key-%04d" % seed.randint(0, keys)
                dice = seed.random()
                if dice < 0.3:
                    inner = bucket.create_bucket_if_absent(b"inner " + key)
                    inner.put(key, bytes(seed.choice([10, 400])))
                    inner.create_bucket_if_absent(b"labels").put(b"label", b"value")
                elif dice < 0.8:
                    bucket.put(key, bytes(seed.choice([0, 30, 300, 300, 3 * page_size])))
                else:
                    bucket.delete(key)
    engine.close()
    return SimulatedDisk(disk.durable)


def meta_of(disk: SimulatedDisk) -> Meta:
    return newest_meta(read_metas(disk.read))


def used_pages(disk: SimulatedDisk) -> set[int]:
    """The pages of the newest version, found by decoding each node.

    Raises:
        CorruptError: a node is damaged, or part of the tree twice.
    """
    meta, pager = meta_of(disk), Pager(disk, meta_of(disk).page_size)
    used = set(range(FIRST_NODE_PAGE))
    pending = [meta.root]
    while pending:
        page = pending.pop()
        data, header = pager.read(page)
        span = range(page, page + header.overflow + 1)
        if page < FIRST_NODE_PAGE or span.stop > meta.high_water or used & set(span):
            raise CorruptError(f"page {page} cannot be where it is")
        used |= set(span)
        node = decode_node(data, header)
        if isinstance(node, Branch):
            pending += [child for child in node.children if isinstance(child, int)]
        else:
            for flag, value in zip(node.flags, node.values, strict=True):
                if flag & BUCKET_FLAG:
                    assert isinstance(value, bytes)
                    root = decode_bucket(value)[0].root
                    pending += [root] if root else []
    return used


def free_pages(disk: SimulatedDisk) -> set[int]:
    """The pages that the newest version has no use for."""
    return set(range(meta_of(disk).high_water)) - used_pages(disk)
