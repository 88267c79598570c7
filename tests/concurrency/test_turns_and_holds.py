"""Locks end with their tickets, holds with their statements, and flags wake all waiters."""

from __future__ import annotations

import gc
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from orlop.concurrency.ownership import Flag, Hold, OwnedFile, Ticket, Turn, start_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

SECONDS = 10


class InterruptError(Exception):
    pass


def taken(turn: Turn) -> Ticket:
    ticket = Ticket()
    assert turn.acquire(ticket, SECONDS)
    ticket.handing.clear()
    return ticket


def test_a_turn_is_waited_for_as_long_as_one_says() -> None:
    turn = Turn()
    first = taken(turn)
    begun = time.monotonic()
    assert not turn.acquire(Ticket(), 0.1)
    assert 0.1 <= time.monotonic() - begun < SECONDS
    turn.release(first)
    assert turn.holder is None
    taken(turn)


def test_a_turn_ends_with_its_ticket() -> None:
    turn = Turn()
    first = taken(turn)
    got: list[bool] = []
    thread = threading.Thread(target=lambda: got.append(turn.acquire(Ticket(), SECONDS)))
    thread.start()
    del first
    thread.join(SECONDS)
    assert got == [True]


def test_a_ticket_in_a_circle_of_references_is_found() -> None:
    turn = Turn()
    circle: list[object] = [taken(turn)]
    circle.append(circle)
    gc.disable()
    try:
        del circle
        assert turn.acquire(Ticket(), SECONDS)
    finally:
        gc.enable()


def test_a_turn_that_could_not_be_handed_on_is_passed_over() -> None:
    turn = Turn()

    def take() -> None:
        turn.acquire(Ticket(), SECONDS)
        raise InterruptError

    with pytest.raises(InterruptError) as kept:
        take()
    assert turn.acquire(Ticket(), SECONDS)
    assert kept.value is not None


def test_a_turn_that_was_given_back_is_free_though_it_is_still_in_the_line() -> None:
    turn = Turn()
    first = taken(turn)
    first.entry = None  # as an interrupt leaves it that comes next
    assert turn.holder is None
    assert turn.acquire(Ticket(), SECONDS)


class Held(Hold):
    __slots__ = ("fails", "left")

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__()
        self.left = 0
        self.fails = fails

    def __enter__(self) -> Self:
        if self.fails:
            raise InterruptError
        return self

    def leave(self, error: BaseException | None) -> None:
        del error
        self.left += 1


def test_a_hold_is_left_with_its_statement() -> None:
    held = Held()
    with held as one:
        assert one is held
        assert not held.is_left
    assert (held.left, held.is_left) == (1, True)


def test_a_hold_is_left_though_its_way_out_never_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()

    def interrupted(_error: Any) -> None:
        raise InterruptError

    monkeypatch.setattr(Held, "leave", lambda _self, error: interrupted(error))
    with pytest.raises(InterruptError) as kept, held:
        pass
    assert (held.left, held.is_left) == (0, True)
    assert kept.value.__traceback__ is not None


def test_a_hold_that_was_not_entered_is_left() -> None:
    held = Held(fails=True)
    with pytest.raises(InterruptError), held:
        pass
    assert held.is_left


def test_a_hold_in_a_generator_is_kept_while_that_waits() -> None:
    held = Held()

    def generate() -> Iterator[None]:
        with held:
            yield

    generator = generate()
    next(generator)
    assert not held.is_left
    del generator
    assert held.is_left


def test_a_stack_keeps_a_hold() -> None:
    held = Held()
    with ExitStack() as stack:
        stack.enter_context(held)
        assert not held.is_left
    assert held.left == 1


def test_a_flag_wakes_all_who_wait() -> None:
    flag = Flag()
    woken: list[bool] = []
    threads = [threading.Thread(target=lambda: woken.append(flag.wait(SECONDS))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert not flag.wait(0.05)
    start_thread(flag.set)
    for thread in threads:
        thread.join(SECONDS)
    assert woken == [True] * 3
    assert flag.wait()


def test_a_file_is_closed_with_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    file = OwnedFile(path, "rb")
    number = file.fileno()
    del file
    other = OwnedFile(path, "rb")
    assert other.fileno() == number
