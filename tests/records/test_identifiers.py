from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop import identifiers
from orlop.errors import InvalidArgumentError

VALID = [
    "a",
    "7",
    "default",
    "Default",
    "k8s.io",
    "moby",
    "web-1",
    "a_b",
    "a.b-c_d",
    "192.168.0.1",
    "0123456789abcdef" * 4,
    "x" * 76,
]

INVALID = {
    "": "it is empty",
    "x" * 77: "has 77 bytes, but at most 76",
    "\N{LATIN SMALL LETTER E WITH ACUTE}" * 39: "has 78 bytes",
    ".": "must be words",
    "-a": "must be words",
    "a-": "must be words",
    "a..b": "must be words",
    "a/b": "must be words",
    "a b": "must be words",
    "caf\N{LATIN SMALL LETTER E WITH ACUTE}": "must be words",
    "a\n": "must be words",
    "a\0": "must be words",
    "\N{ARABIC-INDIC DIGIT ONE}": "must be words",
    "\udcff": "must be words",
}


@pytest.mark.parametrize("text", VALID)
def test_identifiers_are_words_with_single_separators(text: str) -> None:
    identifiers.validate(text)


@pytest.mark.parametrize(("text", "message"), INVALID.items())
def test_what_is_no_identifier_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        identifiers.validate(text)


@given(st.text() | st.from_regex(r"[a-z0-9]{1,40}[._-][A-Z]{0,50}", fullmatch=True))
def test_an_identifier_is_a_safe_part_of_a_path(text: str) -> None:
    try:
        identifiers.validate(text)
    except InvalidArgumentError:
        return
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,76}", text)
    assert text.strip("._-") == text
