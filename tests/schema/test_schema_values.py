"""Single values: reads of values of another kind, and the data that a write leaves alone."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whenever import Instant

from orlop.errors import DataLossError, InvalidArgumentError
from orlop.records import ProtoAny
from orlop.schema import fields, names
from schema.planting import Tree, plant, tree

if TYPE_CHECKING:
    from orlop.kv import Bucket, Transaction

MOMENT = Instant.from_timestamp(1_771_234_567_123_456_789, unit="nanosecond")


def stored_time(instant: Instant, zone_minutes: int) -> bytes:
    seconds, nanoseconds = divmod(instant.timestamp(unit="nanosecond"), 1_000_000_000)
    return struct.pack(">BqiH", 1, seconds + 62_135_596_800, nanoseconds, zone_minutes & 0xFFFF)


@pytest.fixture
def bucket(transaction: Transaction) -> Bucket:
    return transaction.root.create_bucket(b"record")


def test_a_time_that_says_the_same_in_another_zone_keeps_its_bytes(bucket: Bucket) -> None:
    in_kathmandu = stored_time(MOMENT, 345)
    bucket.put(b"createdat", in_kathmandu)

    assert fields.read_time(bucket, b"createdat") == MOMENT
    fields.write_time(bucket, b"createdat", MOMENT)
    assert bucket.get(b"createdat") == in_kathmandu

    fields.write_time(bucket, b"createdat", MOMENT.add(nanoseconds=1))
    assert bucket.get(b"createdat") == stored_time(MOMENT.add(nanoseconds=1), -1)


def test_a_time_that_is_not_set_is_none_and_writing_none_leaves_it(bucket: Bucket) -> None:
    assert fields.read_time(bucket, b"createdat") is None
    zero = stored_time(Instant.from_utc(1, 1, 1), -1)
    bucket.put(b"createdat", zero)

    assert fields.read_time(bucket, b"createdat") is None
    fields.write_time(bucket, b"createdat", None)
    assert bucket.get(b"createdat") == zero


def test_a_damaged_time_is_data_loss_and_is_overwritten(bucket: Bucket) -> None:
    bucket.put(b"createdat", b"\x01short")

    with pytest.raises(DataLossError, match="createdat") as lost:
        fields.read_time(bucket, b"createdat")
    assert "version 1 has 15 bytes" in str(lost.value.__cause__)
    fields.write_time(bucket, b"createdat", MOMENT)
    assert fields.read_time(bucket, b"createdat") == MOMENT


@pytest.mark.parametrize("stored", [b"", b"\x80", b"\xff" * 11])
def test_a_damaged_size_is_zero(bucket: Bucket, stored: bytes) -> None:
    bucket.put(b"size", stored)

    assert fields.read_size(bucket, b"size") == 0


def test_a_damaged_any_is_data_loss() -> None:
    with pytest.raises(DataLossError, match="spec"):
        fields.envelope({b"spec": b"\x0a\xff"}, b"spec")
    with pytest.raises(DataLossError, match="first"):
        fields.envelopes({b"extensions": {b"first": b"\x0a\xff"}}, b"extensions")


def test_no_any_is_not_the_same_as_an_empty_one(bucket: Bucket) -> None:
    assert fields.envelope({}, b"spec") is None
    fields.write_any(bucket, b"spec", ProtoAny())

    assert bucket.get(b"spec") == b""
    assert fields.envelope({b"spec": b""}, b"spec") == ProtoAny()


@pytest.mark.parametrize(
    ("entries", "stored", "returned"),
    [
        ({}, {}, {}),
        ({"a": "1"}, {"labels": {"a": b"1"}}, {"a": "1"}),
        ({"a": "1", "b": ""}, {"labels": {"a": b"1"}}, {"a": "1"}),
        ({"b": ""}, {"labels": {}}, {}),
    ],
)
def test_a_map_is_replaced_and_empty_values_are_dropped(
    bucket: Bucket, entries: dict[str, str], stored: Tree, returned: dict[str, str]
) -> None:
    plant(bucket, {"labels": {"old": b"x"}})

    assert fields.write_map(bucket, names.LABELS, entries) == returned
    assert tree(bucket) == stored
    assert fields.read_map(bucket, names.LABELS) == returned


def test_a_map_passes_over_buckets_in_it(bucket: Bucket) -> None:
    plant(bucket, {"labels": {"a": b"1", "nested": {"b": b"2"}}})

    assert fields.read_map(bucket, names.LABELS) == {"a": "1"}


def test_a_plain_key_in_place_of_a_map_is_an_empty_map(bucket: Bucket) -> None:
    plant(bucket, {"labels": b"damaged"})

    assert fields.read_map(bucket, names.LABELS) == {}
    assert fields.read_map(None, names.LABELS) == {}


def test_extensions_are_merged(transaction: Transaction, bucket: Bucket) -> None:
    fields.merge_any_map(bucket, b"extensions", {})
    assert tree(bucket) == {}
    first, second = ProtoAny("a", b"1"), ProtoAny("b", b"2")
    fields.merge_any_map(bucket, b"extensions", {"first": first})
    fields.merge_any_map(bucket, b"extensions", {"second": second})

    stored = transaction.root.tree(b"record")
    assert stored is not None
    assert fields.envelopes(stored, b"extensions") == {"first": first, "second": second}


@given(st.binary(max_size=64))
def test_any_bytes_survive_as_text(data: bytes) -> None:
    assert names.to_bytes(names.to_text(data)) == data


def test_what_is_no_utf_8_is_refused() -> None:
    with pytest.raises(InvalidArgumentError):
        names.to_bytes("\ud800")


@pytest.mark.parametrize("key", ["", "x" * 32_769, "\u20ac" * 10_923])
def test_keys_that_the_file_cannot_hold_are_refused(key: str) -> None:
    with pytest.raises(InvalidArgumentError):
        names.check_key(key, "the name")


def test_the_longest_key_fits(bucket: Bucket) -> None:
    names.check_key("x" * names.KEY_BYTES_MAX, "the name")
    bucket.put(names.to_bytes("x" * names.KEY_BYTES_MAX), b"")
