"""Encodings of single values: integers, times and the Any envelope.

Source: Go's encoding/binary and time packages, google/protobuf/any.proto; containerd,
core/metadata/boltutil.
"""

from __future__ import annotations

import struct
from typing import Final

from whenever import Instant

from orlop.errors import DataLossError, InvalidArgumentError
from orlop.records import ProtoAny
from orlop.schema import drafts
from orlop.schema.codec.varint import (
    decode_uvarint,
    decode_varint,
    encode_uvarint,
    encode_varint,
    read_uvarint,
)
from orlop.schema.codec.wire import WireError, WireType, encode_length_field, read_fields

__all__ = [
    "decode_any",
    "decode_time",
    "decode_uvarint",
    "decode_varint",
    "encode_any",
    "encode_time",
    "encode_uvarint",
    "encode_varint",
]

_NANOSECONDS: Final = 10**9
_FIVE_TO_THE_NINTH: Final = 1953125
"""A billion is this times 512."""
_TIME: Final = struct.Struct(">Bqih")
_SECONDS_AND_NANOSECONDS: Final = struct.Struct(">xqi")
_TIME_V1: Final = 1
_TIME_V2: Final = 2
# The second version ends with the seconds of the zone's offset, which no instant needs.
_TIME_LENGTHS: Final = {_TIME_V1: _TIME.size, _TIME_V2: _TIME.size + 1}
_UTC: Final = -1
# Seconds from Go's zero time, 0001-01-01T00:00:00Z, to 1970; and to the end of year 9999.
_EPOCH: Final = 62_135_596_800
_SECONDS_END: Final = 315_537_897_600
_SHOWN: Final = 32
_TYPE_URL: Final = 1
_VALUE: Final = 2
# A field's number and its kind, whose value has its length in front of it.
_TYPE_URL_TAG: Final = _TYPE_URL << 3 | WireType.LENGTH
_VALUE_TAG: Final = bytes([_VALUE << 3 | WireType.LENGTH])
_SHORT: Final = 0x7F
_USUAL_MIN: Final = 4


def encode_time(instant: Instant) -> bytes:
    """Encode an instant as Go's Time.MarshalBinary does for a time in UTC: 15 bytes."""
    seconds, nanoseconds = divmod(instant.timestamp(unit="nanosecond"), _NANOSECONDS)
    return _TIME.pack(_TIME_V1, seconds + _EPOCH, nanoseconds, _UTC)


def decode_time(data: bytes) -> Instant:
    """Decode a time as Go's Time.MarshalBinary writes it, in either version and any time zone.

    Go's zero time is `Instant.MIN`.

    Raises:
        DataLossError: the bytes are no time, or it lies outside the years 1 to 9999.
    """
    version = data[0] if data else 0
    length = _TIME_LENGTHS.get(version)
    if length is None:
        raise _no_time(data, f"version {version} is unknown" if data else "nothing is stored")
    if len(data) != length:
        raise _no_time(data, f"version {version} has {length} bytes, here are {len(data)}")
    seconds, nanoseconds = _SECONDS_AND_NANOSECONDS.unpack_from(data)
    if not 0 <= nanoseconds < _NANOSECONDS:
        raise _no_time(data, f"{nanoseconds} is no number of nanoseconds in a second")
    if not 0 <= seconds < _SECONDS_END:
        raise _no_time(data, f"{seconds} seconds after year 1 is outside the years 1 to 9999")
    # In two steps, for the accelerator: the product alone is too large for a machine word.
    since_epoch = seconds - _EPOCH
    whole = since_epoch * _FIVE_TO_THE_NINTH << 9
    return Instant.from_timestamp(whole + nanoseconds, unit="nanosecond")


def encode_any(envelope: ProtoAny) -> bytes:
    """Serialize a google.protobuf.Any; an empty one is no bytes at all.

    Raises:
        InvalidArgumentError: the type URL cannot be written as UTF-8.
    """
    try:
        type_url = envelope.type_url.encode()
    except UnicodeEncodeError as error:
        message = f"type URL {envelope.type_url!a} cannot be written as UTF-8"
        refused = InvalidArgumentError(message).because(error)
    else:
        known = ((_TYPE_URL, type_url), (_VALUE, envelope.value))
        fields = [encode_length_field(number, value) for number, value in known if value]
        return b"".join(fields) + envelope.unknown
    raise refused


def decode_any(data: bytes) -> ProtoAny:
    """Parse a serialized google.protobuf.Any.

    Fields may stand in any order, of a repeated one the last counts, and unknown ones (or
    known ones of another wire type) are kept.

    Raises:
        DataLossError: the bytes are no such message.
    """
    usual = _decode_usual(data)
    if usual is not None:
        return usual
    type_url, value, unknown = "", b"", bytearray()
    try:
        for field in read_fields(data):
            if field.type is WireType.LENGTH and field.number == _TYPE_URL:
                type_url = field.value.decode()
            elif field.type is WireType.LENGTH and field.number == _VALUE:
                value = field.value
            else:
                unknown += field.encoded
    except (WireError, UnicodeDecodeError) as error:
        message = f"{_shown(data)} is no serialized google.protobuf.Any ({error})"
        lost = DataLossError(message).because(error)
    else:
        return ProtoAny(type_url, value, bytes(unknown))
    raise lost


def _decode_usual(data: bytes) -> ProtoAny | None:
    """Decode an Any of a short type URL and a value, as nearly all are; None for any other."""
    if len(data) < _USUAL_MIN or data[0] != _TYPE_URL_TAG:
        return None
    value_at = 2 + data[1]
    type_url = data[2:value_at]
    if not (
        data[1] <= _SHORT and type_url.isascii() and data[value_at : value_at + 1] == _VALUE_TAG
    ):
        return None
    try:
        length, begin = read_uvarint(data, value_at + 1)
    except ValueError:
        return None
    if begin + length != len(data):
        return None
    return drafts.envelope(type_url.decode(), data[begin:], b"")


def _no_time(data: bytes, reason: str) -> DataLossError:
    return DataLossError(f"{_shown(data)} is no binary time of Go's ({reason})")


def _shown(data: bytes) -> str:
    if len(data) > _SHOWN:
        return f"{data[:_SHOWN].hex()}... ({len(data)} bytes)"
    return data.hex() or "an empty value"
