"""Context-local transactions: joining, refusing, dooming, and events after the commit."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop import transactions
from orlop.errors import (
    AbortedError,
    AlreadyExistsError,
    FailedPreconditionError,
    InternalError,
    NotFoundError,
    OrlopError,
    UnavailableError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from orlop import Namespace
    from orlop.changes import Changes
    from orlop.database import Database
    from orlop.events import Event


def lease_ids(ns: Namespace) -> list[str]:
    return [one.id for one in ns.leases.list()]


def fail() -> None:
    raise ZeroDivisionError


def test_several_calls_are_one_commit(db: Database, ns: Namespace) -> None:
    versions = []
    with db.update() as update:
        versions.append(update.transaction.id)
        ns.leases.create("a")
        with db.update() as inner:
            versions.append(inner.transaction.id)
            ns.leases.create("b")
        with db.view() as transaction:
            versions.append(transaction.id)
        assert lease_ids(ns) == ["a", "b"], "it sees its own changes"
    assert len(set(versions)) == 1
    with db.view() as transaction:
        assert transaction.id == versions[0]


def test_an_exception_rolls_back_all_of_it(db: Database, ns: Namespace) -> None:
    with suppress(ZeroDivisionError), db.update():
        ns.leases.create("a")
        fail()
    assert lease_ids(ns) == []
    ns.leases.create("b")


def test_a_typed_error_may_be_caught_and_the_rest_commits(db: Database, ns: Namespace) -> None:
    with db.update():
        ns.leases.create("a")
        with pytest.raises(AlreadyExistsError):
            ns.leases.create("a")
        with pytest.raises(NotFoundError):
            ns.images.delete("unknown")
        ns.leases.create("b")
    assert lease_ids(ns) == ["a", "b"]


def test_any_other_exception_in_an_inner_block_dooms(db: Database, ns: Namespace) -> None:
    def swallow_it() -> None:
        with db.update():
            ns.leases.create("a")
            with suppress(ZeroDivisionError), db.update():
                fail()

    with pytest.raises(AbortedError, match="ZeroDivisionError") as aborted:
        swallow_it()
    assert isinstance(aborted.value.__cause__, ZeroDivisionError)
    assert lease_ids(ns) == []


def test_an_error_of_the_engine_in_an_inner_block_dooms(db: Database, ns: Namespace) -> None:
    def swallow_it() -> None:
        with db.update():
            ns.leases.create("a")
            with suppress(InternalError), db.update() as update:
                update.transaction.root.create_bucket(b"v1")

    with pytest.raises(AbortedError, match="v1"):
        swallow_it()
    assert lease_ids(ns) == []


def test_views_nest_and_stay_where_they_are(db: Database, ns: Namespace) -> None:
    ns.leases.create("a")
    with db.view() as outer:
        thread = threading.Thread(target=lambda: contextvars.Context().run(ns.leases.create, "b"))
        thread.start()
        thread.join()
        with db.view() as inner:
            assert inner is outer
            assert lease_ids(ns) == ["a"]
    assert lease_ids(ns) == ["a", "b"]


def test_an_update_in_a_view_is_refused(db: Database, ns: Namespace) -> None:
    with db.view():
        with pytest.raises(FailedPreconditionError, match="inside a view"):
            ns.leases.create("a")
        with pytest.raises(FailedPreconditionError), db.update():
            pass
    with db.update(), db.view():
        ns.leases.create("b")
    assert lease_ids(ns) == ["b"]


def test_two_databases_do_not_mix(db: Database, tmp_path: Path) -> None:
    with orlop.open(tmp_path / "second") as second, db.view(), second.update():
        second.namespace("one").leases.create("a")
        assert lease_ids(db.namespace("one")) == []
        with second.view(), db.view():
            assert lease_ids(second.namespace("one")) == ["a"]


def test_another_thread_is_refused_the_transaction(db: Database, ns: Namespace) -> None:
    errors: list[OrlopError] = []

    def elsewhere() -> None:
        for call in (ns.leases.list, lambda: ns.leases.create("b")):
            try:
                call()
            except FailedPreconditionError as error:
                errors.append(error)

    with db.update():
        ns.leases.create("a")
        thread = threading.Thread(target=contextvars.copy_context().run, args=(elsewhere,))
        thread.start()
        thread.join()
    assert [("thread" in str(error)) for error in errors] == [True, True]
    assert lease_ids(ns) == ["a"]


def test_another_task_is_refused_the_transaction(db: Database, ns: Namespace) -> None:
    async def child() -> None:
        ns.leases.list()

    async def parent() -> None:
        with db.update():
            ns.leases.create("a")
            with pytest.raises(FailedPreconditionError, match="task"):
                await asyncio.create_task(child())
            ns.leases.create("b")

    asyncio.run(parent())
    assert lease_ids(ns) == ["a", "b"]


def test_a_task_that_outlives_the_block_has_no_transaction(db: Database, ns: Namespace) -> None:
    async def parent() -> list[str]:
        ended = asyncio.Event()

        async def child() -> list[str]:
            await ended.wait()
            return lease_ids(ns)

        with db.update():
            ns.leases.create("a")
            task = asyncio.create_task(child())
        ended.set()
        return await task

    assert asyncio.run(parent()) == ["a"]


def test_a_forked_process_is_refused_the_transaction(db: Database, ns: Namespace) -> None:
    with db.update():
        ns.leases.create("a")
        child = os.fork()
        if child == 0:
            refused = 1
            try:
                ns.leases.list()
            except FailedPreconditionError:
                refused = 0
            finally:
                os._exit(refused)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert lease_ids(ns) == ["a"]


def test_a_forked_process_does_not_commit(db: Database, ns: Namespace) -> None:
    child = None
    status = 1
    try:
        with db.update():
            ns.leases.create("a")
            child = os.fork()
            if child:
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except FailedPreconditionError:
        if child == 0:
            os._exit(0)
        raise
    finally:
        if child == 0:
            os._exit(2)
    assert status == 0
    assert lease_ids(ns) == ["a"]


def test_events_come_after_the_outermost_commit(
    db: Database, ns: Namespace, events: list[Event]
) -> None:
    with db.update():
        with ns.content.writer("ref") as writer:
            writer.write(b"data")
            writer.commit()
        assert events == []
    assert [one.topic for one in events] == ["/content/create"]
    with suppress(ZeroDivisionError), db.update():
        ns.content.delete(writer.digest())
        fail()
    assert len(events) == 1


def test_followers_hear_of_each_outermost_update(db: Database, ns: Namespace) -> None:
    told: list[Changes] = []
    end = db.follow(told.append)
    with db.update():
        ns.leases.create("a")
        ns.leases.create("b")
        ns.leases.delete("a")
    with suppress(ZeroDivisionError), db.update():
        fail()
    end()
    end()
    ns.leases.create("c")

    assert [(one.committed, one.deletions) for one in told] == [(True, 1)]


def test_a_follower_may_use_the_database(db: Database, ns: Namespace) -> None:
    def react(event: Event) -> None:
        if event.topic == "/content/create":
            ns.leases.create("reaction")
        with db.gate.exclusive(timeout=5):
            claimed.append(len(db.content_claims))

    claimed: list[int] = []

    db.subscribe(react)
    with ns.content.writer("ref") as writer:
        writer.commit()
    assert lease_ids(ns) == ["reaction"]
    assert claimed[-1] == 0


def test_all_are_told_even_if_one_raises(db: Database, ns: Namespace, events: list[Event]) -> None:
    def refuse(_: Changes) -> None:
        fail()

    with ns.content.writer("ref") as writer:
        end = db.follow(refuse)
        with pytest.raises(ZeroDivisionError):
            writer.commit()
        end()
    assert [one.topic for one in events] == ["/content/create"]
    assert ns.content.info(writer.digest()).size == 0, "what is told has happened"


def test_an_update_waits_for_the_gate(tmp_path: Path) -> None:
    with orlop.open(tmp_path, timeout=0.05) as db, ExitStack() as sweeping:
        entered, leave = threading.Event(), threading.Event()

        def sweep() -> None:
            with db.gate.exclusive():
                entered.set()
                leave.wait(10)

        thread = threading.Thread(target=sweep)
        thread.start()
        sweeping.callback(thread.join)
        sweeping.callback(leave.set)
        assert entered.wait(10)
        with pytest.raises(UnavailableError, match="lock between updates"):
            db.namespace("one").leases.create("a")
        assert db.namespace("one").leases.list() == [], "a view does not wait"


def test_an_interrupt_before_the_block_leaves_the_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> tuple[int, int, int | None]:
        raise KeyboardInterrupt

    with orlop.open(tmp_path, timeout=1) as db:
        with monkeypatch.context() as patched:
            patched.setattr(transactions, "execution_context", interrupted)
            with pytest.raises(KeyboardInterrupt), db.update():
                pass
        db.namespace("ns").leases.create("a")
        assert lease_ids(db.namespace("ns")) == ["a"]


def test_claims_are_kept_until_the_outermost_update_ends(db: Database, ns: Namespace) -> None:
    with db.update():
        with ns.content.writer("ref"):
            pass
        with db.content_claims.take(["testing/1/ref"]) as taken:
            assert not taken
    with db.content_claims.take(["testing/1/ref"]) as taken:
        assert taken


def test_claims_are_given_up_by_a_rollback(db: Database, ns: Namespace) -> None:
    with suppress(ZeroDivisionError), db.update():
        ns.snapshots("native").prepare("key")
        assert len(db.snapshot_claims("native")) == 1
        fail()
    assert len(db.snapshot_claims("native")) == 0


def test_a_closed_database_is_refused(db: Database, ns: Namespace) -> None:
    db.close()
    db.close()
    with pytest.raises(FailedPreconditionError):
        ns.leases.list()
    with pytest.raises(FailedPreconditionError):
        ns.leases.create("a")
