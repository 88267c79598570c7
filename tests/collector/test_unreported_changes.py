"""Unreported changes: the collector detects them before it deletes anything."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import mock

import pytest

from collector.interleaving import interleaved
from collector.making import blobs_on_disk, make_blob
from collector.records import Records, digest_of
from orlop.errors import FailedPreconditionError, UnavailableError
from orlop.gc.sweep import SweepBatches
from orlop.gc.tracker import GraphTracker

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop import Database

BLOB, OTHER = digest_of(1), digest_of(2)
PROOF = GraphTracker.require_all_seen


class InterruptError(Exception):
    """The exception that a signal handler raises."""


def change(database: Database, function: Callable[[Records], object]) -> None:
    with database.update() as update:
        function(Records(update.transaction, database.clock.now()))


def change_past(
    database: Database, function: Callable[[Records], object], *, later: bool = False
) -> None:
    """Change records through the engine, which no store knows of."""
    transaction = database.engine.begin(writable=True)
    function(Records(transaction, database.clock.now()))
    if later:
        transaction.commit_with_next()
    else:
        transaction.commit()


def write_image(records: Records) -> None:
    records.image("ns1", "image", BLOB)


def write_garbage(database: Database) -> None:
    """Write two unreachable blobs."""

    def blobs(records: Records) -> None:
        records.blob("ns1", BLOB)
        records.blob("ns1", OTHER)

    change(database, blobs)


def has_blob(database: Database, digest: str) -> bool:
    with database.view() as transaction:
        return transaction.bucket((b"v1", b"ns1", b"content", b"blob", digest.encode())) is not None


@pytest.mark.parametrize("later", [False, True], ids=["durable", "left to the next"])
@pytest.mark.parametrize("moment", ["before", "read", "marked", "between"])
@pytest.mark.parametrize("is_first", [True, False], ids=["first run", "graph was kept"])
def test_what_a_writer_past_the_stores_refers_to_stays(
    bare: Database, moment: str, *, is_first: bool, later: bool
) -> None:
    if not is_first:
        bare.gc.run()
    write_garbage(bare)
    written: list[str] = []

    def write() -> None:
        if not written:
            written.append("image")
            change_past(bare, write_image, later=later)

    if moment == "before":
        write()
        removed = bare.gc.run().removed
    else:
        with interleaved(moment, write):
            removed = bare.gc.run().removed
    assert (written, has_blob(bare, BLOB)) == (["image"], True)
    # It was touched by nobody since the run began that counts.
    assert removed == {"content": 1}
    assert bare.gc.run(verify=True).removed == {}


@pytest.mark.parametrize("later", [False, True], ids=["durable", "left to the next"])
def test_a_writer_past_the_gate_is_seen_in_the_turn_of_the_sweep(
    bare: Database, *, later: bool
) -> None:
    write_garbage(bare)
    catch_up = GraphTracker.catch_up
    written: list[str] = []

    def catch_up_and_write(self: GraphTracker) -> int:
        count = catch_up(self)
        if not written and bare.gate.is_exclusive:
            written.append("image")
            change_past(bare, write_image, later=later)
        return count

    with mock.patch.object(GraphTracker, "catch_up", catch_up_and_write):
        assert bare.gc.run().removed == {"content": 1}
    assert (written, has_blob(bare, BLOB)) == (["image"], True)


def test_what_was_durable_and_not_reported_is_seen(bare: Database) -> None:
    write_garbage(bare)
    change(bare, lambda records: records.image("ns1", "first", BLOB))
    assert bare.gc.run().removed == {"content": 1}

    with (
        mock.patch.object(bare._transactions, "_committed", side_effect=InterruptError),
        pytest.raises(InterruptError),
    ):
        change(bare, write_image)
    bare.namespace("ns1").images.delete("first")
    assert bare.gc.run().removed == {}
    assert has_blob(bare, BLOB)


def test_a_rollback_leaves_no_gap(bare: Database) -> None:
    write_garbage(bare)
    assert bare.gc.run().removed == {"content": 2}
    write_garbage(bare)

    def interrupted(records: Records) -> None:
        records.blob("ns1", digest_of(3))
        raise InterruptError

    with pytest.raises(InterruptError):
        change(bare, interrupted)
    with bare.update():
        pass
    with mock.patch.object(GraphTracker, "require_all_seen", autospec=True) as proof:
        proof.side_effect = PROOF
        assert bare.gc.run().removed == {"content": 2}
    assert proof.call_count == 2  # with the gate held, and in the writer's turn


def test_a_run_gives_up_where_others_write_past_the_stores_all_the_time(bare: Database) -> None:
    write_garbage(bare)
    run_batch = SweepBatches.run_batch
    turns: list[int] = []

    def write_and_run(self: SweepBatches, *arguments: object) -> None:
        turns.append(len(turns))
        change_past(bare, lambda records: records.image("ns1", f"{len(turns)}", OTHER))
        run_batch(self, *arguments)  # type: ignore[arg-type]  # passed on as they came

    with (
        mock.patch.object(SweepBatches, "run_batch", write_and_run),
        pytest.raises(UnavailableError, match="changed all the time"),
    ):
        bare.gc.run()
    assert has_blob(bare, BLOB)
    assert 1 < len(turns) < 10
    assert bare.gc.run().removed == {"content": 1}


def test_a_plan_is_checked_against_what_was_written_past_the_stores(bare: Database) -> None:
    bare.gc.run()
    write_garbage(bare)
    plan = bare.gc.plan()
    change_past(bare, write_image)
    with pytest.raises(FailedPreconditionError, match="is held now"):
        plan.apply()
    assert has_blob(bare, BLOB)
    assert has_blob(bare, OTHER)


def test_the_next_moment_is_that_of_what_was_written_past_the_stores(bare: Database) -> None:
    bare.gc.run()
    labels = {"containerd.io/gc.expire": "2100-01-01T00:00:00Z"}
    change_past(bare, lambda records: records.lease("ns1", "lease", labels=labels))
    nearest = bare.gc.nearest()
    assert nearest is not None
    assert nearest.to_tz("UTC").year == 2100


@pytest.mark.parametrize("later", [False, True], ids=["durable", "left to the next"])
def test_the_cleanup_sees_names_that_were_given_past_the_stores(
    database: Database, *, later: bool
) -> None:
    database.gc.run()
    digest = make_blob(database.namespace("ns1"), b"precious")
    size = blobs_on_disk(database)[digest]
    with database.update() as update:
        blobs = update.transaction.bucket((b"v1", b"ns1", b"content", b"blob"))
        assert blobs is not None
        blobs.delete_bucket(digest.encode())
        update.changes.content = True
    change_past(database, lambda records: records.blob("ns2", digest, size=size), later=later)
    change_past(database, lambda records: records.image("ns2", "live", digest), later=later)
    database.gc.run()
    assert digest in blobs_on_disk(database)
