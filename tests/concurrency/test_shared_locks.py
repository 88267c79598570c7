"""The lock that many share or one has alone."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from orlop.concurrency.shared_lock import SharedLock

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 10


def in_thread(work: threading.Thread) -> threading.Thread:
    work.start()
    return work


def test_shares_overlap_and_exclude_the_one() -> None:
    lock = SharedLock("it")
    both = threading.Barrier(2)

    def share() -> None:
        with lock.shared():
            both.wait(SECONDS)

    threads = [in_thread(threading.Thread(target=share)) for _ in range(2)]
    for thread in threads:
        thread.join()
    with lock.exclusive():
        refused: list[str] = []

        def attempt() -> None:
            for take in (lock.shared, lock.exclusive):
                with pytest.raises(TimeoutError) as error, take(timeout=0.01):
                    pass
                refused.append(str(error.value))

        in_thread(threading.Thread(target=attempt)).join()
        assert len(refused) == 2
        assert all("it was not free" in one for one in refused)


def test_a_thread_takes_shares_of_what_it_has() -> None:
    lock = SharedLock("it")
    with lock.shared(), lock.shared():
        pass
    with lock.exclusive(), lock.shared():
        pass
    with lock.exclusive():
        pass


def test_a_thread_would_wait_for_itself() -> None:
    lock = SharedLock("it")
    with lock.shared(), pytest.raises(RuntimeError), lock.exclusive():
        pass
    with lock.exclusive(), pytest.raises(RuntimeError), lock.exclusive():
        pass
    with lock.exclusive():
        pass


def test_who_waits_to_have_it_alone_goes_before_newcomers() -> None:
    lock = SharedLock("it")
    order: list[str] = []

    def alone() -> None:
        with lock.exclusive():
            order.append("alone")

    def newcomer() -> None:
        with lock.shared():
            order.append("newcomer")

    with lock.shared():
        first = in_thread(threading.Thread(target=alone))
        while not lock._waiting_alone:
            time.sleep(0.001)
        second = in_thread(threading.Thread(target=newcomer))
        with lock.shared(timeout=SECONDS):
            order.append("holder")
    first.join(SECONDS)
    second.join(SECONDS)
    assert order == ["holder", "alone", "newcomer"]


def test_who_gave_up_waiting_stands_in_nobodys_way() -> None:
    lock = SharedLock("it")

    def give_up() -> None:
        with pytest.raises(TimeoutError), lock.exclusive(timeout=0.01):
            pass

    with lock.shared():
        in_thread(threading.Thread(target=give_up)).join()
        passed: list[bool] = []

        def share() -> None:
            with lock.shared(timeout=SECONDS):
                passed.append(True)

        in_thread(threading.Thread(target=share)).join()
        assert passed == [True]


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_who_waited_for_a_share_goes_before_the_next_who_wants_it_alone() -> None:
    lock = SharedLock("it")
    order: list[str] = []

    def share() -> None:
        with lock.shared():
            order.append("share")

    threads = [threading.Thread(target=share) for _ in range(3)]
    with lock.exclusive():
        for thread in threads:
            thread.start()
        wait_until(lambda: len(lock._waiting_for_share) == len(threads))
        assert lock.is_wanted
    # This thread goes on at once; without the rule it would mostly be the first again.
    with lock.exclusive(timeout=SECONDS):
        order.append("alone")
    for thread in threads:
        thread.join(SECONDS)
    assert order == ["share", "share", "share", "alone"]
    assert not lock.is_wanted


def test_who_is_owed_a_share_and_gives_up_stands_in_nobodys_way() -> None:
    lock = SharedLock("it")
    refused = threading.Event()

    def give_up() -> None:
        with pytest.raises(TimeoutError), lock.shared(timeout=0.05):
            pass
        refused.set()

    with lock.exclusive():
        thread = in_thread(threading.Thread(target=give_up))
        wait_until(lambda: lock.is_wanted)
        # As it is for one who wakes up too late: the phase is over, and somebody else is in.
        share = lock._waiting_for_share[0]()
        assert share is not None
        share.is_owed = True
        del share
        assert refused.wait(SECONDS)
    thread.join(SECONDS)
    with lock.exclusive(timeout=SECONDS), lock.shared():
        pass


def test_nobody_is_let_in_wrongly_and_nobody_waits_for_ever() -> None:
    """Threads that take shares, the exclusive lock, and nested shares, with short waits."""
    lock = SharedLock("it")
    counting = threading.Lock()
    inside = {"shares": 0, "alone": 0}
    wrong: list[dict[str, int]] = []
    end = time.monotonic() + 1

    def enter(kind: str, refused_by: tuple[str, ...], by: int) -> None:
        with counting:
            if by > 0 and any(inside[other] for other in refused_by):
                wrong.append(dict(inside))
            inside[kind] += by

    def work(seed: int) -> None:
        choice = random.Random(seed)
        while time.monotonic() < end:
            timeout = choice.choice([None, 0.0005, 0.01])
            with contextlib.suppress(TimeoutError):
                if choice.random() < 0.3:
                    with lock.exclusive(timeout):
                        enter("alone", ("shares", "alone"), 1)
                        with lock.shared():
                            enter("alone", (), -1)
                else:
                    with lock.shared(timeout), lock.shared(timeout):
                        enter("shares", ("alone",), 1)
                        enter("shares", (), -1)

    threads = [in_thread(threading.Thread(target=work, args=(seed,))) for seed in range(8)]
    for thread in threads:
        thread.join(SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong
    assert not lock.is_shared
