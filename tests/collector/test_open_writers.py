"""An open writer of this process keeps its ingest, even past its expiry."""

from __future__ import annotations

import gc
import os
import random
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

import orlop
from collector.jumping import JumpingClock, clock, database, ns
from collector.making import blobs_on_disk, ingests_on_disk, make_blob
from orlop import digests
from orlop.errors import FailedPreconditionError, NotFoundError
from orlop.gc.node import INGEST, Node
from storage.killing import KILLED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop import Database, Namespace
    from orlop.stores.content_writer import ContentWriter

__all__ = ["clock", "database", "ns"]

DATA = b"a long upload"
DIGEST = digests.from_bytes(DATA)
INGEST_NODE = Node(INGEST, "default", "upload")


def is_kept(database: Database) -> bool:
    """Whether collections keep the ingest, and plans and explanations say so."""
    plan = database.gc.plan()
    assert not database.gc.run(verify=True).failures
    assert not database.gc.run().failures
    try:
        database.namespace("default").content.status("upload")
    except NotFoundError:
        assert INGEST_NODE in {one.node for one in plan.nodes}
        assert not ingests_on_disk(database)
        return False
    assert plan.nodes == ()
    assert database.gc.held_by(INGEST_NODE)
    return True


PASSING = pytest.mark.parametrize(
    "hours_pass",
    [
        lambda clock: clock.advance(hours=25),
        lambda clock: clock.jump(hours=25),
        lambda clock: clock.jump(hours=24 * 365 * 30),
        lambda clock: (clock.jump(hours=-3), clock.advance(hours=100)),
    ],
    ids=["really", "jump", "far jump", "both ways"],
)


@PASSING
@pytest.mark.parametrize("is_known_before", [True, False])
def test_an_upload_that_lasts_long_is_committed(
    database: Database,
    ns: Namespace,
    clock: JumpingClock,
    hours_pass: Callable[[JumpingClock], None],
    *,
    is_known_before: bool,
) -> None:
    writer = ns.content.writer("upload", expected=DIGEST)
    writer.write(DATA[:5])
    if is_known_before:
        database.gc.run()
    for _ in range(3):
        hours_pass(clock)
        assert is_kept(database)
    writer.write(DATA[5:])
    writer.commit()
    with ns.content.open(DIGEST) as blob:
        assert blob.read() == DATA
    assert INGEST_NODE not in database.gc.mark().graph


@PASSING
def test_what_a_writer_stands_for_stays(
    database: Database,
    ns: Namespace,
    clock: JumpingClock,
    hours_pass: Callable[[JumpingClock], None],
) -> None:
    other = database.namespace("other")
    make_blob(other, DATA, {"containerd.io/gc.root": "1"})
    writer = ns.content.writer("upload", expected=DIGEST)
    assert writer.status().offset == len(DATA)
    other.content.delete(DIGEST)
    hours_pass(clock)
    database.gc.run()
    database.gc.run()
    assert blobs_on_disk(database)
    writer.commit(labels={"containerd.io/gc.root": "1"})
    database.gc.run()
    with ns.content.open(DIGEST) as blob:
        assert blob.read() == DATA


def close(writer: ContentWriter) -> None:
    writer.close()


def fail_to_commit(writer: ContentWriter) -> None:
    with pytest.raises(FailedPreconditionError):
        writer.commit(size=99)


def fail_in_backend(writer: ContentWriter) -> None:
    with pytest.raises(FailedPreconditionError):
        writer.commit_as_given(expected=digests.from_bytes(b"something else"))


@pytest.mark.parametrize("end", [close, fail_to_commit, fail_in_backend])
def test_what_is_closed_expires(
    database: Database,
    ns: Namespace,
    clock: JumpingClock,
    end: Callable[[ContentWriter], None],
) -> None:
    writer = ns.content.writer("upload")
    writer.write(DATA)
    clock.advance(hours=23)
    assert is_kept(database)
    end(writer)
    assert is_kept(database)
    clock.advance(hours=2)
    assert not is_kept(database)


def test_what_was_open_when_it_expired_goes_after_it_is_closed(
    database: Database, ns: Namespace, clock: JumpingClock
) -> None:
    writer = ns.content.writer("upload")
    writer.write(DATA)
    clock.advance(hours=30)
    assert is_kept(database)
    writer.close()
    assert not is_kept(database)


def test_a_writer_that_is_gone_holds_nothing(
    database: Database, ns: Namespace, clock: JumpingClock
) -> None:
    writer = ns.content.writer("upload")
    writer.write(DATA)
    clock.advance(hours=30)
    assert is_kept(database)
    del writer
    gc.collect()
    assert not is_kept(database)


def test_a_process_that_died_holds_nothing(tmp_path: Path, clock: JumpingClock) -> None:
    if (child := os.fork()) == 0:
        database = orlop.open(tmp_path / "root", clock=clock, sync=False)
        writer = database.namespace("default").content.writer("upload")
        writer.write(DATA)
        os._exit(KILLED)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED
    with orlop.open(tmp_path / "root", clock=clock, sync=False) as database:
        assert is_kept(database)
        clock.advance(hours=25)
        assert not is_kept(database)


def test_a_lease_that_expires_does_not_take_the_ingest_of_an_open_writer(
    database: Database, ns: Namespace, clock: JumpingClock
) -> None:
    ns.leases.create("mine", expires=timedelta(hours=1))
    with ns.using_lease("mine"):
        writer = ns.content.writer("upload")
    writer.write(DATA)
    clock.advance(hours=2)
    database.gc.run()
    assert ns.leases.list() == []
    assert is_kept(database)
    writer.commit(labels={"containerd.io/gc.root": "1"})
    database.gc.run()
    assert ns.content.info(DIGEST).size == len(DATA)


def test_an_aborted_ingest_is_gone_although_its_writer_is_open(
    database: Database, ns: Namespace
) -> None:
    writer = ns.content.writer("upload")
    writer.write(DATA)
    ns.content.abort("upload")
    assert not database.gc.run().failures
    assert not ingests_on_disk(database)
    writer.close()


@pytest.mark.parametrize("seed", range(20))
def test_writers_come_and_go_beside_jumps(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    clock = JumpingClock()
    with orlop.open(tmp_path / "root", clock=clock, sync=False) as database:
        ns = database.namespace("default")
        ns.leases.create("short", expires=timedelta(hours=1))
        writers: dict[str, ContentWriter] = {}
        for number in range(30):
            match draw.randrange(5):
                case 0:
                    ref = f"w{number}"
                    writers[ref] = ns.content.writer(ref)
                    writers[ref].write(ref.encode())
                case 1 if writers:
                    writers.pop(draw.choice(sorted(writers))).close()
                case 2 if writers:
                    ref = draw.choice(sorted(writers))
                    writers.pop(ref).commit(expected=digests.from_bytes(ref.encode()))
                case 3:
                    clock.advance(hours=draw.choice((1, 25, 1000)))
                case _:
                    clock.jump(hours=draw.choice((26, 1000, -1000)))
            database.gc.run(verify=draw.random() < 0.3)
            assert writers.keys() <= {one.ref for one in ns.content.statuses()}
        for writer in writers.values():
            writer.close()
        clock.advance(hours=3000)
        database.gc.run()
        assert ns.content.statuses() == []
