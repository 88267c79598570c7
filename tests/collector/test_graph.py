"""The array graph: incremental changes give the same graph as a full load."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import worlds as naive
from collector.interleaving import remove_record
from collector.records import Records, digest_of
from collector.settable import START
from collector.things import Things, sessions, thing
from orlop.database import Database
from orlop.gc import edges
from orlop.gc.facts import Edge, Facts
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
    """Do not yield."""


def graph_of(transaction: Transaction) -> Graph:
    graph = Graph()
    for facts in read_all(transaction, BOOK):
        graph.add(facts)
    return graph


def reached(graph: Graph, now: Instant) -> set[Node]:
    mark = Mark(graph, now, nothing)
    mark.reach(graph.roots(now))
    return {graph.node(number) for number in range(len(graph)) if number in mark}


def said(graph: Graph, now: Instant) -> dict[Node, object]:
    """Return the contents of a graph for existing records, with their referrers."""
    found: dict[Node, object] = {}
    for node in graph:
        node_id = graph.find(node)
        assert node_id is not None
        states = (node_id << 1, node_id << 1 | 1)
        found[node] = (
            [
                sorted((graph.node_of(one), graph.rule(rule)) for one, rule in states_and_rules)
                for state in states
                for states_and_rules in (graph.references(state, now), graph.referrers(state, now))
            ],
            graph.root_rules(node_id),
            graph.expires_at(node_id),
            graph.is_swept(node_id),
        )
    return found


def following(graph: Graph, node: Node, now: Instant) -> list[Node]:
    number = graph.find(node)
    assert number is not None
    states = graph.following(number << 1 | node.is_flat, now)
    return [graph.node(one >> 1).flat if one & 1 else graph.node(one >> 1) for one in states]


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
            graph = graph_of(transaction)
        mark = Mark(graph, START, nothing)
        mark.reach(graph.roots(START))
        for change in changes:
            place = change if isinstance(change, tuple) else change.thing
            with database.update() as update:
                remove_record(update.transaction, *place)
                if not isinstance(change, tuple):
                    change.write(Records(update.transaction, START))
            with database.view() as transaction:
                node = Node(*place)
                affected = graph.replace(node, read_one(transaction, node, BOOK))
                fresh = graph_of(transaction)
            mark.extend(affected)
            assert said(graph, START) == said(fresh, START)
            assert reached(graph, START) == reached(fresh, START)
            assert reached(graph, START) <= {
                graph.node(node_id) for node_id in range(len(graph)) if node_id in mark
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
    graph = Graph()
    for facts in (Facts(lease, root="lease"), Facts(blob)):
        graph.add(facts)
    affected = graph.add_sessions(sessions(things), ["ns1"])

    assert {graph.node(one) for one in affected} >= {lease, thing("active")}
    assert reached(graph, START) == {
        lease,
        blob,
        thing("leased"),
        thing("active"),
        thing("back"),
    }
    assert graph.swept() == [lease, blob, *sorted(things.every)]


@pytest.mark.interpreted("lowers a limit, which compiled code has built in")
def test_more_rules_than_two_bytes_can_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "_SHORT_RULES_MAX", 3)
    graph = Graph()
    kept, source = Node("content", "ns1", digest_of(0)), Node("content", "ns1", digest_of(1))
    graph.add(Facts(kept, references=(Edge(source, "first"),)))
    targets = [Node("content", "ns1", digest_of(number)) for number in range(2, 12)]
    graph.add(Facts(source, references=tuple(Edge(one, f"rule-{one.key}") for one in targets)))
    assert graph._edges._rules.typecode == "I"
    for node, expected in (
        (kept, {(source, "first")}),
        (source, {(one, f"rule-{one.key}") for one in targets}),
    ):
        node_id = graph.find(node)
        assert node_id is not None
        found = graph.references(node_id << 1, START)
        assert {(graph.node_of(state), graph.rule(rule)) for state, rule in found} == expected


def test_labels_that_are_gone_wear_a_graph_out() -> None:
    graph = Graph()
    source, target = (Node("content", "ns1", digest_of(number)) for number in range(2))
    assert not graph.is_mostly_unused
    for number in range(edges.WASTE_MIN + 10):
        graph.replace(source, Facts(source, references=(Edge(target, f"label-{number}"),)))
    assert graph.is_mostly_unused


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
def test_an_id_stands_for_one_node(nodes: list[Node]) -> None:
    ids = NodeIds()
    given_out = [ids.of(node) for node in nodes]
    assert [ids.node(node_id) for node_id in given_out] == nodes
    assert len(set(given_out)) == ids.count == len(set(nodes))
    for node, node_id in zip(nodes, given_out, strict=True):
        assert ids.find(node.flat) == node_id
        assert node_id in ids.with_key(node.key)
        assert ids.type_of(node_id) == node.type
    assert ids.find(Node("image", "a", "unknown")) is None
