"""The ordered list of pages against a set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orlop.bolt.freelist import PageList

PAGES = st.integers(2, 30)


@given(
    start=st.sets(PAGES),
    changes=st.lists(st.tuples(st.sampled_from(["add", "take", "list"]), st.sets(PAGES))),
)
def test_it_agrees_with_a_set(start: set[int], changes: list[tuple[str, set[int]]]) -> None:
    pages = PageList(start)
    expected = set(start)
    for change, some in changes:
        if change == "add":
            pages.add(some - expected)
            expected |= some
        elif change == "take":
            pages.take(some & expected)
            expected -= some
        else:
            assert list(pages.pages()) == sorted(expected)
        assert len(pages) == len(expected)
    assert list(pages.pages()) == sorted(expected)


def test_what_was_given_out_stays_as_it_was() -> None:
    pages = PageList([5, 3])
    before = pages.pages()
    pages.add([4])
    assert list(before) == [3, 5]
    assert list(pages.pages()) == [3, 4, 5]
