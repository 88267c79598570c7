"""JSON as Go's decoder reads it; the campaign of archives compares many more documents."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orlop.errors import InvalidArgumentError
from orlop.oci import documents
from orlop.oci.json_reader import MAX_DEPTH, ListOf, Scalar, Struct, decode

TEXT = Struct({"text": Scalar.TEXT})


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"caf\xe9", "caf\ufffd"),
        (b"\xe2\x82!", "\ufffd\ufffd!"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\\ud83d", "\ufffd"),
        (b"\\ud83d\\ud83d\\ude00", "\ufffd\U0001f600"),
        (b"\\u0041\\n\\/", "A\n/"),
    ],
)
def test_what_is_no_text_becomes_the_replacement_character(written: bytes, read: str) -> None:
    assert decode(b'{"text": "' + written + b'"}', TEXT, "here") == {"text": read}


@pytest.mark.parametrize("key", [b"TEXT", b"Text", b"text", b"\\u0074ext"])
def test_a_key_counts_in_any_case(key: bytes) -> None:
    assert decode(b'{"' + key + b'": "x"}', TEXT, "here") == {"text": "x"}


def test_of_a_key_that_comes_twice_both_count() -> None:
    kind = Struct({"list": ListOf(Struct({"a": Scalar.TEXT, "b": Scalar.TEXT}))})
    found = decode(b'{"list":[{"a":"1"},{"a":"2"}],"list":[{"b":"3"}]}', kind, "here")
    assert found == {"list": [{"a": "1", "b": "3"}]}


def test_null_leaves_what_was_there() -> None:
    assert decode(b'{"text":"x","text":null}', TEXT, "here") == {"text": "x"}


@pytest.mark.parametrize("trailing", [b"\x00", b"{}", b"x"])
def test_what_follows_counts_only_in_a_whole_document(trailing: bytes) -> None:
    assert decode(b"{}" + trailing, TEXT, "here", whole=False) == {}
    with pytest.raises(InvalidArgumentError, match="here: not readable as JSON"):
        decode(b"{}" + trailing, TEXT, "here")


@pytest.mark.parametrize(
    "faulty",
    [
        b"",
        b"\xef\xbb\xbf{}",
        b'{"text":1}',
        b'{"text":"\n"}',
        b'{"a":NaN}',
        b'{"a":01}',
        b'{"a":1,}',
        b'{"a" 1}',
        b'{"text":"\\x"}',
        b'{"text":tru}',
        b"[]",
    ],
)
def test_what_is_no_json_or_of_another_kind_is_refused(faulty: bytes) -> None:
    with pytest.raises(InvalidArgumentError, match="here: not readable as JSON"):
        decode(faulty, TEXT, "here")


def test_levels_that_nobody_asks_for_cost_no_recursion() -> None:
    deepest = MAX_DEPTH - 1
    assert decode(b'{"x":' + b"[" * deepest + b"]" * deepest + b"}", TEXT, "here") == {}
    with pytest.raises(InvalidArgumentError, match="levels"):
        decode(b'{"x":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", TEXT, "here")


LARGE = """
import resource, sys
from orlop.errors import InvalidArgumentError
from orlop.oci import documents
resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
unit, count = {unit!r}, documents.LARGEST // len({unit!r}) - 20
data = {before!r} + unit * count + {after!r}
try:
    documents.parse_index(data, "here")
except InvalidArgumentError as error:
    print("refused:", error)
else:
    print("read")
"""


@pytest.mark.parametrize(
    ("before", "unit", "after", "said"),
    [
        (b'{"x":[', b"[],", b"1]}", "read"),
        (b'{"manifests":[', b"{},", b"{}]}", "refused"),
        (b'{"annotations":{"":""', b',"":""', b"}}", "refused"),
        (b'{"mediaType":"', b"\\n", b'"}', "read"),
    ],
)
@pytest.mark.slow
def test_a_document_of_the_largest_size_takes_bounded_memory(
    before: bytes, unit: bytes, after: bytes, said: str
) -> None:
    script = LARGE.format(before=before, unit=unit, after=after)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.startswith(said)


def test_a_document_of_null_is_an_empty_one() -> None:
    assert documents.parse_index(b"null", "here").manifests == ()
