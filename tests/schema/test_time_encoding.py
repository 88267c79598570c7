from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whenever import Instant

from orlop.errors import DataLossError
from orlop.schema.codec.encoding import decode_time, encode_time

INSTANTS = st.integers(
    Instant.MIN.timestamp(unit="nanosecond"), Instant.MAX.timestamp(unit="nanosecond")
).map(lambda nanoseconds: Instant.from_timestamp(nanoseconds, unit="nanosecond"))

GOLDEN = "010000000ee297f256151fed7affff"


def test_a_real_time_is_read_and_written() -> None:
    instant = decode_time(bytes.fromhex(GOLDEN))
    assert instant.format_iso() == "2026-11-24T21:02:14.354413946Z"
    assert encode_time(instant).hex() == GOLDEN


def test_every_time_that_a_daemon_stored_survives(stored: dict[tuple[str, ...], bytes]) -> None:
    times = [value for path, value in stored.items() if path[-1] in {"createdat", "updatedat"}]
    assert len(times) > 50
    assert [encode_time(decode_time(value)) for value in times] == times


@given(INSTANTS)
def test_times_survive(instant: Instant) -> None:
    encoded = encode_time(instant)
    assert len(encoded) == 15
    assert encoded.endswith(b"\xff\xff")
    assert decode_time(encoded) == instant


def test_the_zero_time_of_go_is_the_first_instant() -> None:
    assert decode_time(b"\x01" + bytes(12) + b"\xff\xff") == Instant.MIN


@pytest.mark.parametrize("zone", ["0000", "003c", "8000", "7fff"])
def test_the_time_zone_does_not_move_the_instant(zone: str) -> None:
    expected = decode_time(bytes.fromhex(GOLDEN))
    assert decode_time(bytes.fromhex(GOLDEN[:-4] + zone)) == expected


def test_the_second_version_is_read() -> None:
    expected = decode_time(bytes.fromhex(GOLDEN))
    assert decode_time(bytes.fromhex("02" + GOLDEN[2:-4] + "0035" + "1c")) == expected


BROKEN = {
    "": "an empty value .*nothing is stored",
    "03" + GOLDEN[2:]: "version 3 is unknown",
    GOLDEN[:-2]: "version 1 has 15 bytes, here are 14",
    GOLDEN + "00": "version 1 has 15 bytes, here are 16",
    "02" + GOLDEN[2:]: "version 2 has 16 bytes, here are 15",
    "01" + "0000000ee297f256" + "3b9aca00" + "ffff": "1000000000 is no number of nanoseconds",
    "01" + "0000000ee297f256" + "ffffffff" + "ffff": "-1 is no number of nanoseconds",
    "01" + "ffffffffffffffff" + "00000000" + "ffff": "-1 seconds after year 1 is outside",
    "01" + "0000004977863880" + "00000000" + "ffff": "315537897600 seconds .* is outside",
    "01" + "7fffffffffffffff" + "00000000" + "ffff": "is outside the years 1 to 9999",
}


@pytest.mark.parametrize(("encoded", "message"), BROKEN.items())
def test_what_is_no_time_is_data_loss(encoded: str, message: str) -> None:
    with pytest.raises(DataLossError, match=message) as caught:
        decode_time(bytes.fromhex(encoded))
    assert encoded in str(caught.value)


@given(st.binary(max_size=17))
def test_any_bytes_are_a_time_or_data_loss(data: bytes) -> None:
    try:
        decode_time(data)
    except DataLossError:
        return
    assert len(data) in {15, 16}
