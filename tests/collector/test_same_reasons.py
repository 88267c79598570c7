"""A plan, the journal and `why` give the same reason for the same record."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orlop
from collector import worlds as naive
from collector.interleaving import remove_record
from collector.records import Records, digest_of
from collector.settable import SettableClock
from collector.things import Things
from collector.things import thing as resource
from orlop.explain.questions import why
from orlop.gc import Node
from orlop.gc.journal import REMOVED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.worlds import Record, Thing

GC = "containerd.io/gc."
PAST = "2001-01-01T00:00:00Z"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[orlop.Database]:
    with orlop.open(tmp_path / "root", clock=SettableClock(), sync=False) as database:
        yield database


def planned(database: orlop.Database) -> dict[Node, str]:
    """Return the records that a plan removes, with the reasons that it gives."""
    return {one.node: one.reason for one in database.gc.plan().nodes if one.type != "orphan"}


def collected(database: orlop.Database) -> dict[Node, str]:
    """Collect, and return the records that are gone, with the reasons of the journal."""
    journal = database.gc.journal
    assert journal is not None
    before = len(list(journal.entries()))
    database.gc.run(verify=True)
    return {
        Node(one.type, one.namespace, one.key): one.reason
        for one in list(journal.entries())[before:]
        if one.event == REMOVED
    }


def write(database: orlop.Database, changes: list[Record | Thing]) -> None:
    """Write records in the place of those of their names, or remove them."""
    for change in changes:
        with database.update() as update:
            remove_record(
                update.transaction, *(change if isinstance(change, tuple) else change.thing)
            )
            if not isinstance(change, tuple):
                change.write(Records(update.transaction, database.clock.now()))


changes = st.lists(
    st.one_of(naive.records, naive.records, naive.records.map(lambda one: one.thing)), max_size=8
)


@settings(max_examples=100, deadline=None)
@given(world=naive.worlds, rounds=st.lists(changes, max_size=3), hours=st.integers(0, 3))
def test_plans_and_journals_give_the_same_reasons(
    world: list[Record], rounds: list[list[Record | Thing]], hours: int
) -> None:
    clock = SettableClock()
    with (
        tempfile.TemporaryDirectory() as folder,
        orlop.open(Path(folder, "root"), clock=clock, sync=False) as database,
    ):
        naive.write_world(database, world, clock.now())
        # The graph of later runs is that of the first, changed bit by bit; that of plans is new.
        for changed in ([], *rounds):
            write(database, changed)
            clock.advance(hours=hours)
            reasons = planned(database)
            assert {
                node: answer.reason
                for node in reasons
                for answer in why(database, f"{node.type}:{node.key}", namespace=node.namespace)
                if answer.node == node
            } == reasons
            assert collected(database) == reasons


def test_what_is_bound_to_nothing_is_said_to_be(database: orlop.Database) -> None:
    blob = Node("content", "ns", digest_of(1))
    with database.update() as update:
        Records(update.transaction, database.clock.now()).blob(
            "ns", blob.key, {f"{GC}bref.image": "gone"}
        )
    reasons = {blob: "nothing holds what it is bound to: image gone"}
    assert planned(database) == reasons
    assert collected(database) == reasons


def test_among_several_that_went_the_same_one_is_named(database: orlop.Database) -> None:
    # In the graph of the run, which saw `b` first, it has another place than in that of the plan.
    layer = Node("content", "ns", digest_of(1))
    database.gc.run()
    for name in "ba":
        with database.update() as update:
            records = Records(update.transaction, database.clock.now())
            records.image("ns", name, layer.key, {f"{GC}expire": PAST})
            records.blob("ns", layer.key)
            records.lease("ns", "held", ("images", name))
        database.gc.run()
    with database.update() as update:
        remove_record(update.transaction, "lease", "ns", "held")
    reasons = planned(database)
    assert reasons[layer] == "only what goes too refers to it: image a"
    assert collected(database) == reasons


def test_what_an_expired_lease_is_said_to_have_held_by_a_plug_in_is_told(
    database: orlop.Database,
) -> None:
    leased, free = resource("leased", "ns"), resource("free", "ns")
    with database.update() as update:
        Records(update.transaction, database.clock.now()).lease(
            "ns", "old", labels={f"{GC}expire": PAST}
        )
    database.gc.register(Things([leased, free], leased={"old": [leased]}))
    reasons = {
        Node("lease", "ns", "old"): f"it expired at {PAST}",
        leased: f'lease "old", which held it, expired at {PAST}',
        free: "nothing refers to it",
    }
    assert planned(database) == reasons
    assert collected(database) == reasons


def test_why_says_of_a_name_that_does_not_exist_who_refers_to_it(
    database: orlop.Database,
) -> None:
    missing, garbage = digest_of(1), digest_of(2)
    with database.update() as update:
        Records(update.transaction, database.clock.now()).blob(
            "ns", garbage, {f"{GC}ref.content": missing}
        )
    (answer,) = why(database, missing)
    assert answer.reason == f"only what goes too refers to it: content {garbage}"
