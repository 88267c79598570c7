"""Files made to exhaust their reader: memory, time and stack stay bounded."""

from __future__ import annotations

import os
import struct
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from orlop.bolt import open_engine
from orlop.bolt.meta import NO_FREELIST, Meta
from orlop.bolt.page import decode_header, decode_node
from orlop.bolt.tools.dump import dump
from orlop.kv import CorruptError
from orlop.maintenance import check_file, diff, pages, statistics
from orlop.maintenance.listing import entries

if TYPE_CHECKING:
    from pathlib import Path

PAGE_SIZE = 4096


def write_file(path: Path, *pages: bytes, root: int = 2) -> Path:
    """Write a file with these pages, from page 2 on."""
    body = b"".join(page.ljust(-(-len(page) // PAGE_SIZE) * PAGE_SIZE, b"\0") for page in pages)
    high_water = 2 + len(body) // PAGE_SIZE
    metas = (
        Meta(PAGE_SIZE, 0, root, 0, NO_FREELIST, high_water, number).encode() for number in (0, 1)
    )
    path.write_bytes(b"".join(meta.ljust(PAGE_SIZE, b"\0") for meta in metas) + body)
    return path


def shared_leaf(count: int, size: int) -> bytes:
    """Return a leaf with elements that share the bytes of their values."""
    span = 16 + 16 * count + 8 + size
    table = b"".join(
        struct.pack("<IIII", 0, (count - place) * 16, 8, size) for place in range(count)
    )
    return struct.pack("<QHHI", 2, 2, count, -(-span // PAGE_SIZE) - 1) + table + bytes(8 + size)


def shared_branch(count: int, size: int) -> bytes:
    table = b"".join(struct.pack("<IIQ", (count - place) * 16, size, 3) for place in range(count))
    span = 16 + len(table) + size
    return struct.pack("<QHHI", 2, 1, count, -(-span // PAGE_SIZE) - 1) + table + bytes(size)


@pytest.mark.parametrize("page", [shared_leaf(200, 8000), shared_branch(200, 8000)])
def test_elements_that_share_their_bytes_are_refused(page: bytes) -> None:
    # 65,535 of them with a megabyte each would take 64 GiB, from a file of two.
    with pytest.raises(CorruptError, match=r"element 1 of .* is out of bounds"):
        decode_node(page, decode_header(page))


def test_the_checker_survives_elements_that_share_their_bytes(tmp_path: Path) -> None:
    [fault] = check_file(write_file(tmp_path / "bomb.db", shared_leaf(60_000, 1 << 20))).faults
    assert (fault.page, fault.message) == (2, "element 1 of leaf page 2 is out of bounds")


def nested_leaf(number: int, *, child: int | None) -> bytes:
    if child is None:
        return struct.pack("<QHHI", number, 2, 0, 0)
    value = struct.pack("<QQ", child, 0)
    element = struct.pack("<IIII", 1, 16, 2, len(value))
    return struct.pack("<QHHI", number, 2, 1, 0) + element + b"in" + value


def test_buckets_of_any_depth_are_read_in_little_memory(tmp_path: Path) -> None:
    depth = 4000
    leaves = (
        nested_leaf(2 + number, child=3 + number if number < depth else None)
        for number in range(depth + 1)
    )
    path = write_file(tmp_path / "deep.db", *leaves)
    tracemalloc.start()
    assert check_file(path).faults == []
    assert max((page.bucket.depth for page in pages(path) if page.bucket), default=0) == depth
    assert statistics(path).nesting == depth
    # A tuple of names for each bucket alone would be 64 MB.
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
    engine = open_engine(path, read_only=True)
    with engine.begin() as transaction:
        assert sum(piece.count('"bucket"') for piece in dump(transaction)) == depth
        assert sum(1 for _ in entries(transaction)) == depth
        assert list(diff(transaction, transaction)) == []
    engine.close()


def test_the_names_of_a_deep_place_are_the_last_ones(tmp_path: Path) -> None:
    leaves = [nested_leaf(2 + number, child=3 + number) for number in range(99)]
    path = write_file(tmp_path / "deep.db", *leaves)
    [fault] = check_file(path).faults
    assert fault.bucket_path == (b"in",) * 32
    assert fault.message == "page 101 is out of bounds"


@pytest.mark.parametrize("is_descending", [False, True])
def test_pages_that_overflow_into_each_other_cost_no_square(
    tmp_path: Path, *, is_descending: bool
) -> None:
    count = 3000
    numbers = range(3, 3 + count)
    table, body = [], b""
    for place, number in enumerate(reversed(numbers) if is_descending else numbers):
        distance = (count - place) * 16 + len(body)
        table.append(struct.pack("<IIII", 1, distance, 4, 16))
        body += b"%04d" % place + struct.pack("<QQ", number + 30, 0)
    top = struct.pack("<QHHI", 2, 2, count, 30) + (b"".join(table) + body).ljust(
        31 * PAGE_SIZE - 16, b"\0"
    )
    # Each one claims all that follow.
    leaves = [struct.pack("<QHHI", number + 30, 2, 0, numbers[-1] - number) for number in numbers]
    path = write_file(tmp_path / "overlap.db", top, *leaves)
    reads: list[int] = []

    def pread(descriptor: int, length: int, offset: int) -> bytes:
        reads.append(length)
        return real_pread(descriptor, length, offset)

    real_pread = os.pread
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pread", pread)
        report = check_file(path)
        assert sum(1 for _ in pages(path)) >= count
    assert len(report.faults) == count - 1
    assert sum(reads) < 4 * path.stat().st_size
