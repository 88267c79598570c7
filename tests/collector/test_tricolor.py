from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from collector.settable import START
from orlop.gc.facts import Edge, Facts
from orlop.gc.graph import Graph
from orlop.gc.mark import Mark
from orlop.gc.node import Node

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def node(name: str) -> Node:
    return Node("content", "test", name)


def nothing() -> None:
    """Do not yield."""


def graph_of(edges: Mapping[str, str], roots: str = "") -> Graph:
    graph = Graph()
    for name, targets in {**dict.fromkeys(roots, ""), **edges}.items():
        graph.add(Facts(node(name), references=tuple(Edge(node(one), "x") for one in targets)))
    return graph


def ids(graph: Graph, names: Iterable[str]) -> list[int]:
    return [graph.ids.of(node(name)) for name in names]


def marked(edges: Mapping[str, str], roots: str) -> set[str]:
    graph = graph_of(edges, roots)
    mark = Mark(graph, START, nothing)
    mark.reach(ids(graph, roots))
    return {graph.node(node_id).key for node_id in range(len(graph)) if node_id in mark}


def test_tricolor_basic() -> None:
    edges = {"A": "BC", "B": "D", "C": "D", "D": "A", "E": "FG", "F": "H", "G": "", "H": "E"}
    assert marked(edges, "A") == set("ABCD")
    assert marked(edges, "E") == set("EFGH")
    assert marked(edges, "") == set()
    assert marked(edges, "AG") == set("ABCDG")


def test_a_node_reached_flat_and_then_whole_is_expanded_again() -> None:
    graph = graph_of({"A": "B", "B": "C"})
    graph.add(Facts(node("F"), references=(Edge(node("B").flat, "x"),)))
    a, b, c, f = ids(graph, "ABCF")
    mark = Mark(graph, START, nothing)
    mark.reach([f])
    assert [one in mark for one in (a, b, c)] == [False, True, False]
    mark.reach([a])
    assert [one in mark for one in (a, b, c)] == [True, True, True]
    assert [mark.has(one << 1) for one in (a, b, c)] == [True, True, True]
    assert [mark.has(one << 1 | 1) for one in (a, b, c)] == [False, True, False]


def test_a_long_chain_needs_no_deep_stack() -> None:
    graph = Graph()
    for number in range(50_000):
        target = Edge(node(str(number + 1)), "x")
        graph.add(Facts(node(str(number)), references=(target,)))
    mark = Mark(graph, START, nothing)
    mark.reach(ids(graph, ["0"]))
    assert list(mark.unreached()) == []
    assert len(graph) == 50_001


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
