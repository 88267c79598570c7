"""`why` lists all paths that keep a record, and each of them is sufficient."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.edits import delete_last_edge, last_edges
from collector.records import Records, digest_of
from collector.settable import SettableClock
from collector.worlds import Record, worlds
from orlop import Database
from orlop.gc import Node, Step
from orlop.gc.graph import BACK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orlop.gc import HoldingPath as Route
    from orlop.gc import Plan
    from orlop.gc.marked import Marked

GC = "containerd.io/gc."
MAYBE_REMOVED = {"lease", "snapshot", "ingest", "content", "image"}


@contextmanager
def written(world: list[Record], clock: SettableClock) -> Iterator[Path]:
    """Write a world into a database, and return its file once that is closed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "meta.db")
        with Database.open_file(file, clock=clock) as database, database.update() as update:
            records = Records(update.transaction, clock.now())
            for record in world:
                record.write(records)
        yield file


def plan_without(file: Path, paths: Iterable[Route], clock: SettableClock) -> Plan:
    """Return the next plan of a copy in which the last edges of paths are gone."""
    copy = file.with_name("copy.db")
    shutil.copy(file, copy)
    with Database.open_file(copy, clock=clock, sync=False) as database:
        with database.update() as update:
            for path in paths:
                delete_last_edge(update.transaction, path)
        return database.gc.plan()


def records_of(plan: Plan) -> list[Node]:
    return [node for node in plan.marked.graph if node.type in MAYBE_REMOVED]


def check_paths(file: Path, clock: SettableClock, *, each: bool) -> tuple[int, int]:
    """Check the paths of all records; return how many are held, and how many are not.

    With `each`, also that every single last edge holds its record when the others are gone.
    """
    with Database.open_file(file, clock=clock, sync=False) as database:
        plan = database.gc.plan()
    removed = {one.node for one in plan.nodes}
    held = [node for node in records_of(plan) if node not in removed]
    for node in held:
        edges = last_edges(plan.held_by(node))
        assert edges, node
        without_all = plan_without(file, edges.values(), clock)
        assert node in {one.node for one in without_all.nodes}, (node, edges)
        for kept in edges if each else ():
            others = [path for edge, path in edges.items() if edge != kept]
            still = plan_without(file, others, clock)
            assert node not in {one.node for one in still.nodes}, (node, kept)
    for node in removed:
        assert plan.held_by(node) == ()
        assert "is removed: " in plan.explain(node)
    return len(held), len(removed)


@settings(max_examples=30, deadline=None)
@given(world=worlds)
def test_without_the_last_edges_that_it_names_a_record_goes(world: list[Record]) -> None:
    clock = SettableClock()
    with written(world, clock) as file:
        check_paths(file, clock, each=True)


@pytest.mark.parametrize("number", range(1, 9))
def test_without_the_last_edges_golden_records_go(data: Path, tmp_path: Path, number: int) -> None:
    file = tmp_path / "meta.db"
    shutil.copy(data / "gc" / f"gc-{number:02}.db", file)
    held, removed = check_paths(file, SettableClock(), each=False)
    assert held > 5
    assert removed > 5


def test_each_pair_of_a_root_and_a_last_edge_has_one_path(
    bare: Database, clock: SettableClock
) -> None:
    # Both images hold the layer by both manifests; one of them also by a longer way.
    layer, *manifests = (digest_of(number) for number in range(3))
    index = digest_of(9)
    refers = {f"{GC}ref.content.0": manifests[0], f"{GC}ref.content.1": manifests[1]}
    with bare.update() as update:
        records = Records(update.transaction, clock.now())
        records.blob("ns", layer)
        for manifest in manifests:
            records.blob("ns", manifest, {f"{GC}ref.content.l": layer})
        records.blob("ns", index, refers)
        records.image("ns", "a", index)
        records.image("ns", "b", index, {f"{GC}ref.content": manifests[0]})
    paths = bare.gc.held_by(Node("content", "ns", layer))
    assert sorted((path[0].node.key, path[-2].node.key, len(path)) for path in paths) == sorted(
        [
            ("a", manifests[0], 4),
            ("a", manifests[1], 4),
            ("b", manifests[0], 3),
            ("b", manifests[1], 4),
        ]
    )
    assert [len(path) for path in paths] == [3, 4, 4, 4]
    plan = bare.gc.plan()
    assert plan.marked.paths(Node("content", "ns", layer), limit=2) <= paths


def test_a_path_does_not_go_through_its_own_end(bare: Database, clock: SettableClock) -> None:
    # The cycle holds nobody: it is only reached through the record itself.
    first, second = digest_of(1), digest_of(2)
    with bare.update() as update:
        records = Records(update.transaction, clock.now())
        records.blob("ns", first, {f"{GC}ref.content": second})
        records.blob("ns", second, {f"{GC}ref.content": first})
        records.image("ns", "image", first)
    (path,) = bare.gc.held_by(Node("content", "ns", first))
    assert [step.node.key for step in path] == ["image", first]


