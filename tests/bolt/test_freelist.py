"""The freelist against a set of page numbers."""

from __future__ import annotations

import random

import pytest

from orlop.bolt.freelist import Freelist

PAGES = 60


def runs(pages: set[int]) -> dict[int, int]:
    """Return the longest runs in a set: their lengths by their first pages."""
    found: dict[int, int] = {}
    for page in sorted(pages):
        start = next((start for start, length in found.items() if start + length == page), page)
        found[start] = found.get(start, 0) + 1
    return found


def assert_agrees(freelist: Freelist, free: set[int], pending: dict[int, list[int]]) -> None:
    waiting = [page for pages in pending.values() for page in pages]
    assert list(freelist.ids()) == sorted([*free, *waiting])
    assert freelist.count() == len(free) + len(waiting)
    expected = runs(free)
    assert freelist._length_of == expected
    assert freelist._start_of == {start + length - 1: start for start, length in expected.items()}
    assert {length: set(starts) for length, starts in freelist._by_length.items()} == {
        length: {start for start, one in expected.items() if one == length}
        for length in expected.values()
    }


@pytest.mark.parametrize("seed_number", range(20))
def test_it_agrees_with_a_set(seed_number: int) -> None:
    seed = random.Random(seed_number)
    free = set(seed.sample(range(2, PAGES), 25))
    used = set(range(2, PAGES)) - free
    pending: dict[int, list[int]] = {}
    freelist = Freelist(seed.sample(sorted(free), len(free)))
    for transaction in range(1, 80):
        assert_agrees(freelist, free, pending)
        count = seed.randrange(1, 6)
        fitting = [length for length in runs(free).values() if length >= count]
        page = freelist.allocate(count)
        assert (page is None) == (not fitting)
        if page is not None:
            taken = set(range(page, page + count))
            assert taken <= free
            # The shortest run that is long enough: long ones are kept for large nodes.
            start = max(start for start in runs(free) if start <= page)
            assert runs(free)[start] == min(fitting)
            free -= taken
            used |= taken
        freed = seed.sample(sorted(used), min(len(used), seed.randrange(6)))
        used -= set(freed)
        # Twice for one transaction: a group frees what each of its members has replaced.
        freelist.free(transaction, freed[:2])
        freelist.free(transaction, freed[2:])
        pending[transaction] = freed
        released = transaction - seed.randrange(6)
        freelist.release(released)
        for number in [number for number in pending if number <= released]:
            free |= set(pending.pop(number))
    assert_agrees(freelist, free, pending)


def test_nothing_is_taken_before_it_is_released() -> None:
    freelist = Freelist()
    freelist.free(7, [4, 5])
    assert freelist.allocate(1) is None
    freelist.release(6)
    assert freelist.allocate(1) is None
    freelist.release(7)
    assert freelist.allocate(2) == 4
