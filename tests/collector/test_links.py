"""Links: references and referrers, whether each is in force, and broken paths to garbage."""

from __future__ import annotations

import itertools
import shutil
from typing import TYPE_CHECKING

from hypothesis import given, settings

from collector.edits import delete_label, record_at
from collector.making import make_blob
from collector.records import Records, digest_of
from collector.settable import SettableClock
from collector.test_paths import written
from collector.things import Things, thing
from collector.worlds import Record, worlds
from orlop import Database
from orlop.gc import Node, Step
from orlop.gc.explain.links import Link, Standing, dangling, links
from orlop.gc.explain.reasons import broken_paths
from orlop.schema.codec.encoding import encode_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from whenever import Instant

    from orlop.gc.marked import Marked
    from orlop.kv import Transaction

GC = "containerd.io/gc."
PAST = "2001-01-01T00:00:00Z"


@settings(max_examples=150, deadline=None)
@given(world=worlds)
def test_what_is_held_is_a_root_or_has_a_link_that_holds_it(world: list[Record]) -> None:
    clock = SettableClock()
    with written(world, clock) as file, Database.open_file(file, clock=clock) as database:
        marked = database.gc.mark()
    found = list(links(marked))
    assert len(set(found)) == len(found)
    holding = {one.target for one in found if one.standing is Standing.HOLDS}
    for node in marked.graph:
        assert marked.holds(node) == (node in marked.roots or node in holding)
    for link in found:
        if link.standing is Standing.HOLDS:
            assert marked.holds(link.source)
        if link.standing in {Standing.UNREACHABLE, Standing.EXPIRED}:
            assert not marked.holds(link.source)
    missing = {(one.source, one.edge, one.target) for one in dangling(marked)}
    assert missing == {
        (one.source, one.edge, one.target)
        for one in found
        if one.source not in marked.graph or one.target not in marked.graph
    }


@settings(max_examples=40, deadline=None)
@given(world=worlds)
def test_what_has_expired_would_hold_what_it_is_said_to(world: list[Record]) -> None:
    clock = SettableClock()
    with written(world, clock) as file:
        with Database.open_file(file, clock=clock) as database:
            plan = database.gc.plan()
        for removal in plan.nodes:
            assert removal.reason
            for broken in broken_paths(plan.marked, removal.node):
                _check_chain(plan.marked, broken.path, removal.node)
                if " expired at " not in broken.reason:
                    continue
                copy = file.with_name("copy.db")
                shutil.copy(file, copy)
                with Database.open_file(copy, clock=clock, sync=False) as database:
                    with database.update() as update:
                        _mend(update.transaction, broken.path[0].node, clock.now())
                    assert removal.node not in {one.node for one in database.gc.plan().nodes}


def _check_chain(marked: Marked, path: tuple[Step, ...], node: Node) -> None:
    found = {one[:3] for one in links(marked)}
    assert path[-1].node == node
    for before, after in itertools.pairwise(path):
        assert (before.node, after.edge, after.node) in found


def _mend(transaction: Transaction, node: Node, now: Instant) -> None:
    if node.type == "ingest":
        record_at(transaction, node).put(b"expireat", encode_time(now.add(hours=1)))
    else:
        delete_label(transaction, node, f"{GC}expire")


