"""Leaves that are read by their shape equal those read by element, or are refused."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.bolt import bulk_read, leaf
from orlop.bolt.leaf import LEAF_ELEMENT
from orlop.bolt.node import Leaf
from orlop.bolt.page import HEADER, LEAF_PAGE, decode_header, decode_node
from orlop.kv import CorruptError

if TYPE_CHECKING:
    from orlop.kv import Tree

PAGE = 7

parts = st.binary(max_size=6)
elements = st.lists(st.tuples(parts, parts, st.integers(0, 3)), max_size=8)


def page_of(stored: list[tuple[bytes, bytes, int]], *, cut: int = 0) -> bytes:
    """A leaf; each element's bytes come so far behind those of the one before."""
    table, data = b"", b""
    for index, (key, value, gap) in enumerate(stored):
        data += bytes(gap)
        distance = (len(stored) - index) * LEAF_ELEMENT.size + len(data)
        table += LEAF_ELEMENT.pack(0, distance, len(key), len(value))
        data += key + value
    page = HEADER.pack(PAGE, LEAF_PAGE, len(stored), 0) + table + data
    return page[: len(page) - cut]


def by_node(page: bytes) -> Tree | None:
    """Return the contents of the leaf; `None` if it is refused."""
    try:
        node = decode_node(page, decode_header(page))
    except CorruptError:
        return None
    assert isinstance(node, Leaf)
    found: Tree = {}
    for key, value in zip(node.keys, node.values, strict=True):
        assert isinstance(value, bytes)
        found[key] = value
    return found


def by_shape(page: bytes) -> Tree | None:
    try:
        return bulk_read._decode_leaf(
            None, page, HEADER.size, decode_header(page).elements, PAGE, 0
        )
    except CorruptError:
        return None


@given(stored=elements, cut=st.integers(0, 12))
def test_a_leaf_holds_the_same_however_often_its_shape_was_seen(
    stored: list[tuple[bytes, bytes, int]], cut: int
) -> None:
    whole, short = page_of(stored), page_of(stored, cut=cut)
    for _ in range(3):
        assert by_shape(whole) == by_node(whole)
        # The table is the same: what follows is not.
        assert by_shape(short) == by_node(short)


@given(stored=elements, seed=st.integers(0, 1_000))
def test_a_damaged_table_is_judged_alike(stored: list[tuple[bytes, bytes, int]], seed: int) -> None:
    decider = random.Random(seed)
    damaged = bytearray(page_of(stored) + bytes(4))
    for _ in range(3):
        place = decider.randrange(HEADER.size, len(damaged))
        damaged[place] = (damaged[place] & 0xF0) | decider.randrange(16)
    page = bytes(damaged)
    if any(page[HEADER.size + index * LEAF_ELEMENT.size] & 1 for index in range(len(stored))):
        return  # it says that there are buckets
    for _ in range(3):
        assert by_shape(page) == by_node(page)


@pytest.mark.interpreted("lowers limits, which compiled code has built in")
def test_shapes_without_number_are_not_all_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaf, "_MAX_SHAPES", 5)
    monkeypatch.setattr(leaf, "_MAX_SEEN", 8)
    leaf.leaf_shapes.clear()
    leaf._seen.clear()
    for length in range(1, 40):
        page = page_of([(b"k" * length, b"v", 0)])
        for _ in range(3):
            assert by_shape(page) == {b"k" * length: b"v"}
        assert len(leaf.leaf_shapes) <= 5
        assert len(leaf._seen) <= 8
