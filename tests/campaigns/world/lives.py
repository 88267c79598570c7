"""Operations that are killed or interrupted at any moment, and many at once."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from campaigns.world.known import OFF
from campaigns.world.operations import OPERATIONS, begin_block, end_block
from campaigns.world.processes import SECONDS_MAX, HangError, fork, join
from campaigns.world.state import NAMESPACES, RefusedError
from orlop.errors import OrlopError
from storage.killing import KILLED, arm

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from campaigns.world.state import World


@dataclass(frozen=True, slots=True)
class Life:
    """The actions of a process, and how it ends.

    Attributes:
        names: its operations.
        seeds: what decides them.
        manner: `call`: it dies before that call which changes the disk; `moment`: after so many
            seconds; `close`: it closes what it has opened; `exit`: it does not.
        opens_first: whether the root is open before the first call is counted.
        has_block: whether a lease block is around all of it.
    """

    names: list[str]
    seeds: list[int]
    manner: str
    call: int
    seconds: float
    opens_first: bool
    has_block: bool

    @classmethod
    def choose(cls, rng: random.Random) -> Life:
        names = _choose(rng, rng.choice((1, 1, 2, 3)))
        names = [name for name in names if f"process: {name}" not in OFF] or ["collect"]
        return cls(
            names,
            [rng.randrange(1 << 30) for _ in names],
            manner=rng.choice(("call", "call", "call", "moment", "close", "exit")),
            call=rng.choice((rng.randrange(12), rng.randrange(60), rng.randrange(200))),
            seconds=rng.uniform(0.0005, 0.03),
            opens_first=rng.random() < 0.5,
            has_block=rng.random() < 0.2,
        )

    def __str__(self) -> str:
        call = f" {self.call}" if self.manner == "call" else ""
        return f"{self.names}, ends by {self.manner}{call}"

    def run(self, world: World, rng: random.Random) -> None:
        """Do it, in this process."""
        if self.opens_first:
            world.open()
        if self.manner == "call":
            arm(self.call)
        if self.manner == "moment":
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, self.seconds)
        if self.has_block:
            begin_block(world, rng)
        for name, seed in zip(self.names, self.seeds, strict=True):
            operate(world, name, random.Random(seed))
        if self.has_block:
            end_block(world, rng)
        world.report()
        if self.manner == "exit":
            os._exit(KILLED)
        world.close()


def live(world: World, rng: random.Random) -> None:
    """Open the root in a process, do some operations, and die at any moment."""
    world.close(rng)
    life = Life.choose(rng)
    world.say(f"a process does {life}")
    handle = world.handle
    code = join(world, fork(world, lambda: life.run(world, rng)))
    assert code in {0, KILLED, -signal.SIGALRM}, f"a process ended with {code}"
    world.say("  it was killed" if code else "  it ended by itself")
    world.count("kills", int(code != 0))
    world.blocks.clear()
    world.handle = max(world.handle, handle) + 1
    world.settle()
    for node in [*world.model.records]:
        if node.key.startswith("block-"):
            world.leave_block(node)


def _choose(rng: random.Random, count: int) -> list[str]:
    weights = [weight for weight, _ in OPERATIONS.values()]
    return rng.choices(list(OPERATIONS), weights, k=count)


def operate(world: World, name: str, rng: random.Random) -> bool:
    """Do an operation, and return whether it was done: one that is refused is passed over."""
    try:
        OPERATIONS[name][1](world, rng)
    except RefusedError:
        world.count("refused")
        return False
    return True


class AlarmError(Exception):
    """The exception that a signal handler raises."""


def interrupt(world: World, rng: random.Random) -> None:
    """Let the handler of a signal raise in the middle of an operation, and go on."""
    world.open()
    (name,) = _choose(rng, 1)
    seed = rng.randrange(1 << 30)
    moment, line = (
        rng.uniform(0.00002, 0.006),
        rng.choice((rng.randrange(300), rng.randrange(4000))),
    )
    by_clock = rng.random() < 0.5
    world.say(f"a signal {'after a moment' if by_clock else f'at line {line}'} during:")
    kept = signal.getsignal(signal.SIGALRM)
    was_strained, world.is_strained = world.is_strained, True
    try:
        if by_clock:
            signal.signal(signal.SIGALRM, _raise)
            signal.setitimer(signal.ITIMER_REAL, moment)
        else:
            sys.settrace(_raiser(line))
        is_done = operate(world, name, random.Random(seed))
        _disarm()
        world.is_strained = was_strained or not is_done
    except BaseException as error:
        if not _comes_from_alarm(error):
            raise
        world.say("  interrupted")
        world.count("signals")
    finally:
        _disarm()
        signal.signal(signal.SIGALRM, kept)
    is_strained, world.is_strained = world.is_strained, True
    _write_on(world, rng)
    world.is_strained = is_strained and world.database is not None
    world.settle()
    if rng.random() < 0.5:
        # The same handle goes on: it does so rightly, or refuses.
        world.say("  and on the same handle:")
        operate(world, "delete image", rng)
        operate(world, "collect", rng)
    if rng.random() < 0.3:
        close_in_time(world, rng)


def _comes_from_alarm(error: BaseException | None) -> bool:
    """Return whether an error is the signal's, or was raised while that was on its way."""
    while error is not None and not isinstance(error, AlarmError):
        error = error.__cause__ or error.__context__
    return error is not None


