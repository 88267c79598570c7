from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from orlop.gc.facts_graph import FactsMark
from orlop.gc.node import Node

if TYPE_CHECKING:
    from collections.abc import Mapping


def node(name: str) -> Node:
    return Node("content", "test", name)


def marked(edges: Mapping[str, str], roots: str) -> set[str]:
    mark = FactsMark(lambda one: [node(target) for target in edges.get(one.key, "")])
    mark.reach(node(name) for name in roots)
    return {one.key for one in mark.reachable}


def test_tricolor_basic() -> None:
    edges = {"A": "BC", "B": "D", "C": "D", "D": "A", "E": "FG", "F": "H", "G": "", "H": "E"}
    assert marked(edges, "A") == set("ABCD")
    assert marked(edges, "E") == set("EFGH")
    assert marked(edges, "") == set()
    assert marked(edges, "AG") == set("ABCDG")


def test_a_node_reached_flat_and_then_whole_is_expanded_again() -> None:
    edges = {node("A"): [node("B")], node("B"): [node("C")]}
    mark = FactsMark(lambda one: edges.get(one, []))
    mark.reach([node("B").flat])
    assert mark.reachable == {node("B")}
    mark.reach([node("A")])
    assert mark.reachable == {node("A"), node("B"), node("C")}
    assert mark.seen == {node("A"), node("B").flat, node("B"), node("C")}


def test_a_long_chain_needs_no_deep_stack() -> None:
    mark = FactsMark(lambda one: [node(str(int(one.key) + 1))] if int(one.key) < 50_000 else [])
    mark.reach([node("0")])
    assert len(mark.reachable) == 50_001


_NAMES = "ABCDEFGH"


@given(
    edges=st.dictionaries(st.sampled_from(_NAMES), st.text(_NAMES, max_size=4)),
    roots=st.text(_NAMES, max_size=3),
)
def test_the_mark_finds_what_a_fixed_point_finds(edges: dict[str, str], roots: str) -> None:
    reached = set(roots)
    while True:
        more = reached.union(*(edges.get(name, "") for name in reached))
        if more == reached:
            break
        reached = more
    assert marked(edges, roots) == reached
