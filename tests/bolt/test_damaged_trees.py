"""Trees that no writer leaves behind: each way to read or change one ends in a CorruptError."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from bolt.crafted_files import PAGE_SIZE, branch, buckets, crafted, freelist, inline, leaf
from bolt.model_bucket import assert_sound_trees, contents
from orlop.bolt import BoltEngine
from orlop.bolt.btree import put
from orlop.bolt.dirty import DirtyNodes
from orlop.bolt.node import BUCKET_FLAG
from orlop.bolt.page import decode_freelist, decode_header
from orlop.bolt.pager import Pager
from orlop.bolt.tools.check import check_disk
from orlop.kv import CorruptError, EnginePoisonedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bolt.simulated_disk import SimulatedDisk
    from orlop.bolt.bucket import BoltBucket

READINGS: list[Callable[[BoltBucket], object]] = [
    lambda bucket: bucket.get(b"k"),
    lambda bucket: list(bucket.items()),
    lambda bucket: bucket.cursor().first(),
    lambda bucket: bucket.cursor().last(),
]
CHANGES: list[Callable[[BoltBucket], object]] = [
    lambda bucket: bucket.put(b"k", b"value"),
    lambda bucket: bucket.create_bucket(b"k"),
]


def opened(disk: SimulatedDisk, use: Callable[[BoltBucket], object], *, writable: bool) -> None:
    """Use the bucket `v1` of a file, in a transaction that is rolled back."""
    engine = BoltEngine(disk)
    transaction = engine.begin(writable=writable)
    try:
        bucket = transaction.root.bucket(b"v1")
        assert bucket is not None
        use(bucket)
    finally:
        transaction.rollback()
        engine.close()


@pytest.mark.parametrize("use", READINGS)
@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize(
    ("page", "message"),
    [
        (branch(4, {b"a": 4, b"z": 4}), "deeper than 64 levels"),
        (branch(4, {b"a": 1, b"z": 1}), "page 1 is referred to as a node"),
        (branch(4, {b"a": 400, b"z": 400}), "page 400 lies behind the end of the file"),
        (branch(4, {b"a": 1 << 60, b"z": 1 << 60}), "behind the end of any file"),
        (branch(4, {b"a": 5, b"z": 5}), "page 5 carries the id 0"),
        (struct.pack("<QHHI", 4, 2, 0, 9), "page 4 overflows behind the end"),
        (struct.pack("<QHHI", 4, 2, 999, 0), "no room for its 999 elements"),
        (struct.pack("<QHHI", 4, 1, 0, 0), "has no children"),
        (struct.pack("<QHHI", 4, 0x10, 0, 0), "neither leaf nor branch"),
        (struct.pack("<QHHIIIQ", 4, 1, 1, 0, 16, 5000, 5), "branch page 4 is out of bounds"),
        (struct.pack("<QHHIIIII", 4, 2, 1, 0, 0, 16, 5000, 5), "leaf page 4 is out of bounds"),
    ],
)
def test_a_damaged_page_is_refused_however_it_is_read(
    use: Callable[[BoltBucket], object], page: bytes, message: str, *, writable: bool
) -> None:
    disk = crafted({3: buckets(3, {b"v1": 4}), 4: page}, high_water=8)
    with pytest.raises(CorruptError, match=message):
        opened(disk, use, writable=writable)


def of_depth(depth: int) -> dict[int, bytes]:
    """A bucket `v1` with so many branches, one below the other, above its one leaf."""
    pages = {3: buckets(3, {b"v1": 4})}
    pages |= {page: branch(page, {b"a": page + 1}) for page in range(4, 4 + depth)}
    pages[4 + depth] = leaf(4 + depth, {b"a": b"value"})
    return pages


@pytest.mark.parametrize("use", [*READINGS, *CHANGES])
def test_a_tree_is_as_deep_as_it_may_be_and_no_deeper(
    use: Callable[[BoltBucket], object],
) -> None:
    opened(crafted(of_depth(63)), use, writable=True)
    with pytest.raises(CorruptError, match="deeper than 64 levels"):
        opened(crafted(of_depth(65)), use, writable=True)


def test_a_change_of_a_tree_that_is_too_deep_ends_even_unasked() -> None:
    # A bucket asks for the key first; whoever calls this asks nothing.
    pager = Pager(crafted(of_depth(65)), PAGE_SIZE)
    with pytest.raises(CorruptError, match="deeper than 64 levels"):
        put(DirtyNodes(pager), pager.load(4), b"k", b"value", 0)


def test_a_branch_that_is_left_with_one_child_is_joined_however_large_it_is() -> None:
    keys = [letter * 400 for letter in (b"a", b"b", b"c", b"d")]
    pages = {3: buckets(3, {b"v1": 4}), 4: branch(4, {keys[0]: 5, keys[2]: 6})}
    pages[5] = branch(5, {keys[0]: 7, keys[1]: 8})
    pages[6] = branch(6, {keys[2]: 9, keys[3]: 10})
    pages |= {page: leaf(page, {keys[page - 7]: b"value"}) for page in range(7, 11)}
    for deleted in range(4):
        disk = crafted(pages)
        engine = BoltEngine(disk, freelist_sync=True)
        with engine.begin(writable=True) as transaction:
            bucket = transaction.root.bucket(b"v1")
            assert bucket is not None
            bucket.delete(keys[deleted])
            assert_sound_trees(transaction)
        with engine.begin() as reader:
            left = {key: b"value" for key in keys if key != keys[deleted]}
            assert contents(reader.root) == {b"v1": left}
        assert check_disk(disk).faults == []


def test_leaves_and_branches_side_by_side_are_not_joined() -> None:
    pages = {
        3: buckets(3, {b"v1": 4}),
        4: branch(4, {b"a": 5, b"m": 6}),
        5: leaf(5, {b"a": b"1", b"b": b"2"}),
        6: branch(6, {b"m": 7, b"p": 8}),
        7: leaf(7, {b"m": b"3"}),
        8: leaf(8, {b"p": b"4"}),
    }
    with pytest.raises(CorruptError, match="side by side"):
        opened(crafted(pages), lambda bucket: bucket.delete(b"a"), writable=True)


def test_the_last_key_below_a_branch_with_one_child_can_be_deleted() -> None:
    disk = crafted({3: buckets(3, {b"v1": 4}), 4: branch(4, {b"a": 5}), 5: leaf(5, {b"a": b"1"})})
    engine = BoltEngine(disk, freelist_sync=True)
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.bucket(b"v1")
        assert bucket is not None
        bucket.delete(b"a")
        assert list(bucket.items()) == []
        bucket.put(b"b", b"2")
    with engine.begin() as reader:
        assert contents(reader.root) == {b"v1": {b"b": b"2"}}
    assert check_disk(disk).faults == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"short", "too short for its header"),
        (inline(b"short"), "too short for its header"),
        (inline(struct.pack("<QHHI", 0, 1, 0, 0)), "holds no leaf"),
        (inline(struct.pack("<QHHI", 0, 2, 7, 0)), "no room for its 7 elements"),
    ],
)
@pytest.mark.parametrize("writable", [False, True])
def test_a_damaged_value_of_a_bucket_is_refused(
    value: bytes, message: str, *, writable: bool
) -> None:
    disk = crafted({3: buckets(3, {b"v1": value})})
    with pytest.raises(CorruptError, match=message):
        opened(disk, lambda bucket: bucket.get(b"k"), writable=writable)


def test_an_inline_bucket_holds_no_buckets() -> None:
    inner = inline(leaf(0, {b"inner": inline(leaf(0, {b"k": b"1"}))}, BUCKET_FLAG))
    disk = crafted({3: buckets(3, {b"v1": inner})})
    for writable in (False, True):
        with pytest.raises(CorruptError, match="an inline bucket holds the bucket b'inner'"):
            opened(disk, lambda bucket: bucket.bucket(b"inner"), writable=writable)


def test_a_page_that_is_part_of_a_bucket_twice_is_not_freed_twice() -> None:
    pages = {
        3: buckets(3, {b"v1": 4}),
        4: branch(4, {b"a": 5, b"m": 5}),
        5: leaf(5, {b"a": b"1"}),
    }
    engine = BoltEngine(crafted(pages))
    transaction = engine.begin(writable=True)
    with pytest.raises(CorruptError, match="page 5 is part of a bucket twice"):
        transaction.root.delete_bucket(b"v1")
    transaction.rollback()


FREE = [2, 6, 7]


def with_freelist(page: bytes) -> SimulatedDisk:
    """A file with the free pages 2, 6 and 7, and `page` as its freelist on page 5."""
    pages = {3: buckets(3, {b"v1": 4}), 4: leaf(4, {b"k": b"1"}), 5: page}
    return crafted(pages, freelist=5, high_water=8)


@pytest.mark.parametrize(
    "page",
    [
        freelist(5, FREE),
        freelist(5, [*FREE, 6]),
        freelist(5, [1, *FREE]),
        freelist(5, [*FREE, 8]),
        freelist(5, [5, *FREE]),
        freelist(5, FREE, kind=2),
        freelist(4, FREE),
        freelist(5, FREE, overflow=90),
        struct.pack("<QHHI", 5, 0x10, 5000, 0),
        struct.pack("<QHHIQ", 5, 0x10, 0xFFFF, 0, 1 << 60),
    ],
)
def test_a_damaged_freelist_is_made_again_from_the_tree(page: bytes) -> None:
    disk = with_freelist(page)
    engine = BoltEngine(disk)
    for number in range(6):
        with engine.begin(writable=True) as transaction:
            bucket = transaction.root.bucket(b"v1")
            assert bucket is not None
            bucket.put(b"k", b"%d" % number * 900)
    with engine.begin() as reader:
        assert contents(reader.root) == {b"v1": {b"k": b"5" * 900}}
    assert check_disk(disk).faults == []


def test_a_freelist_that_is_shorter_than_its_count_is_refused() -> None:
    # In a file no page is so short; but the decoder trusts nothing.
    page = struct.pack("<QHHI", 5, 0x10, 0xFFFF, 0)
    with pytest.raises(CorruptError, match="cut short"):
        decode_freelist(page, decode_header(page))


@pytest.mark.parametrize(
    ("pages", "high_water", "message"),
    [
        ({4: branch(4, {b"a": 5, b"m": 90}), 5: leaf(5, {b"a": b"1"})}, 8, "page 90 is referred"),
        ({4: branch(4, {b"a": 5, b"m": 1}), 5: leaf(5, {b"a": b"1"})}, 8, "page 1 is referred"),
        ({4: branch(4, {b"a": 5, b"m": 5}), 5: leaf(5, {b"a": b"1"})}, 8, "page 5 is referred"),
        ({4: struct.pack("<QHHI", 4, 2, 0, 3)}, 6, "page 4 overflows behind the end"),
        ({4: struct.pack("<QHHI", 4, 2, 999, 0)}, 6, "no room for its 999 elements"),
        (
            {4: struct.pack("<QHHIIIII", 4, 2, 1, 0, BUCKET_FLAG, 1000, 8, 16)},
            6,
            "holds a bucket that is cut short",
        ),
    ],
)
def test_nothing_is_written_to_a_file_whose_free_pages_cannot_be_told(
    pages: dict[int, bytes], high_water: int, message: str
) -> None:
    disk = crafted({3: buckets(3, {b"v1": 4}), **pages}, high_water=high_water)
    engine = BoltEngine(disk)
    disk.log.clear()
    transaction = engine.begin(writable=True)
    transaction.root.create_bucket(b"v2")
    with pytest.raises(EnginePoisonedError, match=message):
        transaction.commit()
    assert "write" not in disk.log
    assert "grow" not in disk.log
