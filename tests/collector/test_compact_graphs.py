"""The compact graph and its mark say what the graph of facts and its mark say."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from whenever import TimeDelta

from collector import worlds as naive
from collector.interleaving import remove_record
from collector.records import Records, digest_of
from collector.settable import START
from collector.things import Things, sessions, thing
from orlop.database import Database
from orlop.gc import edges
from orlop.gc.facts import Edge, Facts
from orlop.gc.facts_graph import FactsGraph, FactsMark
from orlop.gc.graph import Graph
from orlop.gc.mark import Mark
from orlop.gc.node import Node
from orlop.gc.node_ids import NodeIds
from orlop.gc.rules import RuleBook
from orlop.gc.scan import read_all, read_one

if TYPE_CHECKING:
    from whenever import Instant

    from collector.worlds import Record, Thing
    from orlop.kv import Transaction

BOOK = RuleBook()


def nothing() -> None:
    """Let nobody go first."""


def compacted(transaction: Transaction) -> Graph:
    graph = Graph()
    for facts in read_all(transaction, BOOK):
        graph.add(facts)
    return graph


def reached(graph: Graph, now: Instant) -> set[Node]:
    mark = Mark(graph, now, nothing)
    mark.reach(graph.roots(now))
    return {graph.node(number) for number in range(len(graph)) if number in mark}


def following(graph: Graph, node: Node, now: Instant) -> list[Node]:
    number = graph.find(node)
    assert number is not None
    states = graph.following(number << 1 | node.is_flat, now)
    return [graph.node(one >> 1).flat if one & 1 else graph.node(one >> 1) for one in states]


def expected(graph: FactsGraph, now: Instant) -> set[Node]:
    mark = FactsMark(lambda node: (edge.target for edge in graph.references(node, now)))
    mark.reach(root.node for root in graph.roots(now))
    return mark.reachable


@settings(max_examples=150, deadline=None)
@given(world=naive.worlds, hours=st.integers(0, 3))
def test_both_reach_the_same(world: list[Record], hours: int) -> None:
    now = START + TimeDelta(hours=hours)
    with (
        tempfile.TemporaryDirectory() as folder,
        Database.open_file(Path(folder, "db")) as database,
    ):
        naive.write_world(database, world, START)
        with database.view() as transaction:
            compact, graph = compacted(transaction), FactsGraph.read(transaction)
        assert reached(compact, now) == expected(graph, now)
        assert set(compact) == {facts.node for facts in graph.all_facts()}
        assert {compact.node(number) for number in compact.swept()} == set(graph.swept())
        roots = {root.node for root in graph.roots(now)}
        assert {compact.node(number) for number in compact.roots(now)} == roots
        for node in compact:
            number = compact.find(node)
            assert number is not None
            assert compact.is_root(number, now) == (node in roots)
            for is_flat in (False, True):
                found = set(following(compact, node.flat if is_flat else node, now))
                wanted = graph.references(node.flat if is_flat else node, now)
                if is_flat and not node.flat.is_flat:
                    continue  # no such node
                assert {edge.target for edge in wanted} <= found
                assert {one for one in found if one.whole not in roots} <= {
                    edge.target for edge in graph.references(node.flat if is_flat else node, now)
                }


@settings(max_examples=120, deadline=None)
@given(
    world=naive.worlds,
    changes=st.lists(
        st.one_of(naive.records, naive.records.map(lambda record: record.thing)), max_size=12
    ),
)
def test_replacing_records_one_by_one_is_reading_them_again(
    world: list[Record], changes: list[Record | Thing]
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Database.open_file(Path(folder, "db")) as database,
    ):
        naive.write_world(database, world, START)
        with database.view() as transaction:
            compact = compacted(transaction)
        mark = Mark(compact, START, nothing)
        mark.reach(compact.roots(START))
        for change in changes:
            place = change if isinstance(change, tuple) else change.thing
            with database.update() as update:
                remove_record(update.transaction, *place)
                if not isinstance(change, tuple):
                    change.write(Records(update.transaction, START))
            with database.view() as transaction:
                node = Node(*place)
                affected = compact.replace(node, read_one(transaction, node, BOOK))
                fresh = FactsGraph.read(transaction)
            mark.reach(number for number in affected if compact.is_root(number, START))
            mark.expand(affected)
            assert reached(compact, START) == expected(fresh, START)
            assert expected(fresh, START) <= {
                compact.node(number) for number in range(len(compact)) if number in mark
            }


@pytest.mark.interpreted("lowers a limit, which compiled code has built in")
def test_what_nobody_refers_to_any_more_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "WASTE_MIN", 10)
    graph = Graph()
    target = Node("content", "ns1", digest_of(2))
    source = Node("content", "ns1", digest_of(1))
    kept = Node("content", "ns1", digest_of(3))
    graph.add(Facts(kept, references=(Edge(target, "x"),)))
    for _ in range(1_000):
        graph.replace(source, Facts(source, references=(Edge(target, "x"), Edge(kept, "y"))))
        graph.tidy(nothing)
    assert len(graph._edges._references) < 40
    for node, targets in ((source, [target, kept]), (kept, [target])):
        assert following(graph, node, START) == targets


def test_other_resources_take_part() -> None:
    lease, blob = Node("lease", "ns1", "lease"), Node("content", "ns1", digest_of(1))
    things = Things(
        [thing("leased"), thing("active"), thing("free"), thing("back")],
        active=[thing("active")],
        leased={"lease": [thing("leased")]},
        back=[(lease, thing("back"))],
        forward={thing("active"): [blob]},
    )
    compact, graph = Graph(), FactsGraph()
    for facts in (Facts(lease, root="lease"), Facts(blob)):
        compact.add(facts)
        graph.add(facts)
    affected = compact.add_sessions(sessions(things), ["ns1"])
    graph.add_sessions(sessions(things), ["ns1"])

    assert {compact.node(one) for one in affected} >= {lease, thing("active")}
    assert reached(compact, START) == expected(graph, START)
    swept = [compact.node(number) for number in compact.swept()]
    assert sorted(swept) == sorted(graph.swept())


names = st.one_of(
    st.text(max_size=8),
    st.integers(0, 5).map(digest_of),
    st.integers(0, 5).map(lambda number: f"native/{digest_of(number)}"),
    st.integers(0, 5).map(lambda number: digest_of(number).upper()),
    st.integers(0, 5).map(lambda number: digest_of(number)[:-1] + " "),
    st.binary(max_size=6).map(lambda data: data.decode("utf-8", "surrogateescape")),
)


@given(
    nodes=st.lists(
        st.builds(
            Node,
            st.sampled_from(["content", "snapshot"]),
            st.sampled_from(["a", "b"]),
            names,
            st.just(False),
        )
    )
)
def test_a_number_stands_for_one_node(nodes: list[Node]) -> None:
    numbers = NodeIds()
    given_out = [numbers.number(node) for node in nodes]
    assert [numbers.node(number) for number in given_out] == nodes
    assert len(set(given_out)) == numbers.count == len(set(nodes))
    for node, number in zip(nodes, given_out, strict=True):
        assert numbers.find(node.flat) == number
    assert numbers.find(Node("image", "a", "unknown")) is None
