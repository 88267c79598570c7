"""Which meta is taken for one, and which of two counts."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from bolt.simulated_disk import SimulatedDisk
from orlop.bolt.checksum import checksum
from orlop.bolt.meta import (
    META_SIZE,
    Meta,
    decode_meta,
    newest_meta,
    read_metas,
    suspect_metas,
)
from orlop.kv import CorruptError

if TYPE_CHECKING:
    from pathlib import Path

META = Meta(page_size=4096, flags=0, root=3, sequence=5, freelist=2, high_water=9, transaction=6)


def changed(field: int, value: int) -> bytes:
    """A meta with one of its first fields changed, and a checksum that is right."""
    page = bytearray(META.encode())
    struct.pack_into("<I", page, 16 + 4 * field, value)
    struct.pack_into("<Q", page, META_SIZE - 8, checksum(bytes(page[16 : META_SIZE - 8])))
    return bytes(page)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (META.encode()[:-1], "cut short"),
        (changed(0, 0xED0CDAEE), "magic 0xed0cdaee instead of 0xed0cdaed"),
        (changed(1, 3), "file format 3; only 2 is known"),
        (META.encode()[:-1] + b"x", "wrong checksum"),
        (changed(2, 0), "a page size of 0 bytes"),
        (changed(2, 512), "a page size of 512 bytes"),
        (changed(2, 5000), "a page size of 5000 bytes"),
        (changed(2, 1 << 17), "a page size of 131072 bytes"),
    ],
)
def test_what_is_no_meta_is_refused(page: bytes, message: str) -> None:
    with pytest.raises(CorruptError, match=message):
        decode_meta(page)


def test_every_field_counts_in_the_checksum() -> None:
    page = META.encode()
    for place in range(16, META_SIZE):
        damaged = bytearray(page)
        damaged[place] ^= 0x10
        with pytest.raises(CorruptError):
            decode_meta(bytes(damaged))


def file_of(first: bytes, second: bytes, second_at: int) -> bytes:
    return first.ljust(second_at, b"\0") + second.ljust(4096, b"\0")


def test_a_second_meta_of_another_page_size_does_not_count() -> None:
    other = META._replace(page_size=8192, transaction=99)
    data = file_of(META.encode(), other.encode(), 4096)
    metas = read_metas(lambda offset, length: data[offset : offset + length])
    assert newest_meta(metas) == META
    assert "different page sizes" in str(metas[1])


def test_behind_a_damaged_first_meta_only_one_at_its_own_page_size_counts() -> None:
    for size in (1024, 2048, 4096, 8192):
        data = file_of(b"damaged", META.encode(), size)
        metas = read_metas(lambda offset, length, data=data: data[offset : offset + length])  # type: ignore[misc]
        if size == 4096:
            assert newest_meta(metas) == META
        else:
            with pytest.raises(CorruptError, match="no bolt database"):
                newest_meta(metas)


def test_the_later_transaction_counts() -> None:
    later = META._replace(transaction=7)
    for first, second in ((META, later), (later, META)):
        data = file_of(first.encode(), second.encode(), 4096)
        metas = read_metas(lambda offset, length, data=data: data[offset : offset + length])  # type: ignore[misc]
        assert newest_meta(metas) == later


@pytest.mark.parametrize("length", [0, 1, META_SIZE - 1])
def test_in_a_file_shorter_than_a_meta_none_is_suspected(length: int) -> None:
    data = META.encode()[:length]
    assert suspect_metas(lambda offset, count: data[offset : offset + count]) == []


def test_a_meta_with_a_wrong_checksum_is_suspected_only_where_it_may_stand() -> None:
    damaged = META.encode()[:-1] + b"x"
    for size in (1024, 4096):
        data = file_of(b"damaged", damaged, size)
        found = suspect_metas(lambda offset, count, data=data: data[offset : offset + count])  # type: ignore[misc]
        assert found == ([META] if size == 4096 else [])


def test_the_metas_of_a_real_daemon_are_written_as_it_wrote_them(data: Path) -> None:
    for path in sorted(data.rglob("*.db")):
        contents = path.read_bytes()
        for metas_page in (contents[:META_SIZE], contents[4096 : 4096 + META_SIZE]):
            assert decode_meta(metas_page).encode() == metas_page


def test_a_refusal_names_the_page() -> None:
    disk = SimulatedDisk(file_of(bytes(META_SIZE), META.encode()[:-1] + b"x", 4096))
    assert str(read_metas(disk.read)[0]).startswith("meta page 0: no meta")
    disk = SimulatedDisk(file_of(META.encode(), bytes(META_SIZE), 4096))
    assert str(read_metas(disk.read)[1]).startswith("meta page 1: no meta")


@pytest.mark.parametrize(("fields", "count"), [((0,), 2), ((1,), 2), ((0, 1), 0)])
def test_a_meta_without_its_magic_or_its_version_is_suspected(
    fields: tuple[int, ...], count: int
) -> None:
    page = bytearray(META.encode())
    for field in fields:
        struct.pack_into("<I", page, 16 + 4 * field, 7)
    disk = SimulatedDisk(file_of(bytes(page), bytes(page), 4096))
    assert suspect_metas(disk.read) == [META] * count
