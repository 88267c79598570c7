"""Threads on one handle, processes on one root, interrupts: none is lost, none waits for ever."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import orlop
from orlop.errors import FailedPreconditionError, OrlopError, UnavailableError
from stores.consistency import check_data, check_nothing_unnamed, check_records
from stores.taking_turns import add_one, begin, count, found, take_turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop import Database, Namespace

THREADS = 8
TURNS = 6
PROCESSES = 4
PROGRAM = Path(__file__).with_name("taking_turns.py")


def expected(turns: int, workers: int) -> set[str]:
    return {f"{worker}-{turn}" for worker in range(workers) for turn in range(turns)}


def check(db: Database) -> None:
    check_records(db)
    check_data(db)
    db.gc.run()
    check_records(db)
    check_data(db)
    check_nothing_unnamed(db)


@pytest.mark.parametrize("is_collected", [False, True], ids=["alone", "with collections"])
def test_eight_threads(tmp_path: Path, *, is_collected: bool) -> None:
    with orlop.open(tmp_path / "root", timeout=60, sync=False) as db:
        ns = db.namespace("testing")
        begin(ns)

        def work(worker: int) -> None:
            for turn in range(TURNS):
                take_turn(ns, f"{worker}-{turn}")
                if is_collected and turn % 2 == worker % 2:
                    db.gc.run()

        with ThreadPoolExecutor(THREADS) as pool:
            for future in [pool.submit(work, worker) for worker in range(THREADS)]:
                future.result(timeout=120)

        everybody = expected(TURNS, THREADS)
        assert found(ns) == [everybody] * 5
        assert count(ns) == len(everybody)
        check(db)
        assert found(ns) == [everybody] * 5


def test_threads_that_want_the_same(tmp_path: Path) -> None:
    """One thread succeeds; all other threads get an error and leave nothing behind."""
    with orlop.open(tmp_path / "root", timeout=60, sync=False) as db:
        ns = db.namespace("testing")
        ns.leases.create("l")
        barrier = threading.Barrier(THREADS)

        def attempt(call: Callable[[], object]) -> str:
            barrier.wait(timeout=30)
            try:
                with ns.using_lease("l"):
                    call()
            except OrlopError as error:
                return type(error).__name__
            return ""

        def commit() -> None:
            with ns.content.writer("ref") as writer:
                writer.write(b"data")
                writer.commit()

        calls: list[tuple[Callable[[], object], set[str]]] = [
            (lambda: ns.snapshots("native").prepare("key"), {"AlreadyExistsError"}),
            (lambda: ns.snapshots("native").commit("name", "key"), {"AlreadyExistsError"}),
            (lambda: ns.leases.create("new"), {"AlreadyExistsError"}),
            (commit, {"AlreadyExistsError", "UnavailableError"}),
            (lambda: ns.snapshots("native").remove("name"), {"NotFoundError"}),
        ]
        with ThreadPoolExecutor(THREADS) as pool:
            for call, refusals in calls:
                answers = list(pool.map(attempt, [call] * THREADS))
                assert "" in answers
                assert set(answers) <= {"", *refusals}
                if call is not commit:
                    assert answers.count("") == 1
        check(db)


def run(root: Path, name: str, turns: int, seconds: float) -> subprocess.Popen[str]:
    path = os.pathsep.join(str(folder) for folder in (PROGRAM.parents[1], *sys.path) if folder)
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(root), name, str(turns), str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_four_processes_take_turns(tmp_path: Path) -> None:
    with orlop.open(tmp_path / "root", sync=False) as db:
        begin(db.namespace("testing"))
    processes = [run(tmp_path / "root", str(one), 5, 120) for one in range(PROCESSES)]
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert (output.split(), errors, process.returncode) == (list("01234"), "", 0)

    with orlop.open(tmp_path / "root", sync=False) as db:
        everybody = expected(5, PROCESSES)
        assert found(db.namespace("testing")) == [everybody] * 5
        assert count(db.namespace("testing")) == len(everybody)
        check(db)


def test_a_process_that_waited_long_enough_is_told_who_has_the_lock(tmp_path: Path) -> None:
    with orlop.open(tmp_path / "root", sync=False) as db:
        begin(db.namespace("testing"))
        process = run(tmp_path / "root", "late", 1, 0.2)
        output, errors = process.communicate(timeout=60)
    assert output == ""
    assert process.returncode == 1
    last = errors.strip().splitlines()[-1]
    assert "UnavailableError" in last
    assert str(os.getpid()) in last
    with orlop.open(tmp_path / "root", sync=False) as db:
        assert count(db.namespace("testing")) == 0


def test_an_interrupt_inside_an_update_rolls_it_back(ns: Namespace, db: Database) -> None:
    begin(ns)

    def interrupted() -> None:
        with db.update():
            add_one(ns)
            ns.leases.create("l")
            signal.raise_signal(signal.SIGINT)
            ns.leases.create("never")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert count(ns) == 0
    assert ns.leases.list() == []
    add_one(ns)
    assert count(ns) == 1


def test_an_interrupt_while_one_waits_for_ones_turn(ns: Namespace, db: Database) -> None:
    begin(ns)
    entered, leave = threading.Event(), threading.Event()

    def write() -> None:
        with db.update():
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=write)
    thread.start()
    assert entered.wait(30)
    alarm = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))
    alarm.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            add_one(ns)
    finally:
        leave.set()
        thread.join()
        alarm.join()
    add_one(ns)
    assert count(ns) == 1


@pytest.mark.parametrize("call", ["pwrite", "pwritev", "fdatasync"])
@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
def test_an_interrupt_during_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, *, is_late: bool
) -> None:
    """The handle reports durable state only, or raises."""
    original = getattr(os, call)
    for step in range(20):
        root = tmp_path / str(step)
        remaining = step
        with orlop.open(root) as db:
            ns = db.namespace("testing")
            begin(ns)

            def interrupted(*arguments: Any) -> Any:
                nonlocal remaining
                remaining -= 1
                if remaining != -1:
                    return original(*arguments)
                if is_late:
                    original(*arguments)
                signal.raise_signal(signal.SIGINT)
                pytest.fail("the interrupt was lost")

            is_hit = False
            with monkeypatch.context() as patch:
                patch.setattr(os, call, interrupted)
                try:
                    add_one(ns)
                except KeyboardInterrupt:
                    is_hit = True
            said: int | None
            try:
                said = count(ns)
                add_one(ns)
                said += 1
            except UnavailableError:
                said = None
        with orlop.open(root) as db:
            durable = count(db.namespace("testing"))
        assert said in {durable, None}
        if not is_hit:
            assert said == 2
            return
    pytest.fail("the commit has no end")


def test_a_task_that_would_wait_for_another_of_its_thread_is_refused(
    db: Database, ns: Namespace
) -> None:
    async def other(entered: asyncio.Event) -> None:
        await entered.wait()
        ns.leases.create("other")

    async def parent() -> None:
        entered = asyncio.Event()
        task = asyncio.create_task(other(entered))  # before the block: it inherits nothing
        with db.update():
            ns.leases.create("mine")
            entered.set()
            with pytest.raises(FailedPreconditionError, match="wait for itself"):
                await task
        ns.leases.create("later")

    asyncio.run(asyncio.wait_for(parent(), 30))
    assert [one.id for one in ns.leases.list()] == ["later", "mine"]


def test_asyncio_goes_through_threads(ns: Namespace) -> None:
    begin(ns)

    async def many() -> None:
        await asyncio.gather(*(asyncio.to_thread(add_one, ns) for _ in range(20)))

    asyncio.run(many())
    assert count(ns) == 20
