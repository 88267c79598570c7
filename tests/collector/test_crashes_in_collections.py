"""A process that dies at any write of a collection: the next one brings it to the same end."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest

import orlop
from collector.making import (
    blobs_on_disk,
    ingests_on_disk,
    make_blob,
    make_image,
    make_snapshot,
    snapshots_on_disk,
)
from collector.settable import START, SettableClock
from collector.worlds import GC
from orlop import LeaseResource
from orlop.bolt.tools.dump import dump
from orlop.errors import NotFoundError
from orlop.gc.node import Node
from orlop.schema.codec.timestamps import format_rfc3339
from safety.trusting import trust_copy
from storage.killing import steps
from stores.consistency import check_data, check_nothing_unnamed, check_records

if TYPE_CHECKING:
    from pathlib import Path

    from orlop import Database, Namespace

LATER = START.add(hours=48)
"""By then leases and ingests have expired."""

CHAIN_LENGTH = 2
PIECES = 2
BATCH_RECORDS = 64
"""A collection removes at most so many records in one transaction."""


def begin(database: Database) -> None:
    """Create garbage, and beside it the same records with a root."""
    for name in ("first", "second"):
        namespace = database.namespace(name)
        _make_chain(namespace, "stays")
        _make_chain(namespace, "goes")
        _make_cycle(namespace)
        _make_leased(namespace)
    with database.update():
        expiry = format_rfc3339(START.add(hours=1))
        for number in range(PIECES * BATCH_RECORDS):
            database.namespace("first").leases.create(
                f"expires-{number}", labels={f"{GC}expire": expiry}
            )
    with database.namespace("first").content.writer("unfinished") as writer:
        writer.write(b"half of it")
    database.content_backend.writer("nobody's").close()
    for name in ("first", "second"):
        database.namespace(name).images.delete("goes")


def _make_chain(namespace: Namespace, name: str) -> None:
    """Make an image of several layers with snapshots under it."""
    with namespace.using_lease(namespace.leases.create(f"of {name}").id):
        parent, labels = "", {}
        for number in range(CHAIN_LENGTH):
            parent = make_snapshot(namespace, f"{name}-{number}", parent)
            blob = make_blob(namespace, f"{name} {number} of {namespace.name}".encode())
            labels[f"{GC}ref.content.{number}"] = blob
        labels[f"{GC}ref.snapshot.native"] = parent
        manifest = make_blob(namespace, f"{name} of {namespace.name}".encode(), labels)
        make_image(namespace, name, manifest)
    namespace.leases.delete(f"of {name}")


def _make_cycle(namespace: Namespace) -> None:
    one = make_blob(namespace, b"one of a cycle")
    two = make_blob(namespace, b"two of a cycle", {f"{GC}ref.content": one})
    info = namespace.content.info(one)
    namespace.content.update(replace(info, labels={f"{GC}ref.content": two}), ["labels"])


def _make_leased(namespace: Namespace) -> None:
    """Create a lease that expires, and its resources."""
    expiry = format_rfc3339(START.add(hours=1))
    namespace.leases.create("expires", labels={f"{GC}expire": expiry})
    blob = make_blob(namespace, f"leased in {namespace.name}".encode())
    namespace.leases.add_resource("expires", LeaseResource(id=blob, type="content"))


def collect_twice(database: Database) -> None:
    """Collect, make more garbage, and collect again with the graph kept in memory."""
    database.gc.run()
    with contextlib.suppress(NotFoundError):
        database.namespace("second").images.delete("stays")
    database.gc.run()


class End(NamedTuple):
    """All that is left."""

    records: str
    blobs: dict[str, int]
    ingests: set[str]
    snapshots: set[str]


def end(database: Database) -> End:
    check_records(database)
    check_data(database)
    check_nothing_unnamed(database)
    with database.view() as transaction:
        records = "".join(dump(transaction))
    return End(
        records,
        blobs_on_disk(database),
        ingests_on_disk(database),
        snapshots_on_disk(database),
    )


def open_later(root: Path) -> Database:
    return orlop.open(root, clock=SettableClock(LATER), sync=False)


@pytest.mark.slow
def test_after_a_crash_at_any_write_the_next_collection_ends_the_same(
    tmp_path: Path,
) -> None:
    begun, root, after = tmp_path / "begun", tmp_path / "root", tmp_path / "after"
    with orlop.open(begun, clock=SettableClock(START), sync=False) as database:
        begin(database)
        before = set(database.gc.mark().graph.swept())
        before.remove(Node("image", "second", "stays"))  # which no collection removes
    shutil.copytree(begun, after)
    trust_copy(after)
    with open_later(after) as database:
        collect_twice(database)
        expected = end(database)
    assert expected.ingests == set()
    assert len(expected.snapshots) == CHAIN_LENGTH  # the snapshots of one image
    shutil.copytree(begun, root)
    trust_copy(root)

    def scenario() -> None:
        with open_later(root) as database:
            collect_twice(database)

    deaths = 0
    for step in steps(scenario):
        deaths += 1
        with open_later(root) as database:
            check_records(database)
            check_data(database)
            collect_twice(database)
            assert end(database) == expected, f"after the death before call {step}"
            assert database.gc.journal is not None
            gone = before.difference(database.gc.mark().graph.swept())
            assert gone
            assert [node for node in gone if database.gc.journal.last(node) is None] == []
        _copy(begun, root)
    assert deaths > 50


@pytest.mark.slow
def test_a_collection_that_is_killed_again_and_again_comes_to_its_end(tmp_path: Path) -> None:
    begun, root = tmp_path / "begun", tmp_path / "root"
    with orlop.open(begun, clock=SettableClock(START), sync=False) as database:
        begin(database)
    _copy(begun, root)
    with open_later(root) as database:
        collect_twice(database)
        expected = end(database)
    _copy(begun, root)

    def scenario() -> None:
        with open_later(root) as database:
            collect_twice(database)

    for _ in steps(scenario):
        pass  # the next process goes on where the last one died
    with open_later(root) as database:
        assert end(database) == expected


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
    trust_copy(target)
