"""A mutex: one at a time, in order, and free when the call has ended that entered it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from orlop.concurrency.ownership import Mutex, ReentryError

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 10


class InterruptError(Exception):
    pass


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_one_is_in_it_at_a_time() -> None:
    mutex = Mutex()
    counts = {"inside": 0, "done": 0}

    def work() -> None:
        for _ in range(300):
            with mutex:
                counts["inside"] += 1
                assert counts["inside"] == 1
                threading.Event().wait(0.00001)
                counts["inside"] -= 1
                counts["done"] += 1

    threads = [in_thread(work) for _ in range(4)]
    for thread in threads:
        thread.join(60)
    assert counts == {"inside": 0, "done": 1200}
    assert not mutex.is_locked


def test_whoever_waited_first_goes_first() -> None:
    mutex = Mutex()
    order: list[int] = []

    def work(number: int) -> None:
        with mutex:
            order.append(number)

    with mutex:
        threads = []
        for number in range(5):
            threads.append(in_thread(lambda number=number: work(number)))  # type: ignore[misc]
            while len(mutex._callers) < number + 2:
                threading.Event().wait(0.001)
    for thread in threads:
        thread.join(SECONDS)
    assert order == [0, 1, 2, 3, 4]


def leave_locked(mutex: Mutex) -> None:
    """Enter it, and be interrupted before the block can be left."""
    mutex.__enter__()
    raise InterruptError


def test_a_call_that_was_interrupted_leaves_it_free() -> None:
    mutex = Mutex()
    with pytest.raises(InterruptError) as kept:
        leave_locked(mutex)
    assert mutex.is_locked
    entered: list[bool] = []

    def work() -> None:
        with mutex:
            entered.append(True)

    in_thread(work).join(SECONDS)
    work()
    assert entered == [True, True]
    assert kept.value.__traceback__ is not None, "though its traceback is kept"


def test_a_call_that_goes_on_keeps_it() -> None:
    mutex = Mutex()
    entered = threading.Event()

    def work() -> None:
        with mutex:
            entered.set()

    with mutex:
        thread = in_thread(work)
        assert not entered.wait(0.2)
    thread.join(SECONDS)
    assert entered.is_set()


def test_who_calls_what_it_has_interrupted_is_told() -> None:
    mutex = Mutex()

    def handler() -> None:
        with mutex:
            pass

    with mutex, pytest.raises(ReentryError, match="signal handler"):
        handler()
    handler()
