"""The fields of a protobuf message, without knowing its definition.

Source: protobuf's encoding guide (https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from orlop.schema.codec.varint import VarintError, encode_uvarint, read_uvarint

if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBER_END: Final = 1 << 29
# Within groups Go is more generous.
_NESTED_NUMBER_END: Final = 1 << 31
_NESTING_LIMIT: Final = 10_000


class WireError(ValueError):
    """The bytes are no protobuf message."""


class WireType(IntEnum):
    """How the value of a field is encoded."""

    VARINT = 0
    FIXED64 = 1
    LENGTH = 2
    GROUP = 3
    GROUP_END = 4
    FIXED32 = 5


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `value` is as encoded, but without the length in front of it.

    `encoded` is the whole field, its tag in the shortest form.
    """

    number: int
    type: WireType
    value: bytes
    encoded: bytes


def encode_length_field(number: int, value: bytes) -> bytes:
    """Encode a string, bytes or a message as field `number`."""
    return _tag(number, WireType.LENGTH) + encode_uvarint(len(value)) + value


def read_fields(data: bytes) -> Iterator[Field]:
    """Iterate over the fields of a message, in the order in which they stand.

    Raises:
        WireError: the bytes are no message; it says at which byte they cease to be one.
    """
    try:
        offset = 0
        while offset < len(data):
            number, kind, value_at = _read_tag(data, offset, _NUMBER_END)
            offset = _skip(data, value_at, number, kind)
            value = data[value_at:offset]
            encoded = _tag(number, kind) + value
            if kind is WireType.LENGTH:
                value = data[read_uvarint(data, value_at)[1] : offset]
            yield Field(number, kind, value, encoded)
    except VarintError as error:
        raise WireError(str(error)) from error


def _tag(number: int, kind: WireType) -> bytes:
    return encode_uvarint(number << 3 | kind)


def _read_tag(data: bytes, offset: int, number_end: int) -> tuple[int, WireType, int]:
    tag, behind = read_uvarint(data, offset)
    number, kind = tag >> 3, tag & 7
    if not 0 < number < number_end or kind > WireType.FIXED32:
        raise WireError(f"the bytes at {offset} name no field: number {number}, type {kind}")
    return number, WireType(kind), behind


def _skip(data: bytes, offset: int, number: int, kind: WireType) -> int:
    """Return the offset behind the value at `offset`; a group ends behind its end tag."""
    open_groups: list[int] = []
    while True:
        if kind is WireType.GROUP:
            open_groups.append(number)
            if len(open_groups) > _NESTING_LIMIT:
                raise WireError(f"more than {_NESTING_LIMIT} groups within each other")
        elif kind is WireType.GROUP_END:
            if not open_groups or open_groups.pop() != number:
                raise WireError(f"group {number} ends at byte {offset} but was not begun")
        else:
            offset = _skip_plain(data, offset, kind)
        if not open_groups:
            return offset
        number, kind, offset = _read_tag(data, offset, _NESTED_NUMBER_END)


def _skip_plain(data: bytes, offset: int, kind: WireType) -> int:
    if kind is WireType.VARINT:
        return read_uvarint(data, offset)[1]
    if kind is WireType.LENGTH:
        length, offset = read_uvarint(data, offset)
    else:
        length = 8 if kind is WireType.FIXED64 else 4
    if length > len(data) - offset:
        raise WireError(f"{length} bytes should follow at byte {offset}, {len(data) - offset} do")
    return offset + length
