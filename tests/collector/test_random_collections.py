from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from whenever import TimeDelta

from collector.settable import SettableClock
from collector.worlds import Record, survivors, worlds, write_world
from orlop import Database
from orlop.schema import namespaces, snapshots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.kv import Transaction


def held(database: Database) -> set[tuple[str, str, str]]:
    marked = database.gc.plan().marked
    return {(node.type, node.namespace, node.key) for node in marked.graph.swept()}


@settings(max_examples=120, deadline=None)
@given(world=worlds, hours_later=st.integers(0, 3))
def test_what_a_naive_reading_of_the_rules_holds_stays(
    world: list[Record], hours_later: int
) -> None:
    clock = SettableClock()
    with (
        tempfile.TemporaryDirectory() as folder,
        Database.open_file(Path(folder, "meta.db"), clock=clock) as database,
    ):
        write_world(database, world, clock.now())
        later = clock.now() + TimeDelta(hours=hours_later)
        planned = database.gc.plan(now=later)
        clock.advance(hours=hours_later)
        expected = survivors(world, hours_later)
        assert planned.kept == len(expected)

        database.gc.run()
        assert held(database) == expected
        # Nothing that was kept has become garbage by it.
        assert database.gc.run().removed == {}


@settings(max_examples=60, deadline=None)
@given(world=worlds)
def test_no_child_link_is_left_to_what_is_gone(world: list[Record]) -> None:
    clock = SettableClock()
    with (
        tempfile.TemporaryDirectory() as folder,
        Database.open_file(Path(folder, "meta.db"), clock=clock) as database,
    ):
        write_world(database, world, clock.now())
        database.gc.run()
        with database.view() as transaction:
            assert list(_dangling(transaction)) == []


def _dangling(transaction: Transaction) -> Iterator[tuple[str, str]]:
    for namespace in namespaces.all_names(transaction):
        for snapshotter in snapshots.snapshotters(transaction, namespace):
            bucket = snapshots.find(transaction, namespace, snapshotter)
            for key in snapshots.all_names(bucket):
                for child in snapshots.children(bucket, key):
                    if not snapshots.exists(bucket, child):
                        yield key, child
