from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whenever import Instant

from orlop.schema.codec.timestamps import (
    format_rfc3339,
    format_rfc3339_nano,
    parse_duration,
    parse_rfc3339,
)

GOLDEN: Final = json.loads(Path(__file__).with_name("timestamps_golden.json").read_text())
INSTANTS = st.integers(
    Instant.MIN.timestamp(unit="nanosecond"), Instant.MAX.timestamp(unit="nanosecond")
).map(lambda nanoseconds: Instant.from_timestamp(nanoseconds, unit="nanosecond"))


@pytest.mark.parametrize(("text", "expected"), GOLDEN["times"])
def test_times_are_read_as_go_reads_them(text: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="is no time"):
            parse_rfc3339(text)
    else:
        assert format_rfc3339_nano(parse_rfc3339(text)) == expected


@pytest.mark.parametrize(("text", "expected"), GOLDEN["durations"])
def test_durations_are_read_as_go_reads_them(text: str, expected: int | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="is no duration"):
            parse_duration(text)
    else:
        assert parse_duration(text) == expected


@given(INSTANTS)
def test_times_survive(instant: Instant) -> None:
    assert parse_rfc3339(format_rfc3339_nano(instant)) == instant


@given(INSTANTS)
def test_without_a_fraction_times_are_cut_to_the_second(instant: Instant) -> None:
    lost = instant - parse_rfc3339(format_rfc3339(instant))
    assert 0 <= lost.total("nanoseconds") < 10**9


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("0000-02-29T00:00:00Z", Instant.MIN),
        ("0001-01-01T00:00:00+00:01", Instant.MIN),
        ("9999-12-31T23:59:59-00:01", Instant.MAX),
    ],
)
def test_times_that_only_go_knows_become_the_nearest_instant(text: str, instant: Instant) -> None:
    assert parse_rfc3339(text) == instant


def test_offsets_are_limited_as_in_newer_versions_of_go() -> None:
    for offset in ("+25:00", "-24:61"):
        with pytest.raises(ValueError, match="zone"):
            parse_rfc3339(f"2026-11-24T21:02:14{offset}")


@given(st.text())
def test_no_text_crashes_the_parsers(text: str) -> None:
    for parse in (parse_rfc3339, parse_duration):
        try:
            parse(text)
        except ValueError as error:
            assert ascii(text) in str(error)  # noqa: PT017 - valid texts are welcome, too


def test_endless_numbers_are_no_burden() -> None:
    assert parse_duration("0." + "3" * 10_000 + "h") == 1200 * 10**9
    with pytest.raises(ValueError, match="64 bits"):
        parse_duration("9" * 10_000 + "s")
