from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.schema.codec.encoding import decode_uvarint, decode_varint, encode_uvarint, encode_varint
from orlop.schema.codec.varint import VarintError, read_uvarint

SIGNED = st.integers(-(2**63), 2**63 - 1)
UNSIGNED = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (0, "00"),
        (-1, "01"),
        (1, "02"),
        (4, "08"),
        (10, "14"),
        (-64, "7f"),
        (64, "8001"),
        (2**63 - 1, "feffffffffffffffff01"),
        (-(2**63), "ffffffffffffffffff01"),
    ],
)
def test_signed_integers_are_folded(number: int, encoded: str) -> None:
    assert encode_varint(number).hex() == encoded
    assert decode_varint(bytes.fromhex(encoded)) == number


@pytest.mark.parametrize(
    ("number", "encoded"),
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**64 - 1, "ffffffffffffffffff01")],
)
def test_unsigned_integers_come_in_groups_of_seven_bits(number: int, encoded: str) -> None:
    assert encode_uvarint(number).hex() == encoded
    assert decode_uvarint(bytes.fromhex(encoded)) == number


@given(SIGNED)
def test_signed_integers_survive(number: int) -> None:
    assert decode_varint(encode_varint(number)) == number


@given(UNSIGNED, st.binary(max_size=3), st.binary(max_size=3))
def test_unsigned_integers_survive_among_other_bytes(
    number: int, before: bytes, behind: bytes
) -> None:
    encoded = encode_uvarint(number)
    end = len(before) + len(encoded)
    assert read_uvarint(before + encoded + behind, len(before)) == (number, end)


@pytest.mark.parametrize("number", [-(2**63) - 1, 2**63])
def test_signed_integers_beyond_64_bits_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="signed integer of 64 bits"):
        encode_varint(number)


@pytest.mark.parametrize("number", [-1, 2**64])
def test_unsigned_integers_beyond_64_bits_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="unsigned integer of 64 bits"):
        encode_uvarint(number)


BROKEN = {
    "nothing": b"",
    "cut short": b"\x80",
    "the tenth byte too large": b"\x80" * 9 + b"\x02",
    "eleven bytes": b"\x80" * 10 + b"\x01",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_broken_integers_read_as_zero_as_containerd_reads_them(data: bytes) -> None:
    assert decode_varint(data) == 0
    assert decode_uvarint(data) == 0
    with pytest.raises(VarintError):
        read_uvarint(data)


def test_redundant_groups_and_bytes_behind_are_no_fault() -> None:
    assert decode_varint(b"\x88\x80\x00") == 4
    assert decode_varint(b"\x08\xff") == 4
