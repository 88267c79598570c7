"""Roots and references, by the cases of containerd's own tests of the same names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whenever import TimeDelta

from collector.records import Records, digest_of
from collector.things import Things, sessions, thing
from orlop.gc.fast_load import load_version
from orlop.gc.graph import Graph
from orlop.gc.node import Node, snapshot_node
from orlop.gc.rules import RuleBook
from orlop.gc.sweep import Sweep
from orlop.schema.codec.timestamps import format_rfc3339

if TYPE_CHECKING:
    from whenever import Instant

    from collector.settable import SettableClock
    from orlop import Database
    from orlop.kv import Transaction

GC = "containerd.io/gc."
HOUR = TimeDelta(hours=1)


def content(namespace: str, number: int, *, is_flat: bool = False) -> Node:
    return Node("content", namespace, digest_of(number), is_flat)


def overlay(namespace: str, key: str, *, is_flat: bool = False) -> Node:
    return Node("snapshot", namespace, f"overlay/{key}", is_flat)


def read(transaction: Transaction, book: RuleBook | None = None) -> Graph:
    graph = Graph()
    load_version(graph, transaction, book or RuleBook())
    return graph


def roots_of(graph: Graph, now: Instant) -> set[Node]:
    return set(map(graph.node, graph.roots(now)))


def targets_of(graph: Graph, node: Node, now: Instant) -> list[Node]:
    node_id = graph.find(node)
    if node_id is None:
        return []
    state = node_id << 1 | node.is_flat
    return [graph.node_of(one) for one, _ in graph.references(state, now)]


def test_resource_max() -> None:
    for kind in ("content", "snapshot", "image"):
        flat = Node(kind, "ns", "x/y").flat
        assert flat.is_flat
        assert flat.whole == Node(kind, "ns", "x/y") != flat
    assert Node("ingest", "ns", "x").flat == Node("ingest", "ns", "x")


def _write_roots(records: Records) -> None:
    soon, past = records.now + HOUR, records.now - HOUR
    expired, live = {f"{GC}expire": format_rfc3339(past)}, {f"{GC}expire": format_rfc3339(soon)}
    records.image("ns1", "image1", digest_of(1))
    records.image("ns1", "image2", digest_of(2), {f"{GC}ref.snapshot.overlay": "sn2"})
    records.image("ns2", "image3", digest_of(10), {f"{GC}ref.image": "image4"})
    records.image("ns2", "image4", digest_of(12), expired)
    records.image("ns2", "image5", digest_of(13), expired)
    records.container("ns1", "container1", "overlay", "sn4")
    records.container("ns1", "container2", "overlay", "sn5", {f"{GC}ref.snapshot.overlay": "sn6"})
    for number in (1, 2, 3):
        records.blob("ns1", digest_of(number))
    records.blob("ns2", digest_of(1))
    records.blob("ns2", digest_of(2), {f"{GC}root": "always"})
    records.ingest("ns1", "ingest-1")
    records.ingest("ns1", "ingest-2", expires=past)
    records.ingest("ns1", "ingest-3", expires=soon)
    for ref in ("ingest-4", "ingest-5", "ingest-6"):
        records.ingest("ns2", ref)
    for key in ("sn1", "sn2", "sn4", "sn5", "sn6"):
        records.snapshot("ns1", "overlay", key)
    records.snapshot("ns1", "overlay", "sn3", labels={f"{GC}root": "always"})
    records.lease("ns2", "l1", ("snapshots/overlay", "sn5"), ("content", digest_of(4)))
    records.lease(
        "ns2",
        "l3",
        ("content", digest_of(6)),
        ("snapshots/overlay", "sn7"),
        ("images", "image5"),
        ("ingests", "ingest-4"),
        labels=live,
    )
    records.lease(
        "ns2",
        "l4",
        ("content", digest_of(7)),
        ("snapshots/overlay", "sn8"),
        ("images", "image4"),
        ("ingests", "ingest-6"),
        labels=expired,
    )
    records.lease(
        "ns3",
        "l1",
        ("content", digest_of(1)),
        ("snapshots/overlay", "sn1"),
        ("images", "image1"),
        ("ingests", "ingest-1"),
        labels={f"{GC}flat": "whatever"},
    )
    records.sandbox("ns3", "sandbox1")
    records.sandbox("ns4", "sandbox1", {f"{GC}ref.snapshot.overlay": "sn1"})


def test_gc_roots(bare: Database, clock: SettableClock) -> None:
    with bare.update() as update:
        _write_roots(Records(update.transaction, clock.now()))
        graph = read(update.transaction)

    roots = roots_of(graph, clock.now())
    assert roots == {
        content("ns2", 2),
        overlay("ns1", "sn3"),
        Node("container", "ns1", "container1"),
        Node("container", "ns1", "container2"),
        Node("image", "ns1", "image1"),
        Node("image", "ns1", "image2"),
        Node("image", "ns2", "image3"),
        Node("ingest", "ns1", "ingest-3"),
        Node("lease", "ns2", "l1"),
        Node("lease", "ns2", "l3"),
        Node("lease", "ns3", "l1"),
        Node("sandbox", "ns3", "sandbox1"),
        Node("sandbox", "ns4", "sandbox1"),
    }
    # containerd takes what leases and sandboxes hold for roots as well.
    held = {
        target
        for root in roots
        if root.type in {"lease", "sandbox"}
        for target in targets_of(graph, root, clock.now())
    }
    assert held == {
        content("ns2", 4),
        content("ns2", 6),
        overlay("ns2", "sn5"),
        overlay("ns2", "sn7"),
        overlay("ns4", "sn1"),
        Node("image", "ns2", "image5"),
        Node("ingest", "ns2", "ingest-4"),
        Node("ingest", "ns3", "ingest-1"),
        content("ns3", 1, is_flat=True),
        overlay("ns3", "sn1", is_flat=True),
        Node("image", "ns3", "image1", is_flat=True),
    }
    expired = Node("lease", "ns2", "l4")
    assert targets_of(graph, expired, clock.now()) == []


def _write_references(records: Records) -> None:
    soon = format_rfc3339(records.now + HOUR)
    past = format_rfc3339(records.now - HOUR)
    references = f"{GC}ref.content"
    records.blob("ns1", digest_of(1))
    records.blob("ns1", digest_of(4), {references: digest_of(1)})
    records.blob("ns1", digest_of(5), {f"{references}.x": digest_of(2), f"{references}/y": "z"})
    records.blob("ns1", digest_of(6), {f"{references}bad": digest_of(1)})
    records.container("ns1", "container1", "overlay", "sn4")
    records.container(
        "ns1",
        "container2",
        "overlay",
        "sn5",
        {f"{GC}ref.snapshot.overlay/a": "sn6", references: digest_of(7)},
    )
    records.container("ns1", "container3", labels={f"{references}.0": digest_of(8)})
    records.image("ns1", "image1", digest_of(3))
    records.image(
        "ns1",
        "image2",
        digest_of(4),
        {f"{GC}ref.image.anything": "image1", f"{references}.other": digest_of(5)},
    )
    records.ingest("ns1", "ingest-1")
    records.ingest("ns2", "ingest-2", expected=digest_of(8))
    records.snapshot("ns1", "overlay", "sn1")
    records.snapshot("ns1", "overlay", "sn2", "sn1")
    records.snapshot(
        "ns1",
        "overlay",
        "sn3",
        "sn2",
        {f"{GC}ref.snapshot.btrfs": "sn1", f"{GC}ref.snapshot.overlay": "sn1"},
    )
    records.snapshot("ns1", "btrfs", "sn1")
    records.blob(
        "ns1",
        digest_of(10),
        {
            f"{GC}bref.container": "container1",
            f"{GC}bref.content": digest_of(5),
            f"{GC}bref.image": "image2",
            f"{GC}bref.snapshot.btrfs": "sn1",
        },
    )
    records.blob("ns3", digest_of(10), {f"{GC}bref.container": "nobody"})
    bound = {f"{GC}bref.image": "image2"}
    records.image("ns1", "image3", digest_of(10), {**bound, f"{GC}expire": soon})
    records.image("ns1", "image4", digest_of(10), {**bound, f"{GC}expire": past})
    condition = f"{GC}cond.snapshot.overlay"
    records.blob("ns3", digest_of(20), {condition: "usedat<2h|sn6"})
    records.blob("ns3", digest_of(21), {condition: "usedat<2h|sn7"})
    records.image("ns3", "image5", digest_of(30), {condition: "usedat<2h|sn6"})
    used = f"{GC}cond.value-usedat"
    records.snapshot("ns3", "overlay", "sn6", labels={used: past})
    long_ago = format_rfc3339(records.now - HOUR - HOUR - HOUR)
    records.snapshot("ns3", "overlay", "sn7", labels={used: long_ago})


def test_gc_refs(bare: Database, clock: SettableClock) -> None:
    with bare.update() as update:
        _write_references(Records(update.transaction, clock.now()))
        graph = read(update.transaction)

    def image(name: str, *, is_flat: bool = False) -> Node:
        return Node("image", "ns1", name, is_flat)

    expected: dict[Node, list[Node]] = {
        content("ns1", 1): [],
        content("ns1", 2): [],
        content("ns1", 4): [content("ns1", 1)],
        content("ns1", 5): [
            content("ns1", 10),
            content("ns1", 2),
            Node("content", "ns1", "z"),
        ],
        content("ns1", 5, is_flat=True): [],
        content("ns1", 6): [],
        Node("container", "ns1", "container1"): [content("ns1", 10), overlay("ns1", "sn4")],
        Node("container", "ns1", "container2"): [
            overlay("ns1", "sn5"),
            content("ns1", 7),
            overlay("ns1", "sn6"),
        ],
        Node("container", "ns1", "container3"): [content("ns1", 8)],
        Node("container", "ns3", "nobody"): [content("ns3", 10)],
        image("image1"): [content("ns1", 3)],
        image("image2"): [
            content("ns1", 10),
            image("image4"),
            content("ns1", 4),
            content("ns1", 5),
            image("image1"),
        ],
        image("image2", is_flat=True): [content("ns1", 4, is_flat=True)],
        image("missing"): [],
        Node("ingest", "ns1", "ingest-1"): [],
        Node("ingest", "ns2", "ingest-2"): [content("ns2", 8)],
        overlay("ns1", "sn1"): [],
        overlay("ns1", "sn2"): [overlay("ns1", "sn1")],
        overlay("ns1", "sn3"): [
            overlay("ns1", "sn2"),
            snapshot_node("ns1", "btrfs", "sn1"),
            overlay("ns1", "sn1"),
        ],
        overlay("ns1", "sn3", is_flat=True): [overlay("ns1", "sn2", is_flat=True)],
        snapshot_node("ns1", "btrfs", "sn1"): [content("ns1", 10)],
        Node("snapshot", "ns1", "without-a-slash"): [],
        content("ns3", 20): [overlay("ns3", "sn6")],
        content("ns3", 21): [],
        Node("image", "ns3", "image5"): [content("ns3", 30), overlay("ns3", "sn6")],
    }
    found = {node: targets_of(graph, node, clock.now()) for node in expected}
    assert found == expected
    # Time alone changes the answer.
    clock.advance(hours=1)
    assert targets_of(graph, content("ns3", 20), clock.now()) == []


def test_gc_remove(bare: Database, clock: SettableClock) -> None:
    with bare.update() as update:
        records = Records(update.transaction, clock.now())
        every = {
            records.image("ns1", "image1", digest_of(1)),
            records.image("ns1", "image2", digest_of(2)),
            records.blob("ns1", digest_of(1)),
            records.blob("ns1", digest_of(2)),
            records.blob("ns1", digest_of(3)),
            records.blob("ns2", digest_of(1)),
            records.blob("ns2", digest_of(2)),
            records.ingest("ns1", "ingest-1"),
            records.ingest("ns2", "ingest-2"),
            records.snapshot("ns1", "overlay", "sn1"),
            records.snapshot("ns1", "overlay", "sn2"),
            records.snapshot("ns1", "overlay", "sn3"),
            records.snapshot("ns1", "overlay", "sn4"),
            records.snapshot("ns2", "overlay", "sn1"),
            records.lease("ns1", "l1"),
            records.lease("ns2", "l2"),
        }
        records.container("ns1", "container1", "overlay", "sn4")
        records.sandbox("ns1", "sandbox1")
        graph = read(update.transaction)
    swept = list(graph.swept())
    assert len(swept) == 16
    assert set(swept) == every
    types = [node.type for node in swept if node.namespace == "ns1"]
    order = ["lease", *["snapshot"] * 4, "ingest", *["content"] * 3, *["image"] * 2]
    assert types == order

    with bare.update() as update:
        missing = Node("content", "ns9", digest_of(1))
        sweep = Sweep(bare.namespaces.transactor, update, {})
        sweep.remove([*swept[::2], missing])
        sweep.finish()
    with bare.view() as transaction:
        assert set(read(transaction).swept()) == set(swept[1::2])


def test_collectible_resources(bare: Database, clock: SettableClock) -> None:
    soon, past = (format_rfc3339(clock.now() + sign * HOUR) for sign in (1, -1))
    image2, container1 = Node("image", "ns1", "image2"), Node("container", "ns1", "container1")
    things = Things(
        [thing(f"test{number}") for number in range(1, 6)],
        active=[thing("test1")],
        leased={"lease1": [thing("test3")], "lease2": [thing("test4")]},
        back=[(image2, thing("test5")), (container1, thing("test5"))],
    )
    with bare.update() as update:
        records = Records(update.transaction, clock.now())
        records.blob("ns1", digest_of(1))
        records.image("ns1", "image1", digest_of(1))
        records.blob("ns1", digest_of(2), {f"{GC}ref.test": "test2"})
        records.image("ns1", "image2", digest_of(2))
        records.lease("ns1", "lease1", labels={f"{GC}expire": soon})
        records.lease("ns1", "lease2", labels={f"{GC}expire": past})
        records.container("ns1", "container1", "testsn", "sn1")
        graph = read(update.transaction, RuleBook([("thing", "test")]))
        graph.add_sessions(sessions(things), ["ns1"])

    assert roots_of(graph, clock.now()) == {
        container1,
        Node("image", "ns1", "image1"),
        image2,
        Node("lease", "ns1", "lease1"),
        thing("test1"),
    }
    expected = {
        content("ns1", 1): [],
        content("ns1", 2): [thing("test2")],
        image2: [thing("test5"), content("ns1", 2)],
        container1: [thing("test5"), snapshot_node("ns1", "testsn", "sn1")],
        Node("lease", "ns1", "lease1"): [thing("test3")],
        Node("lease", "ns1", "lease2"): [],
    }
    for node, targets in expected.items():
        assert targets_of(graph, node, clock.now()) == targets
    assert set(graph.swept()) >= set(things.all())

    bare.gc.register(things)
    statistics = bare.gc.run()
    assert statistics.removed == {"lease": 1, "thing": 1}
    assert things.every == [thing(name) for name in ("test1", "test2", "test3", "test5")]
    assert things.ended == ["finish"]


def test_collection_with_references(bare: Database, clock: SettableClock) -> None:
    mine = thing("mine")
    with bare.update() as update:
        records = Records(update.transaction, clock.now())
        blob = records.blob("ns1", digest_of(1))
        referrer = records.blob("ns1", digest_of(2), {f"{GC}ref.content": digest_of(1)})
        graph = read(update.transaction)
        silent = read(update.transaction)
    graph.add_sessions(sessions(Things([mine], forward={mine: [blob]})), ["ns1"])
    silent.add_sessions(sessions(Things([mine])), ["ns1"])

    assert targets_of(graph, mine, clock.now()) == [blob]
    assert targets_of(graph, referrer, clock.now()) == [blob]
    assert targets_of(silent, mine, clock.now()) == []
    assert targets_of(silent, thing("unknown"), clock.now()) == []
