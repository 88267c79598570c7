"""Records loaded without facts give the same graph as records loaded by their facts."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from whenever import TimeDelta

from collector import worlds as naive
from collector.records import digest_of
from collector.settable import START
from orlop.database import Database
from orlop.gc import fast_load
from orlop.gc.fast_load import FastLoader, load_beside_writers, load_version
from orlop.gc.graph import Graph
from orlop.gc.node import CONTAINER, CONTENT, IMAGE, INGEST, LEASE, SANDBOX, SNAPSHOT, Node
from orlop.gc.record_types import RecordGroup
from orlop.gc.rules import LABEL_RULES, RuleBook
from orlop.gc.scan import read_all
from orlop.kv import PlainBucket
from orlop.schema import names

if TYPE_CHECKING:
    from collector.worlds import Record
    from orlop.kv import Tree

BOOK = RuleBook([("thing", "thing"), ("other", "content")])
MOMENTS = [START + TimeDelta(hours=hours) for hours in (-3, 0, 1, 3)]


def nothing() -> None:
    """Do not yield."""


def said(graph: Graph) -> dict[Node, object]:
    """Return the contents of a graph by node, independent of node ids."""
    expiries = dict(graph.expiries())
    found: dict[Node, object] = {}
    for node_id in range(len(graph)):
        states = (node_id << 1, node_id << 1 | 1)
        following = [
            [graph.node_of(one) for one in graph.following(state, now)]
            for now in MOMENTS
            for state in states
        ]
        referrers = [
            {(graph.node_of(one), graph.rule(rule)) for one, rule in graph.referrers(state, now)}
            for now in MOMENTS
            for state in states
        ]
        found[graph.node(node_id)] = (
            graph.exists(node_id),
            graph.is_swept(node_id),
            [graph.is_root(node_id, now) for now in MOMENTS],
            expiries.get(node_id),
            graph.root_rules(node_id),
            [graph.node(one) for one in graph.mentioned(node_id)],
            following,
            referrers,
        )
    return found


@settings(max_examples=80, deadline=None)
@given(world=naive.worlds)
def test_a_database_is_read_alike(world: list[Record]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Database.open_file(Path(folder, "db")) as database,
    ):
        naive.write_world(database, world, START)
        filled, slow, version = Graph(), Graph(), Graph()
        load_beside_writers(filled, database.namespaces.transactor, BOOK, nothing)
        with database.view() as transaction:
            load_version(version, transaction, BOOK)
            for facts in read_all(transaction, BOOK):
                slow.add(facts)
    assert said(filled) == said(version) == said(slow)
    assert filled.swept_count == slow.swept_count == len(list(filled.swept()))


keys = st.sampled_from([b"a", b"b", b"native/a", b"\xff", b"/", digest_of(1).encode()])
labels = st.one_of(
    st.builds(
        lambda rule, tail: rule.name.encode() + tail,
        st.sampled_from(BOOK.rules),
        st.sampled_from([b"", b".", b"/", b".0", b"/0", b"native", b"native/0", b"x", b"\xff"]),
    ),
    st.sampled_from([b"team", b"containerd.io/gc.", b"containerd.io/gc.other"]),
)
values = st.one_of(
    keys,
    st.sampled_from([b"", b"usedat<2h|a", b"2026-01-01T00:00:00Z", b"no time"]),
    st.just({b"nested": b"a"}),
)
maps = st.dictionaries(labels, values, max_size=4)
trees = st.fixed_dictionaries(
    {},
    optional={
        names.LABELS: maps | values,
        names.PARENT: values,
        names.TARGET: values | st.fixed_dictionaries({}, optional={names.DIGEST: values}),
        names.EXPECTED: values,
        names.SNAPSHOTTER: values,
        names.SNAPSHOT_KEY: values,
        names.CONTENT: st.dictionaries(keys, st.just(b"")),
    },
)
groups = st.one_of(
    st.builds(
        RecordGroup,
        st.sampled_from([CONTENT, IMAGE, CONTAINER, SANDBOX, INGEST, LEASE]),
        st.sampled_from(["ns1", "ns2"]),
    ),
    st.builds(RecordGroup, st.just(SNAPSHOT), st.sampled_from(["ns1", "ns2"]), st.just("native")),
)


@settings(max_examples=300, deadline=None)
@given(stored=st.dictionaries(st.tuples(groups, keys), trees, max_size=6))
def test_whatever_is_stored_is_taken_alike(stored: dict[tuple[RecordGroup, bytes], Tree]) -> None:
    filled, slow = Graph(), Graph()
    for (group, key), tree in stored.items():
        FastLoader(filled, BOOK, group).add(key, tree)
        slow.add(group.read(PlainBucket({key: tree}), names.to_text(key), BOOK))
    assert said(filled) == {**dict.fromkeys(said(filled), NAME), **said(slow)}


NAME: Final[object] = (False, False, [False] * 4, None, [], [], [[]] * 8, [set()] * 8)
"""What a graph says of a name that nothing refers to."""


def test_all_labels_that_mean_something_begin_alike() -> None:
    assert all(rule.name.encode().startswith(fast_load._COMMON) for rule in LABEL_RULES)


@pytest.mark.interpreted("lowers a limit, which compiled code has built in")
def test_labels_without_number_are_not_all_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_load, "_KNOWN_MAX", 3)
    graph = Graph()
    loader = FastLoader(graph, RuleBook(), RecordGroup(CONTENT, "ns1"))
    every: Tree = {b"containerd.io/gc.ref.content.%d" % one: b"%d" % one for one in range(10)}
    loader.add(b"a", {names.LABELS: every})
    node_id = graph.find(Node(CONTENT, "ns1", "a"))
    assert node_id is not None
    found = [graph.node(one).key for one in graph.mentioned(node_id)]
    assert found == [str(one) for one in range(10)]
    assert len(loader._known) <= 3