def test_each_label_that_makes_a_root_is_named(bare: Database, clock: SettableClock) -> None:
    labels = {f"{GC}root": "x", f"{GC}root.other": "x", f"{GC}rooted": "x"}
    node = Node("content", "ns", digest_of(1))
    with bare.update() as update:
        Records(update.transaction, clock.now()).blob("ns", node.key, labels)
    assert bare.gc.held_by(node) == tuple((Step(node, label),) for label in sorted(labels))


def test_what_goes_on_to_hold_an_image_that_expires_is_named(
    bare: Database, clock: SettableClock
) -> None:
    image = Node("image", "ns", "bound")
    with bare.update() as update:
        records = Records(update.transaction, clock.now())
        records.container("ns", "c1")
        records.image("ns", "bound", digest_of(1), {f"{GC}bref.container": "c1"})
    assert bare.gc.held_by(image) == (
        (Step(image, "image"),),
        (
            Step(Node("container", "ns", "c1"), "container"),
            Step(image, f"{GC}bref.container"),
        ),
    )


def test_flat_and_whole_are_one_last_edge(bare: Database, clock: SettableClock) -> None:
    # The lease reaches the image flat, and whole by way of the ingest.
    blob, other = digest_of(1), digest_of(2)
    with bare.update() as update:
        records = Records(update.transaction, clock.now())
        records.blob("ns", blob)
        records.blob("ns", other, {f"{GC}ref.image": "image"})
        records.image("ns", "image", blob, {f"{GC}expire": "2001-01-01T00:00:00Z"})
        records.ingest("ns", "ingest", expected=other)
        records.lease(
            "ns", "lease", ("images", "image"), ("ingests", "ingest"), labels={f"{GC}flat": "x"}
        )
    (path,) = bare.gc.held_by(Node("content", "ns", blob))
    assert [step.node for step in path] == [
        Node("lease", "ns", "lease"),
        Node("image", "ns", "image", is_flat=True),
        Node("content", "ns", blob, is_flat=True),
    ]


@settings(max_examples=100, deadline=None)
@given(world=worlds, seed=st.integers(0, 100))
def test_both_ways_of_searching_find_the_same(world: list[Record], seed: int) -> None:
    clock = SettableClock()
    with written(world, clock) as file, Database.open_file(file, clock=clock) as database:
        marked = database.gc.plan().marked
    graph = marked.graph
    nodes = sorted(graph.node(one) for one in range(len(graph)) if one in marked.mark)
    node = nodes[seed % len(nodes)] if nodes else Node("image", "ns", "none")
    found = {(path[0].node, *_end(path)): len(path) for path in marked.paths(node)}
    assert found == _by_hand(marked, node)


def _end(path: Route) -> tuple[Node | None, str]:
    return (path[-2].node.whole if len(path) > 1 else None), path[-1].edge


def _by_hand(marked: Marked, node: Node) -> dict[tuple[Node, Node | None, str], int]:
    """Return the lengths of shortest paths, found by relaxing all edges until nothing changes."""
    edges = [one for one in _edges(marked) if one[0].whole != node]
    found: dict[tuple[Node, Node | None, str], int] = {}
    for root, by in marked.roots.items():
        if root == node:
            found[root, None, by] = 1
            continue
        depths = {root: 1}
        changed = True
        while changed:
            changed = False
            for source, rule, target in edges:
                depth = depths.get(source, 10**6) + 1
                if target.whole == node:
                    if depth < found.get((root, source.whole, rule), 10**6):
                        found[root, source.whole, rule] = depth
                        changed = True
                elif depth < depths.get(target, 10**6):
                    depths[target] = depth
                    changed = True
    return found


def _edges(marked: Marked) -> Iterator[tuple[Node, str, Node]]:
    """Iterate over the references of reached nodes: source, rule and target."""
    graph, mark = marked.graph, marked.mark
    for state in filter(mark.has, range(2 * len(graph))):
        for target, rule in graph.references(state, marked.now):
            yield graph.node_of(state), graph.rule(rule), graph.node_of(target)
    for node in graph:
        # An image that is a root needs no back reference, but would be held by it.
        node_id = graph.find(node)
        assert node_id is not None
        if node.type == "image" and graph.is_root(node_id, marked.now):
            for source, rule, origin, *_ in graph.mentions(node_id, marked.now):
                if origin == BACK and mark.has(source << 1):
                    yield graph.node(source), graph.rule(rule), node