def _write_on(world: World, rng: random.Random) -> None:
    """Write, so that an interrupted update becomes durable or fails with it."""
    try:
        leases = world.namespace(NAMESPACES[0]).leases
        leases.delete(leases.create().id)
    except (OrlopError, RefusedError) as error:
        world.say(f"  closed: {error}")
        close_in_time(world, rng)


def close_in_time(world: World, rng: random.Random) -> None:
    """Close the handle, and see that this ends."""
    began = time.monotonic()
    world.close(rng)
    assert time.monotonic() - began < SECONDS_MAX, "closing took too long"


def _disarm() -> None:
    sys.settrace(None)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
    except AlarmError:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _raise(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise AlarmError


def _raiser(line: int) -> Callable[..., Any]:
    """Return a trace function that raises at that line of Orlop's which runs as the n-th."""
    left = line

    def trace(frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        nonlocal left
        del argument
        if "/orlop/" not in frame.f_code.co_filename:
            return trace if "/world/" in frame.f_code.co_filename else None
        if event == "line" and frame.f_code.co_filename.find("/tests/") < 0:
            left -= 1
            if left == 0:
                raise AlarmError
        return trace

    return trace


def at_once(world: World, rng: random.Random) -> None:
    """Run operations in several threads at the same time."""
    world.open()
    count = rng.choice((2, 3, 4))
    imports = "blob" if "threads: import" in OFF else "import"
    names = rng.choice(
        (
            [imports] * count,
            rng.choices((imports, "blob", "prepare", "collect", "tag"), k=count),
            [imports, "collect", "blob", "collect"][:count],
        )
    )
    seeds = [rng.randrange(1 << 30) for _ in names]
    world.say(f"at once: {names}")
    failures: list[BaseException] = []
    barrier = threading.Barrier(len(names))

    def work(name: str, seed: int) -> None:
        barrier.wait()
        try:
            operate(world, name, random.Random(seed))
        except BaseException as error:  # noqa: BLE001 -- raised by the thread that waits
            failures.append(error)

    # What is not held may go at any moment, and nothing is built on it.
    world.stable = world.held()
    for node in [one for one in world.model.records if one not in world.stable]:
        world.model.forget(node)
    threads = [threading.Thread(target=work, args=one) for one in zip(names, seeds, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS_MAX)
        if thread.is_alive():
            raise HangError("a thread did not end")
    world.model.move(world.stable)
    world.stable = None
    if failures:
        raise failures[0]


def cross_blocks(world: World, rng: random.Random) -> None:
    """Begin and end lease blocks in any order, and create records in between."""
    for _ in range(rng.choice((2, 3))):
        begin_block(world, rng)
    while world.blocks:
        operate(world, rng.choice(("blob", "blob", "prepare", "import", "collect")), rng)
        if rng.random() < 0.3:
            operate(world, "collect", rng)
        end_block(world, rng)
