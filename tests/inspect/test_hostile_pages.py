"""Files made to exhaust whoever reads them: memory, time and stack stay bounded."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from orlop.bolt.meta import NO_FREELIST, Meta
from orlop.bolt.page import decode_header, decode_node
from orlop.inspect.bolt import check_file
from orlop.kv import CorruptError

if TYPE_CHECKING:
    from pathlib import Path

PAGE_SIZE = 4096


def write_file(path: Path, *pages: bytes, root: int = 2) -> Path:
    """Write a file whose pages, from 2 on, are these."""
    body = b"".join(page.ljust(-(-len(page) // PAGE_SIZE) * PAGE_SIZE, b"\0") for page in pages)
    high_water = 2 + len(body) // PAGE_SIZE
    metas = (
        Meta(PAGE_SIZE, 0, root, 0, NO_FREELIST, high_water, number).encode() for number in (0, 1)
    )
    path.write_bytes(b"".join(meta.ljust(PAGE_SIZE, b"\0") for meta in metas) + body)
    return path


def shared_leaf(count: int, size: int) -> bytes:
    """Return a leaf whose elements all have the same bytes for their value."""
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
