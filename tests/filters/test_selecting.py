"""Choosing records with a filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orlop import filters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def adaptor(word: str) -> Callable[[Sequence[str]], tuple[str, bool]]:
    return lambda path: (word, list(path) == ["word"])


WORDS = ["ham", "egg", "spam", "egg"]


@pytest.mark.parametrize(
    ("expressions", "wanted"),
    [
        (["word==egg"], ["egg", "egg"]),
        (["word==spam", "word==ham"], ["ham", "spam"]),
        (["word==spam,word==ham"], []),
        (["word==none"], []),
        (["word==none", ""], WORDS),
        ([""], WORDS),
        ([], WORDS),
    ],
)
def test_what_matches_is_selected_in_its_order(expressions: list[str], wanted: list[str]) -> None:
    parsed = filters.parse(expressions)

    assert [word for word in WORDS if parsed.matches(adaptor(word))] == wanted


@pytest.mark.parametrize(
    ("expressions", "all_of_them"), [([], True), (["word==none", ""], True), (["word"], False)]
)
def test_where_nothing_is_asked_all_match(expressions: list[str], *, all_of_them: bool) -> None:
    assert filters.parse(expressions).matches_all is all_of_them
