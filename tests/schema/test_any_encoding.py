from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import DataLossError, InvalidArgumentError
from orlop.records import ProtoAny
from orlop.schema.codec.encoding import decode_any, encode_any
from orlop.schema.codec.wire import encode_length_field

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def test_every_envelope_that_a_daemon_stored_survives(stored: dict[tuple[str, ...], bytes]) -> None:
    envelopes = [value for path, value in stored.items() if path[-1] in {"spec", "options"}]
    assert len(envelopes) >= 4
    assert [encode_any(decode_any(value)) for value in envelopes] == envelopes


def test_a_real_spec_is_json_with_its_type(stored: dict[tuple[str, ...], bytes]) -> None:
    path = ("v1.6-07-leases-ns2-ingest", "v1", "default", "containers", "c1", "spec")
    spec = decode_any(stored[path])
    assert spec.type_url == "types.containerd.io/opencontainers/runtime-spec/1/Spec"
    assert json.loads(spec.value)["process"]["args"] == ["/bin/sh"]
    assert not spec.unknown


def test_an_empty_value_is_not_written(stored: dict[tuple[str, ...], bytes]) -> None:
    path = ("v1.6-07-leases-ns2-ingest", "v1", "default", "containers", "c1", "runtime", "options")
    assert decode_any(stored[path]) == ProtoAny("containerd.runc.v1.Options")
    assert encode_any(ProtoAny()) == b""
    assert decode_any(b"") == ProtoAny()


@given(TEXTS, st.binary())
def test_envelopes_survive(type_url: str, value: bytes) -> None:
    envelope = ProtoAny(type_url, value)
    assert decode_any(encode_any(envelope)) == envelope


@given(
    TEXTS | st.binary(max_size=200).map(lambda data: data.decode(errors="surrogateescape")),
    st.binary(max_size=300),
    st.binary(max_size=3),
)
def test_the_order_of_fields_does_not_matter(type_url: str, value: bytes, behind: bytes) -> None:
    """Envelopes in the usual order have a fast path; all orders give the same result."""
    encoded = type_url.encode(errors="surrogateescape")
    fields = [encode_length_field(1, encoded), encode_length_field(2, value)]

    assert outcome(b"".join(fields) + behind) == outcome(b"".join(reversed(fields)) + behind)


def outcome(data: bytes) -> ProtoAny | None:
    """Return the decoded envelope; None if the data is none."""
    try:
        return decode_any(data)
    except DataLossError:
        return None


@pytest.mark.parametrize(
    ("encoded", "envelope", "written"),
    [
        ("1201620a0161", ProtoAny("a", b"b"), "0a0161120162"),
        ("0a01610a0163", ProtoAny("c"), "0a0163"),
        ("0a01610a00", ProtoAny(), ""),
        # Unknown fields: a varint, eight and four bytes, a length, groups within a group.
        ("18ac020a0161", ProtoAny("a", unknown=bytes.fromhex("18ac02")), "0a016118ac02"),
        ("190102030405060708", ProtoAny(unknown=bytes.fromhex("190102030405060708")), None),
        ("1d01020304", ProtoAny(unknown=bytes.fromhex("1d01020304")), None),
        ("1a026162", ProtoAny(unknown=bytes.fromhex("1a026162")), None),
        ("1b2001232b2c241c", ProtoAny(unknown=bytes.fromhex("1b2001232b2c241c")), None),
        # Known fields of another wire type are unknown.
        ("0801", ProtoAny(unknown=bytes.fromhex("0801")), None),
        # A tag that is longer than it must be is written in its shortest form.
        ("9a00026162", ProtoAny(unknown=bytes.fromhex("1a026162")), "1a026162"),
    ],
)
def test_fields_are_read_as_go_reads_them(
    encoded: str, envelope: ProtoAny, written: str | None
) -> None:
    assert decode_any(bytes.fromhex(encoded)) == envelope
    assert encode_any(envelope).hex() == (encoded if written is None else written)


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        ("0a", "ends within the integer at byte 1"),
        ("0a0261", "2 bytes should follow at byte 2, 1 do"),
        ("0affffffffffffffffff7f", "does not fit into 64 bits"),
        ("0a01ff", "invalid start byte"),
        ("0200", "name no field: number 0, type 2"),
        ("8280808010", "name no field: number 536870912, type 2"),
        ("0e", "number 1, type 6"),
        ("1901", "8 bytes should follow"),
        ("1d01", "4 bytes should follow"),
        ("1b", "ends within the integer"),
        ("1c", "group 3 ends at byte 1 but was not begun"),
        ("1b24", "group 4 ends at byte 2 but was not begun"),
        ("1b" * 10_001, "more than 10000 groups"),
    ],
)
def test_what_is_no_envelope_is_data_loss(encoded: str, message: str) -> None:
    with pytest.raises(DataLossError, match=message) as caught:
        decode_any(bytes.fromhex(encoded))
    assert len(str(caught.value)) < 250


@given(st.binary(max_size=24))
def test_any_bytes_are_an_envelope_that_survives_or_data_loss(data: bytes) -> None:
    try:
        envelope = decode_any(data)
    except DataLossError:
        return
    assert decode_any(encode_any(envelope)) == envelope


def test_a_type_url_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be written as UTF-8"):
        encode_any(ProtoAny("\udcff"))
