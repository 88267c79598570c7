"""The lock that many share or one has alone."""

from __future__ import annotations

import threading
import time

import pytest

from orlop.model.errors import FailedPreconditionError, UnavailableError
from orlop.stores.locks import SharedLock

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
                with pytest.raises(UnavailableError) as error, take(timeout=0.01):
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
    with lock.shared(), pytest.raises(FailedPreconditionError), lock.exclusive():
        pass
    with lock.exclusive(), pytest.raises(FailedPreconditionError), lock.exclusive():
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
        while not lock._exclusive_waiting:
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
        with pytest.raises(UnavailableError), lock.exclusive(timeout=0.01):
            pass

    with lock.shared():
        in_thread(threading.Thread(target=give_up)).join()
        passed: list[bool] = []

        def share() -> None:
            with lock.shared(timeout=SECONDS):
                passed.append(True)

        in_thread(threading.Thread(target=share)).join()
        assert passed == [True]
