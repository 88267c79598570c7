"""The walk that finds free pages, beside one that decodes every node."""

from __future__ import annotations

import random
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import pytest

from bolt.crafted_files import PAGE_SIZE, branch, buckets, crafted, leaf
from bolt.gappy_files import gappy, meta_of, used_pages
from bolt.simulated_disk import SimulatedDisk
from orlop.bolt.node import BUCKET_FLAG
from orlop.bolt.page import BUCKET_HEADER
from orlop.bolt.reachable import EXTENT_BYTES, REGION_PAGES, Reachable, find_unreachable
from orlop.kv import CorruptError

if TYPE_CHECKING:
    from orlop.bolt.meta import Meta


MEASURES = [(1, 16), (3 * 1024, 7), (EXTENT_BYTES, REGION_PAGES)]


def search(disk: SimulatedDisk, meta: Meta, measures: tuple[int, int]) -> list[range]:
    walk = Reachable(disk, meta, extent_bytes=measures[0], region_pages=measures[1])
    while walk.step():
        pass
    return walk.unreachable()


@pytest.mark.parametrize("measures", MEASURES)
@pytest.mark.parametrize("page_size", [1024, 4096])
@pytest.mark.parametrize("seed_number", range(4))
def test_it_finds_what_decoding_finds(
    seed_number: int, page_size: int, measures: tuple[int, int]
) -> None:
    disk = gappy(random.Random(seed_number), page_size=page_size)
    meta = meta_of(disk)
    free = set(range(meta.high_water)) - used_pages(disk)
    runs = search(disk, meta, measures)
    assert [*chain(*runs)] == sorted(free)
    assert len(free) > 20
    # Runs are as long as they can be, so that large nodes find their places.
    assert all(one.stop < other.start for one, other in pairwise(runs))


@pytest.mark.parametrize("measures", MEASURES)
def test_what_is_damaged_is_refused_or_makes_no_difference(measures: tuple[int, int]) -> None:
    seed = random.Random(7)
    whole = gappy(seed, rounds=6)
    meta, refused = meta_of(whole), 0
    used = sorted(used_pages(whole) - {0, 1})
    for _ in range(150):
        data = bytearray(whole.durable)
        for _ in range(seed.choice([1, 1, 4])):
            # Most of what counts stands at the beginning of a page.
            place = seed.choice(used) * 1024 + int(1024 * seed.random() ** 4)
            data[place] = seed.choice([0, 1, 2, 255, data[place] ^ 1, seed.randrange(256)])
        disk = SimulatedDisk(bytes(data))
        try:
            expected = used_pages(disk)
        except CorruptError:
            expected = None
        try:
            runs = search(disk, meta, measures)
        except CorruptError:
            refused += 1
            assert expected is None
        else:
            assert expected is None or set(range(meta.high_water)) - expected == set(chain(*runs))
    assert refused > 8


def test_each_step_looks_at_few_pages_and_reads_them_at_once() -> None:
    count = 3000
    names = {b"%04d" % number: number + 5 for number in range(count)}
    pages = {3: buckets(3, {b"v1": 4}), 4: branch(4, names)}
    # Larger than a page: a branch that overflows.
    span = -(-len(pages[4]) // PAGE_SIZE)
    first = 4 + span
    pages[4] = branch(4, {name: page - 5 + first for name, page in names.items()})
    pages[4] = pages[4][:12] + (span - 1).to_bytes(4, "little") + pages[4][16:]
    pages |= {page: leaf(page, {b"k": b""}) for page in range(first, first + count)}
    disk = crafted(pages)
    disk.log.clear()
    walk = Reachable(disk, meta_of(disk))
    steps = 0
    while walk.step():
        steps += 1
    assert walk.unreachable() == [range(2, 3)]
    assert count / 256 < steps < count / 100
    assert len(disk.log) <= steps + 10


@pytest.mark.parametrize("flag", [BUCKET_FLAG, BUCKET_FLAG | 2])
def test_buckets_are_found_in_what_overflows(flag: int) -> None:
    values = {b"a": bytes(3000), b"b": BUCKET_HEADER.pack(9, 1)}
    page = bytearray(leaf(4, values))
    page[12] = 3
    page[32:36] = flag.to_bytes(4, "little")
    disk = crafted({3: buckets(3, {b"v1": 4}), 4: bytes(page), 9: leaf(9, {b"k": b"1"})})
    assert find_unreachable(disk, meta_of(disk)) == [range(2, 3), range(8, 9)]


def overflowing(page: int, pages: int) -> bytes:
    """An empty leaf that takes so many pages."""
    return leaf(page, {})[:12] + (pages - 1).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("pages", "message"),
    [
        ({4: branch(4, {b"a": 4, b"b": 4})}, "page 4 is referred to twice"),
        ({4: branch(4, {b"a": 3, b"b": 5}), 5: leaf(5, {})}, "page 3 is referred to twice"),
        ({4: leaf(5, {})}, "page 4 carries the id 5"),
        (
            {4: branch(4, {b"a": 5, b"b": 7}), 5: overflowing(5, 3), 7: leaf(7, {})},
            "page 7 is referred to twice",
        ),
        (
            {4: branch(4, {b"a": 7, b"b": 8}), 7: branch(7, {b"a": 5}), 5: overflowing(5, 3)}
            | {8: leaf(8, {})},
            "page 5 overflows into a page that is referred to",
        ),
    ],
)
def test_a_page_has_one_place(pages: dict[int, bytes], message: str) -> None:
    disk = crafted({3: buckets(3, {b"v1": 4})} | pages)
    with pytest.raises(CorruptError, match=message):
        find_unreachable(disk, meta_of(disk))
