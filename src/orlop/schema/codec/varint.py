"""Integers in groups of seven bits, the lowest first, as protobuf and Go's encoding/binary write.

Stored sizes and versions are signed (zig-zag: 0, -1, 1, -2, ...), ids are unsigned.

Source: Go, encoding/binary; protobuf's encoding guide.
"""

from __future__ import annotations

from typing import Final

_MAX_LENGTH: Final = 10
_LAST_BYTE_MAX: Final = 1
_CONTINUES: Final = 0x80
_GROUP: Final = 0x7F
_LAST_SHIFT: Final = 7 * (_MAX_LENGTH - 1)
_UINT64_END: Final = 1 << 64
_INT64_END: Final = 1 << 63


class VarintError(ValueError):
    """The bytes are cut short, or the number does not fit into 64 bits."""


def encode_uvarint(number: int) -> bytes:
    """Encode an unsigned integer of 64 bits in 1 to 10 bytes.

    Raises:
        ValueError: the number is negative or needs more than 64 bits.
    """
    if not 0 <= number < _UINT64_END:
        raise ValueError(f"{number} does not fit into an unsigned integer of 64 bits")
    encoded = bytearray()
    while number > _GROUP:
        encoded.append(number & _GROUP | _CONTINUES)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def read_uvarint(data: bytes, offset: int = 0) -> tuple[int, int]:
    """Return the unsigned integer at `offset` and the offset behind it.

    Raises:
        VarintError: the data ends within the number, or it does not fit into 64 bits.
    """
    number = 0
    for index, byte in enumerate(data[offset : offset + _MAX_LENGTH]):
        if index == _MAX_LENGTH - 1 and byte > _LAST_BYTE_MAX:
            raise VarintError(f"the integer at byte {offset} does not fit into 64 bits")
        number |= (byte & _GROUP) << (7 * index)
        if byte < _CONTINUES:
            return number, offset + index + 1
    raise VarintError(f"the data ends within the integer at byte {offset}")


def decode_uvarint(data: bytes) -> int:
    """Decode an unsigned integer; bytes that are none give 0, as containerd reads them.

    What follows the number is ignored.
    """
    number = shift = 0
    for byte in data:
        if byte < _CONTINUES:
            return 0 if shift == _LAST_SHIFT and byte > _LAST_BYTE_MAX else number | byte << shift
        if shift == _LAST_SHIFT:
            return 0
        number |= (byte & _GROUP) << shift
        shift += 7
    return 0


def encode_varint(number: int) -> bytes:
    """Encode a signed integer of 64 bits (zig-zag) in 1 to 10 bytes.

    Raises:
        ValueError: the number needs more than 64 bits.
    """
    if not -_INT64_END <= number < _INT64_END:
        raise ValueError(f"{number} does not fit into a signed integer of 64 bits")
    return encode_uvarint(number << 1 if number >= 0 else ~(number << 1))


def decode_varint(data: bytes) -> int:
    """Decode a signed integer (zig-zag); bytes that are none give 0, as containerd reads them.

    What follows the number is ignored.
    """
    folded = decode_uvarint(data)
    return ~(folded >> 1) if folded & 1 else folded >> 1
