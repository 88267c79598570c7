from __future__ import annotations

import pytest

from orlop import digests
from orlop.errors import InvalidArgumentError

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(("name", "length"), [("sha256", 64), ("sha384", 96), ("sha512", 128)])
def test_three_algorithms_are_known(name: str, length: int) -> None:
    text = digests.from_bytes(b"orlop", name)
    assert digests.validate(text) == text
    assert digests.is_valid(text)
    assert digests.algorithm(text) == name
    assert len(digests.encoded(text)) == length


def test_a_digest_is_named_after_its_hash() -> None:
    assert digests.from_bytes(b"") == EMPTY
    running = digests.new_hash()
    running.update(b"or")
    halfway = running.copy()
    running.update(b"lop")
    assert digests.of_hash(running) == digests.from_bytes(b"orlop")
    assert digests.of_hash(halfway) == digests.from_bytes(b"or")


INVALID = {
    "": "expected <algorithm>:<hash>",
    "e3b0c442": "expected <algorithm>:<hash>",
    EMPTY.replace(":", "-"): "expected <algorithm>:<hash>",
    "md5:d41d8cd98f00b204e9800998ecf8427e": "algorithm 'md5' is not supported",
    EMPTY.replace("sha256", "SHA256"): "algorithm 'SHA256' is not supported",
    EMPTY.removeprefix("sha256"): "algorithm '' is not supported",
    "sha256:": "a hash of sha256 has 64 digits, not 0",
    EMPTY[:-1]: "a hash of sha256 has 64 digits, not 63",
    EMPTY + "0": "a hash of sha256 has 64 digits, not 65",
    EMPTY.replace("sha256", "sha512"): "a hash of sha512 has 128 digits, not 64",
    EMPTY.replace("e", "E"): "lower-case hexadecimal",
    EMPTY.replace("e", "g"): "lower-case hexadecimal",
    EMPTY[:-1] + "\n": "lower-case hexadecimal",
    EMPTY[:-1] + "\N{ARABIC-INDIC DIGIT ONE}": "lower-case hexadecimal",
}


@pytest.mark.parametrize(("text", "message"), INVALID.items())
def test_what_is_no_digest_is_refused(text: str, message: str) -> None:
    assert not digests.is_valid(text)
    for function in (digests.validate, digests.algorithm, digests.encoded):
        with pytest.raises(InvalidArgumentError, match=message):
            function(text)


def test_an_endless_text_is_not_repeated_in_the_message() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        digests.validate("x" * 10_000)
    assert len(str(caught.value)) < 300


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="known are sha256, sha384, sha512"):
        digests.new_hash("md5")
