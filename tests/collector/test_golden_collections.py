"""The same databases, collected by containerd's main and by Orlop: the same deletions."""

from __future__ import annotations

import itertools
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from collector.settable import SettableClock
from orlop import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orlop.gc import Node
    from orlop.gc.graph import Graph

Removed = set[tuple[str, str, str]]


@pytest.fixture(params=[f"gc-{number:02}" for number in range(1, 9)])
def golden(
    request: pytest.FixtureRequest, data: Path, tmp_path: Path
) -> Iterator[tuple[Database, Removed, int]]:
    name = request.param
    file = tmp_path / "meta.db"
    shutil.copy(data / "gc" / f"{name}.db", file)
    answer = json.loads((data / "gc" / f"{name}.json").read_text())
    removed = {(one["type"], one["namespace"], one["key"]) for one in answer["removed"]}
    with Database.open_file(file, clock=SettableClock()) as database:
        yield database, removed, answer["before"]


def test_a_plan_names_what_containerd_removed(golden: tuple[Database, Removed, int]) -> None:
    database, removed, before = golden
    plan = database.gc.plan()
    assert {(one.type, one.namespace, one.key) for one in plan.nodes} == removed
    assert len(plan.nodes) == len(removed)
    assert plan.kept == before - len(removed)
    assert all(one.reason for one in plan.nodes)


def test_a_run_removes_what_containerd_removed(golden: tuple[Database, Removed, int]) -> None:
    database, removed, before = golden
    planned = database.gc.plan()
    statistics = database.gc.run()
    assert sum(statistics.removed.values()) == len(removed)
    assert statistics.kept == before - len(removed)
    after = database.gc.plan()
    assert after.nodes == ()
    assert after.kept == planned.kept
    gone = [one.node for one in planned.nodes]
    assert not any(one in after.marked.graph for one in gone)
    assert database.gc.run().removed == {}


def test_what_is_held_has_a_path_to_a_root(golden: tuple[Database, Removed, int]) -> None:
    database, _, _ = golden
    plan = database.gc.plan()
    marked = plan.marked
    graph = marked.graph
    for node in marked.graph.swept():
        paths = plan.held_by(node)
        assert bool(paths) == marked.holds(node)
        ends = {
            (path[0].node, *(step.node.whole for step in path[-2:-1]), path[-1].edge)
            for path in paths
        }
        assert len(ends) == len(paths)
        for path in paths:
            assert path[0].node in marked.roots
            assert path[-1].node.whole == node
            for before, after in itertools.pairwise(path):
                state = _state(graph, before.node)
                edges = graph.references(state, marked.now)
                found = {(graph.node_of(one), graph.rule(rule)) for one, rule in edges}
                if after.node in marked.roots:
                    # What would go on to hold an image that expires.
                    edges = graph.referrers(_state(graph, after.node), marked.now)
                    found |= {(after.node, graph.rule(rule)) for one, rule in edges if one == state}
                assert (after.node, after.edge) in found


def _state(graph: Graph, node: Node) -> int:
    node_id = graph.find(node)
    assert node_id is not None
    return node_id << 1 | node.is_flat
