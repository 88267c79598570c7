"""Flags: set once, waited for by any thread for as long as it takes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from orlop.concurrency import ownership
from orlop.concurrency.ownership import Flag

if TYPE_CHECKING:
    import pytest


def test_a_long_wait_takes_no_more_memory_than_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler waits for days on one flag, and looks at it every second."""
    monkeypatch.setattr(ownership, "_LOOK_SECONDS", 0.001)
    flag = Flag()
    waiting = threading.Thread(target=flag.wait)
    waiting.start()
    most = 0
    ends = time.monotonic() + 0.1
    while time.monotonic() < ends:
        most = max(most, len(flag._wakers))
    flag.set()
    waiting.join(5)
    assert not waiting.is_alive()
    assert most == 1


def test_a_wait_that_ends_in_vain_leaves_nothing_behind() -> None:
    flag = Flag()
    for _ in range(3):
        assert not flag.wait(0.001)
    assert flag._wakers == []


def test_all_that_wait_are_woken_at_once() -> None:
    flag = Flag()
    woken: list[bool] = []
    threads = [threading.Thread(target=lambda: woken.append(flag.wait())) for _ in range(5)]
    for thread in threads:
        thread.start()
    while len(flag._wakers) < len(threads):
        time.sleep(0.001)
    began = time.monotonic()
    flag.set()
    for thread in threads:
        thread.join(5)
    assert woken == [True] * len(threads)
    assert time.monotonic() - began < 0.5
    assert flag.wait(0)
