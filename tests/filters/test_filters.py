from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import InvalidArgumentError
from orlop.filters import Adaptor, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GOLDEN: Final = json.loads(Path(__file__).with_name("filters_golden.json").read_text())
RECORDS: Final = GOLDEN["records"]
UPSTREAM: Final = json.loads(Path(__file__).with_name("filters_upstream_golden.json").read_text())


def adaptor_of(record: Mapping[str, Any]) -> Adaptor:
    def adaptor(path: Sequence[str]) -> tuple[str, bool]:
        if path[0] != "labels":
            value = record.get(path[0], "")
            return value, value != ""
        labels = record.get("labels", {})
        key = ".".join(path[1:])
        return (labels.get(key, ""), key in labels) if path[1:] else ("", bool(record))

    return adaptor


def matching(*expressions: str, records: Sequence[Mapping[str, Any]] = RECORDS) -> list[int]:
    wanted = parse(expressions)
    return [i for i, record in enumerate(records) if wanted.matches(adaptor_of(record))]


@pytest.mark.parametrize(
    ("case", "records"),
    [(case, golden["records"]) for golden in (GOLDEN, UPSTREAM) for case in golden["cases"]],
    ids=lambda given: ascii(given["expressions"]) if isinstance(given, dict) else "",
)
def test_filters_agree_with_containerd(
    case: dict[str, Any], records: Sequence[Mapping[str, Any]]
) -> None:
    if "error" in case:
        with pytest.raises(InvalidArgumentError) as caught:
            parse(case["expressions"])
        assert str(caught.value) == case["error"]
    else:
        assert matching(*case["expressions"], records=records) == case["matches"]


def parse_and_match(expression: str, value: str) -> None:
    """Let nothing escape but the one error, with a message that can be printed."""
    try:
        wanted = parse([expression])
    except InvalidArgumentError as error:
        str(error).encode()
    else:
        wanted.matches(lambda _path: (value, True))


def test_one_of_several_expressions_must_match() -> None:
    assert matching("name==foo", "name==bar") == [0, 1]
    assert matching("name==foo,other") == []
    assert matching() == list(range(len(RECORDS)))


def test_a_single_expression_need_not_be_wrapped() -> None:
    assert parse("name==foo") == parse(["name==foo"])


@given(st.text())
def test_no_text_crashes_the_parser(expression: str) -> None:
    parse_and_match(expression, "")


TOKENS = st.sampled_from(
    [
        *("name", "labels", ".", ",", "==", "!=", "~=", "=", " ", '"', "/", "|"),
        *("\\", "x", "41", "u", "\0", "\n", "\udcff", "\ufffd", "\u725b"),
        *("(", "[a", "*", "+", "\\d", "\\Q", "\\E", "\\C"),
    ]
)


@given(st.lists(TOKENS, max_size=12).map("".join), st.text(st.characters(), max_size=5))
def test_no_mixture_of_tokens_crashes_parser_or_match(expression: str, value: str) -> None:
    parse_and_match(expression, value)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\ufffd")))
def test_any_text_can_be_asked_for_in_quotes(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse([f'name=="{quoted}"']).matches(lambda _path: (value, True))
    assert parse([f'labels."{quoted}"']).matches(lambda path: ("", path == ("labels", value)))


def test_a_broken_regular_expression_is_logged_and_matches_nothing(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    wanted = parse(['name~="(("'])
    assert not wanted.matches(lambda _path: ("((", True))
    assert "'((' is no regular expression" in caplog.text
    assert capfd.readouterr() == ("", "")


def test_a_hostile_regular_expression_does_not_stall() -> None:
    wanted = parse(['name~="^(a+)+$"'])
    begin = time.monotonic()
    assert not wanted.matches(lambda _path: ("a" * 5000 + "b", True))
    parse(['name~="' + "\\\\Qx\\\\E" * 5000 + '"'])
    assert time.monotonic() - begin < 5
