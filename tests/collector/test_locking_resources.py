"""A kind of resource with a lock of its own, which it takes inside updates, too, blocks nothing.

A session has the lock from `begin` to its end, as the plug-ins of containerd do. So the order is:
first the update, then the lock.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from collector.making import make_blob, make_image
from collector.things import Things
from orlop.gc.node import Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop import Database
    from orlop.gc.resources import ResourceSession

PATIENCE_SECONDS = 10
EXPIRED = {"containerd.io/gc.expire": "2020-01-01T00:00:00Z"}


class LockedThings(Things):
    """Things with a lock.

    Attributes:
        lock: is held from the beginning to the end of a part in a collection.
        begun: called when it has begun.
        removing: called for each removal.
    """

    def __init__(self) -> None:
        super().__init__([Node("thing", "d", "active"), Node("thing", "d", "garbage")])
        self._active = [Node("thing", "d", "active")]
        self.lock = threading.Lock()
        self.begun: Callable[[], None] = lambda: None
        self.removing: Callable[[], None] = lambda: None

    def begin(self) -> ResourceSession:
        assert self.lock.acquire(timeout=PATIENCE_SECONDS)
        self.begun()
        return self

    def remove(self, node: Node) -> None:
        self.removing()
        super().remove(node)

    def cancel(self) -> None:
        self.lock.release()
        super().cancel()

    def finish(self) -> None:
        self.lock.release()
        super().finish()


@pytest.fixture
def things(database: Database) -> LockedThings:
    things = LockedThings()
    database.gc.register(things)
    return things


def use(database: Database, things: LockedThings) -> None:
    """Use the things in an update, as a plug-in does."""
    with database.update():
        lease = database.namespace("d").leases.create()
        assert things.lock.acquire(timeout=PATIENCE_SECONDS), "the collection waits for this update"
        things.lock.release()
        database.namespace("d").leases.delete(lease.id)


def start(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_an_update_that_waits_for_the_lock_does_not_stop_the_collection(
    database: Database, things: LockedThings
) -> None:
    make_blob(database.namespace("d"), b"garbage")
    failures: list[BaseException] = []
    threads: list[threading.Thread] = []

    def user() -> None:
        try:
            use(database, things)
        except BaseException as error:
            failures.append(error)
            raise

    def begin_updates() -> None:
        threads.extend(start(user) for _ in range(3))
        time.sleep(0.1)  # until they wait

    things.begun = begin_updates
    begun = time.monotonic()
    statistics = database.gc.run()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert failures == []
    assert time.monotonic() - begun < PATIENCE_SECONDS / 2
    assert statistics.failures == {}
    assert statistics.removed == {"content": 1, "thing": 1}


@pytest.mark.parametrize("has_garbage", [True, False])
def test_collections_and_updates_take_turns(
    database: Database, things: LockedThings, *, has_garbage: bool
) -> None:
    stop = threading.Event()
    updates = 0

    def work() -> None:
        nonlocal updates
        while not stop.is_set():
            use(database, things)
            updates += 1

    users = [start(work) for _ in range(2)]
    try:
        for number in range(20):
            if has_garbage:
                make_blob(database.namespace("d"), b"%d" % number)
            assert not database.gc.run().failures
            things.every = [Node("thing", "d", "active"), Node("thing", "d", "garbage")]
            database.gc.plan()
    finally:
        stop.set()
        for user in users:
            user.join(PATIENCE_SECONDS)
    assert updates > 0
    assert not any(user.is_alive() for user in users)


def test_a_failure_with_the_lock_held_stops_no_update(
    database: Database, things: LockedThings
) -> None:
    make_blob(database.namespace("d"), b"garbage")
    threads: list[threading.Thread] = []

    def fail() -> None:
        if not threads:
            threads.append(start(lambda: use(database, things)))
            time.sleep(0.1)
        raise ValueError("it is broken")

    things.removing = fail
    assert "it is broken" in database.gc.run().failures["thing"]
    threads[0].join(PATIENCE_SECONDS)
    assert not threads[0].is_alive()
    assert not things.lock.locked()


def test_who_is_told_of_a_removal_may_take_the_lock(
    database: Database, things: LockedThings
) -> None:
    ns = database.namespace("d")
    make_image(ns, "expired", make_blob(ns, b"garbage"), **EXPIRED)
    taken: list[bool] = []

    def take(_: object) -> None:
        taken.append(things.lock.acquire(timeout=1))
        if taken[-1]:
            things.lock.release()

    database.subscribe(take)
    assert not database.gc.run().failures
    assert taken == [True]


def test_what_resources_had_removed_is_durable_when_they_finish(
    database: Database, things: LockedThings
) -> None:
    make_blob(database.namespace("d"), b"garbage")
    seen: list[bool] = []
    finish = things.finish

    def look() -> None:
        engine = database.engine
        seen.append(engine.serial == engine.durable_serial)
        finish()

    things.finish = look  # type: ignore[method-assign]
    assert database.gc.run().removed["thing"] == 1
    assert seen == [True]