def test_each_standing(bare: Database, clock: SettableClock) -> None:
    one, two, three, four = (Node("content", "ns", digest_of(number)) for number in range(1, 5))
    used = Node("snapshot", "ns", "native/used")
    image, none = Node("image", "ns", "image"), Node("image", "ns", "none")
    with bare.update() as update:
        records = Records(update.transaction, clock.now())
        records.blob("ns", one.key, {f"{GC}ref.content": two.key})
        records.blob("ns", two.key)
        records.blob("ns", three.key, {f"{GC}ref.content": four.key})
        records.blob("ns", four.key, {f"{GC}bref.image": "none"})
        records.lease("ns", "flat", ("content", one.key), labels={f"{GC}flat": "x"})
        records.lease("ns", "old", ("content", two.key), labels={f"{GC}expire": PAST})
        records.snapshot("ns", "native", "used", labels={f"{GC}cond.value-usedat": PAST})
        records.image("ns", "image", one.key, {f"{GC}cond.snapshot.native": "usedat<1h|used"})
    marked = bare.gc.mark()
    lease, old = Node("lease", "ns", "flat"), Node("lease", "ns", "old")
    assert set(links(marked)) == {
        Link(lease, "content", one, Standing.HOLDS, is_flat=True),
        Link(old, "content", two, Standing.EXPIRED),
        Link(one, f"{GC}ref.content", two, Standing.HOLDS),  # the image holds it whole
        Link(three, f"{GC}ref.content", four, Standing.UNREACHABLE),
        Link(none, f"{GC}bref.image", four, Standing.UNREACHABLE, is_back=True),
        Link(image, "target", one, Standing.HOLDS),
        Link(image, f"{GC}cond.snapshot.native", used, Standing.UNMET),
    }
    assert broken_paths(marked, used) == (
        (
            (Step(image, ""), Step(used, f"{GC}cond.snapshot.native")),
            f"its condition does not hold ({GC}cond.snapshot.native)",
        ),
    )
    assert broken_paths(marked, four) == (
        (
            (Step(three, ""), Step(four, f"{GC}ref.content")),
            "nothing refers to it",
        ),
        (
            (Step(none, ""), Step(four, f"{GC}bref.image")),
            "it does not exist",
        ),
    )
    clock.advance(hours=1)
    plan = bare.gc.plan(without=[image])
    assert broken_paths(plan.marked, two) == (
        ((Step(one, ""), Step(two, f"{GC}ref.content")), _FLAT),
        ((Step(old, ""), Step(two, "content")), f"it expired at {PAST}"),
    )


_FLAT = "it is itself held flat, without what it refers to"


def test_a_cycle_would_be_held_by_nothing_else(bare: Database, clock: SettableClock) -> None:
    first, second = digest_of(1), digest_of(2)
    with bare.update() as update:
        records = Records(update.transaction, clock.now())
        records.blob("ns", first, {f"{GC}ref.content": second})
        records.blob("ns", second, {f"{GC}ref.content": first})
    plan = bare.gc.plan()
    assert broken_paths(plan.marked, Node("content", "ns", first)) == ()
    assert plan.nodes[0].reason == f"only what goes too refers to it: content {second}"


def test_a_flat_lease_that_expired_would_not_hold_what_labels_refer_to(
    bare: Database, clock: SettableClock
) -> None:
    with bare.update() as update:
        records = Records(update.transaction, clock.now())
        records.blob("ns", digest_of(1), {f"{GC}ref.content": digest_of(2)})
        records.blob("ns", digest_of(2))
        held = {f"{GC}expire": PAST, f"{GC}flat": "x"}
        records.lease("ns", "old", ("content", digest_of(1)), labels=held)
    marked = bare.gc.mark()
    assert len(broken_paths(marked, Node("content", "ns", digest_of(1)))) == 1
    assert broken_paths(marked, Node("content", "ns", digest_of(2))) == ()


def test_links_of_other_resources_are_told(database: Database) -> None:
    used, other = thing("used", "default"), thing("other", "default")
    ns = database.namespace("default")
    digest = make_blob(ns, b"blob")
    blob, lease = Node("content", "default", digest), Node("lease", "default", "lease")
    ns.leases.create("lease")
    database.gc.register(
        Things(
            [used, other], leased={"lease": [used]}, back=[(used, other)], forward={used: [blob]}
        )
    )
    assert list(links(database.gc.mark())) == [
        Link(lease, "thing", used, Standing.HOLDS),
        Link(used, "thing", blob, Standing.HOLDS),
        Link(used, "thing", other, Standing.HOLDS),
    ]


def test_questions_take_no_lock(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    make_blob(database.namespace("default"), b"blob")

    def refuse(*_: object) -> Iterator[None]:
        raise AssertionError("a question has waited for the gate")

    for name in ("shared", "exclusive"):
        monkeypatch.setattr(database.gate, name, refuse)
    database.gc.mark()
    database.gc.plan(without=[])
