"""Decompression by magic, against the libraries' own compressors."""

from __future__ import annotations

import contextlib
import gzip
import io
import sys
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import DataLossError
from orlop.oci.compression import Compression, decompress, detect

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACKERS: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.GZIP: gzip.compress,
    Compression.ZSTD: zstd.compress,
}
SKIPPABLE = b"\x5a\x2a\x4d\x18\x03\x00\x00\x00abc"


@given(
    kind=st.sampled_from(list(PACKERS)),
    parts=st.lists(st.binary(max_size=3000), min_size=1, max_size=3),
    size=st.integers(1, 5000),
)
def test_every_member_is_expanded(kind: Compression, parts: list[bytes], size: int) -> None:
    blob = b"".join(PACKERS[kind](part) for part in parts)
    found, stream = decompress(io.BytesIO(blob), label="blob")
    assert found is kind
    assert b"".join(iter(lambda: stream.read(size), b"")) == b"".join(parts)


@given(st.binary(max_size=100))
def test_what_is_not_compressed_comes_as_it_is(data: bytes) -> None:
    found, stream = decompress(io.BytesIO(data), label="blob")
    if found is Compression.NONE:
        assert stream.read() == data


@given(kind=st.sampled_from(list(PACKERS)), cut=st.integers(1, 200))
def test_a_cut_blob_is_an_error(kind: Compression, cut: int) -> None:
    blob = PACKERS[kind](bytes(range(256)) * 40)
    short = blob[: max(len(blob) - cut, 10)]
    _, stream = decompress(io.BytesIO(short), label="blob")
    with pytest.raises(DataLossError, match="blob: the"):
        stream.read()


@given(kind=st.sampled_from(list(PACKERS)), place=st.integers(0, 10_000), value=st.integers(1, 255))
def test_a_damaged_blob_is_an_error_or_other_data(
    kind: Compression, place: int, value: int
) -> None:
    blob = bytearray(PACKERS[kind](b"some data" * 20))
    blob[place % len(blob)] ^= value
    _, stream = decompress(io.BytesIO(bytes(blob)), label="blob")
    with contextlib.suppress(DataLossError):
        stream.read()


def test_zeros_after_gzip_are_padding_and_other_bytes_are_not() -> None:
    _, stream = decompress(io.BytesIO(gzip.compress(b"data") + bytes(700_000)), label="blob")
    assert stream.read() == b"data"
    _, stream = decompress(io.BytesIO(gzip.compress(b"data") + b"rest"), label="blob")
    with pytest.raises(DataLossError):
        stream.read()


def test_skippable_frames_are_zstd() -> None:
    assert detect(SKIPPABLE) is Compression.ZSTD
    _, stream = decompress(io.BytesIO(SKIPPABLE + zstd.compress(b"data")), label="blob")
    assert stream.read() == b"data"


@pytest.mark.parametrize("kind", list(PACKERS))
def test_a_bomb_costs_no_memory(kind: Compression) -> None:
    blob = PACKERS[kind](bytes(200 << 20))
    assert len(blob) < 1 << 20
    _, stream = decompress(io.BytesIO(blob), label="blob")
    tracemalloc.start()
    try:
        size = sum(len(chunk) for chunk in iter(lambda: stream.read(1 << 16), b""))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == 200 << 20
    assert peak < 20 << 20


@given(flags=st.integers(0, 7), size=st.integers(1, 40), members=st.integers(1, 3))
def test_reserved_flags_of_gzip_mean_nothing(flags: int, size: int, members: int) -> None:
    member = bytearray(gzip.compress(b"data"))
    member[3] |= flags << 5
    blob = bytes(member) * members
    _, stream = decompress(_Slow(blob, size), label="blob")
    assert stream.read() == b"data" * members
    cut = bytes(member) + bytes(member)[:3]
    _, stream = decompress(_Slow(cut, size), label="blob")
    with pytest.raises(DataLossError):
        stream.read()


class _Slow(io.BytesIO):
    """A stream that returns a few bytes at a time, after the first ten."""

    def __init__(self, data: bytes, most: int) -> None:
        super().__init__(data)
        self._most = most

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() and size is not None:
            size = min(size, self._most)
        return super().read(size)
